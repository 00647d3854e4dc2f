"""A workflow's `input_schema`, compiled once, and what a value does not meet in it.

The schema comes from the provider, its author may be anybody: nothing is fetched for it, and no schema may
crash us or keep us busy for ever. What we dare not check is in `notes`; the provider checks it again anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import islice
from typing import Any, Final
from urllib.parse import unquote

import referencing
import referencing.exceptions
from jsonschema import Draft6Validator, Draft7Validator, Draft201909Validator, Draft202012Validator, validators
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.protocols import Validator

from orchestrator.domain.intake import patterns
from orchestrator.domain.intake.flat_schema import Check, quick_check
from orchestrator.domain.intake.json_flaws import excerpt
from orchestrator.domain.intake.schema_words import path_of, problems_of
from orchestrator.errors import BadInput, Problem

MAX_SCHEMA_DEPTH = 64
MAX_SCHEMA_NODES = 20_000
#: References followed for one value: far above honest schemas, far below one that doubles itself at each level.
MAX_REFERENCES = 50_000
MAX_PROBLEMS_PER_VALUE = 10

_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_ANCHORS: Final = ("$anchor", "$dynamicAnchor")
#: Left out of our copy: they change the draft or the base of references halfway.
_REBASING: Final = ("$schema", "$id", "id")
#: Words whose content is data, not schema.
_DATA_WORDS: Final = frozenset({"enum", "const", "default", "examples"})
_QUICK_DRAFTS: Final = (Draft6Validator, Draft7Validator, Draft201909Validator, Draft202012Validator)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSchema:
    """A schema ready for use. `definition` is our copy of it; `notes` say what is not checked here, and why."""

    definition: Mapping[str, Any]
    notes: tuple[str, ...]
    validator: Validator
    quick: Check | None

    @property
    def field_names(self) -> tuple[str, ...]:
        """Return the names of the fields that the schema declares."""
        return tuple(self._mapping("properties"))

    @property
    def required(self) -> tuple[str, ...]:
        """Return the names of the fields that every input must have."""
        names = self.definition.get("required")
        return tuple(n for n in names if isinstance(n, str)) if isinstance(names, list) else ()

    @property
    def has_name_patterns(self) -> bool:
        """Return whether fields may be welcome that no list can name."""
        return bool(self._mapping("patternProperties"))

    @property
    def is_closed(self) -> bool:
        """Return whether fields that are not declared are refused."""
        return self.definition.get("additionalProperties") is False and not self.has_name_patterns

    def _mapping(self, word: str) -> Mapping[str, Any]:
        found = self.definition.get(word)
        return found if isinstance(found, Mapping) else {}


def compile_schema(schema: Mapping[str, Any] | None) -> InputSchema:
    """Return the schema ready for use; None means that every object is welcome.

    Raises:
        BadInput: the schema is broken, refers to another document, or is built to exhaust us.
    """
    given: Mapping[str, Any] = {} if schema is None else schema
    if not isinstance(given, Mapping):
        raise _broken(f"must be an object, is {type(given).__name__}")
    base = _draft(given)
    facts = _Facts()
    definition = facts.copied(given)
    try:
        # no format checker: "regex" would judge patterns by Python's dialect
        base.check_schema(definition, format_checker=None)
    except SchemaError as error:
        where = path_of(error.absolute_path)
        raise _broken(f"{excerpt(error.message, 200)}{f' (at {where})' if where else ''}") from None
    except RecursionError:
        raise _broken("is nested too deeply") from None
    facts.refuse_far_references(definition)
    facts.refuse_wild_names()
    bounded = _bounded(base)
    return InputSchema(
        definition=definition,
        notes=tuple(facts.notes()),
        validator=bounded(definition, registry=referencing.Registry()),
        quick=quick_check(definition) if base in _QUICK_DRAFTS and not facts.references else None,
    )


def check(schema: InputSchema, value: Any) -> list[Problem]:
    """Return what the value does not meet, at most ten complaints, none when it is valid.

    Raises:
        BadInput: the schema itself cannot be followed to an end.
    """
    if schema.quick is not None and schema.quick(value):
        return []
    token = _references_left.set([MAX_REFERENCES])
    try:
        errors = list(islice(schema.validator.iter_errors(value), MAX_PROBLEMS_PER_VALUE))
        found = [problem for error in errors for problem in problems_of(error)]
    except RecursionError:
        raise _broken("refers to itself without an end", code="schema.recursion") from None
    except referencing.exceptions.Unresolvable as error:
        raise _broken(f"refers to {excerpt(error.ref)}, which is not in it", code="schema.ref") from None
    finally:
        _references_left.reset(token)
    return list(dict.fromkeys(found))[:MAX_PROBLEMS_PER_VALUE]


def _broken(fault: str, *, code: str = "schema.invalid") -> BadInput:
    hint = "Mend the workflow's input schema at the provider."
    return BadInput(f"the workflow's input schema {fault}", code=code, hint=hint)


def _draft(schema: Mapping[str, Any]) -> Any:
    """Return jsonschema's class for the schema's draft; an unknown or odd `$schema` reads as 2020-12."""
    named = schema.get("$schema")
    if not isinstance(named, str):
        return Draft202012Validator
    try:
        return validators.validator_for({"$schema": named}, default=Draft202012Validator)
    except ValueError:
        return Draft202012Validator


class _Facts:
    """What one walk over a schema learns: its references, anchors and patterns."""

    def __init__(self) -> None:
        self.nodes = 0
        self.references: set[str] = set()
        self.anchors: set[str] = {""}
        self.patterns: set[str] = set()
        self.name_patterns: set[str] = set()

    def copied(self, node: Any, depth: int = 0) -> Any:
        """Return a copy of the schema without what moves its base; recursion is bounded by `depth`."""
        self.nodes += 1
        if depth > MAX_SCHEMA_DEPTH:
            raise _broken(f"is nested deeper than {MAX_SCHEMA_DEPTH} levels", code="schema.too_large")
        if self.nodes > MAX_SCHEMA_NODES:
            raise _broken(f"has more than {MAX_SCHEMA_NODES:,} parts", code="schema.too_large")
        if isinstance(node, Mapping):
            return self._object(node, depth)
        if isinstance(node, list | tuple):
            return [self.copied(member, depth + 1) for member in node]
        return node

    def _object(self, node: Mapping[str, Any], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for word, member in node.items():
            if isinstance(member, str):
                if word in _REBASING:
                    continue
                self._learn(word, member)
            if word == "patternProperties" and isinstance(member, Mapping):
                self.name_patterns.update(member)
            found[word] = member if word in _DATA_WORDS else self.copied(member, depth + 1)
        return found

    def _learn(self, word: str, text: str) -> None:
        if word in _REFERENCES:
            self.references.add(text)
        elif word in _ANCHORS:
            self.anchors.add(text)
        elif word == "pattern":
            self.patterns.add(text)

    def refuse_far_references(self, definition: Mapping[str, Any]) -> None:
        """Refuse a reference that is not to a schema within this document."""
        for ref in sorted(self.references):
            place, _, fragment = ref.partition("#")
            if place:
                raise _broken(f"refers to {excerpt(ref)}; other documents are not fetched", code="schema.ref")
            name = unquote(fragment)
            is_here = _is_schema_at(definition, name) if name.startswith("/") else name in self.anchors
            if not is_here:
                raise _broken(f"refers to {excerpt(ref)}, which is not in it", code="schema.ref")

    def refuse_wild_names(self) -> None:
        """Refuse patterns for names that we cannot run: which fields are unknown hangs on them."""
        for pattern in sorted(self.name_patterns):
            if patterns.longest_text(pattern) == 0:
                raise _broken(f"has a name pattern that cannot be run here: {excerpt(pattern)}", code="schema.pattern")

    def notes(self) -> Iterator[str]:
        """Give one sentence for each pattern that is not checked here, or only on short texts."""
        for pattern in sorted(self.patterns):
            longest = patterns.longest_text(pattern)
            if not patterns.compiles(pattern):
                yield f"pattern {excerpt(pattern)} is not checked here: it is written in another dialect"
            elif longest == 0:
                yield f"pattern {excerpt(pattern)} is not checked here: matching it could take for ever"
            elif longest < 10_000:
                yield f"pattern {excerpt(pattern)} is checked here on texts of up to {longest:,} characters"


def _is_schema_at(definition: Mapping[str, Any], pointer: str) -> bool:
    node: Any = definition
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, list):
            node = node[int(name)] if name.isdecimal() and len(name) < 6 and int(name) < len(node) else None
        else:
            node = node.get(name) if isinstance(node, Mapping) else None
    return isinstance(node, Mapping | bool)


#: How many references the check that runs now may still follow.
_references_left: ContextVar[list[int]] = ContextVar("references_left")

_Keyword = Callable[[Any, Any, Any, Any], Any]


@cache
def _bounded(base: Any) -> Any:
    """Return the draft's validator with every keyword replaced whose cost we could not bound."""
    replaced: dict[str, _Keyword] = {"pattern": _pattern, "uniqueItems": _unique_items, "multipleOf": _multiple_of}
    for word in _REFERENCES:
        if word in base.VALIDATORS:
            replaced[word] = _counted(base.VALIDATORS[word])
    known = {word: keyword for word, keyword in replaced.items() if word in base.VALIDATORS}
    return validators.extend(base, known)  # type: ignore[no-untyped-call]  # the stubs leave it open


def _counted(keyword: _Keyword) -> _Keyword:
    def follow(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        left = _references_left.get()
        left[0] -= 1
        if left[0] < 0:
            raise _broken("leads through too many references", code="schema.recursion")
        yield from keyword(validator, wanted, instance, schema)

    return follow


def _pattern(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and isinstance(wanted, str) and not patterns.matches(wanted, instance):
        yield ValidationError("does not match")


def _multiple_of(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """By decimal spelling: in binary 0.07 is no multiple of 0.01."""
    if validator.is_type(instance, "number") and (Fraction(str(instance)) / Fraction(str(wanted))).denominator != 1:
        yield ValidationError("is not a multiple")


def _unique_items(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """By hash: comparing each with each takes hours on a large array."""
    if wanted and isinstance(instance, list) and len({_frozen(v) for v in instance}) < len(instance):
        yield ValidationError("has an element twice")


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return ("object", frozenset((name, _frozen(member)) for name, member in value.items()))
    if isinstance(value, list):
        return ("array", tuple(map(_frozen, value)))
    return (isinstance(value, bool), value)
