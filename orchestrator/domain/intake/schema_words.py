"""What a schema's complaint says in English: short, with the field's path and the start of the offending value."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, Final

from jsonschema.exceptions import ValidationError, best_match

from orchestrator.domain.intake.json_flaws import excerpt
from orchestrator.errors import Problem

#: Comparing names is slow, so it has bounds: how many known ones are compared, how many unknown ones are told.
MAX_KNOWN = 30
MAX_UNKNOWN = 10

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def quoted(text: str) -> str:
    """Return a text in quotes, cut and made harmless."""
    return f'"{excerpt(text)}"'


def shown(value: object) -> str:
    """Return a JSON value as a person would write it, cut."""
    match value:
        case str():
            return quoted(value)
        case list():
            return f"an array of {len(value):,}"
        case dict():
            return f"an object of {len(value):,} fields"
        case _:
            return excerpt(json.dumps(value))


def path_of(parts: Iterable[str | int]) -> str | None:
    """Return `items[2].price` for a path into a value, None for the value itself."""
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            path += f".{part}" if path else part
        else:
            path += f"[{quoted(part)}]" if path else excerpt(part)
    return path or None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `: did you mean "address"?`, or nothing when no known word is near."""
    near = nearest(word, known)
    return f": did you mean {quoted(near)}?" if near else ""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that another may have been meant to be, None when none is near."""
    names = tuple(known)
    folded = word.strip().casefold()[:100]
    if len(names) > MAX_KNOWN:
        names = tuple(islice((n for n in names if n[:1].casefold() == folded[:1]), MAX_KNOWN))
    return _nearest(folded, names)


@lru_cache(maxsize=4096)
def _nearest(folded: str, known: tuple[str, ...]) -> str | None:
    by_folded = {name.strip().casefold(): name for name in known}
    near = difflib.get_close_matches(folded, list(by_folded), n=1, cutoff=0.6)
    return by_folded[near[0]] if near else None


def problems_of(error: ValidationError) -> list[Problem]:
    """Return what one complaint of jsonschema means for a person; one for each field that should not be there."""
    at = list(error.absolute_path)
    match error.validator:
        case "required":
            return [_problem([*at, _missing(error)], "required, but missing", "field.missing")]
        case "additionalProperties" | "unevaluatedProperties" if isinstance(error.instance, dict):
            return _unknown(error, at)
        case "anyOf" | "oneOf":
            return _no_option(error, at)
        case _:
            said = WORDS.get(str(error.validator), _fallback)(error.validator_value, error)
            code = "field.type" if error.validator == "type" else "field.value"
            return [_problem(at, f"{said}, got {shown(error.instance)}", code)]


def _problem(path: list[str | int], message: str, code: str) -> Problem:
    return Problem(message=message, code=code, field=path_of(path))


def _missing(error: ValidationError) -> str:
    """Return the name that is missing; jsonschema gives one error a name, the name only within its message."""
    present = error.instance if isinstance(error.instance, dict) else {}
    required: Any = error.validator_value
    names = [n for n in required if n not in present]
    return next((n for n in names if error.message.startswith(repr(n))), str(names[0]) if names else "")


def _unknown(error: ValidationError, at: list[str | int]) -> list[Problem]:
    schema = error.schema if isinstance(error.schema, Mapping) else {}
    known = schema.get("properties", {})
    patterns = list(schema.get("patternProperties", {}))
    given: Any = error.instance
    names = [n for n in given if n not in known and not any(re.search(p, n) for p in patterns)]
    if error.validator == "unevaluatedProperties":
        names = [n for n in names if repr(n) in error.message]
    if isinstance(error.validator_value, Mapping):
        return [_problem(at, "has a field that does not fit", "field.unknown")]
    return [_problem([*at, n], f"unknown field{did_you_mean(n, known)}", "field.unknown") for n in names[:MAX_UNKNOWN]]


def _no_option(error: ValidationError, at: list[str | int]) -> list[Problem]:
    context = error.context or []
    if error.validator == "oneOf" and not context:
        return [
            _problem(at, f"fits more than one of the forms it may have, got {shown(error.instance)}", "field.value")
        ]
    if all(e.validator == "type" and not e.path for e in context):
        types = [t for e in context for t in _as_list(e.validator_value)]
        return [_problem(at, f"expected {_or(types)}, got {shown(error.instance)}", "field.type")]
    # `null` beside one real form is how optional fields are written: the real form's complaint is the useful one
    real = [e for e in context if not (e.validator == "type" and e.validator_value == "null")]
    options = {e.schema_path[0] for e in real}
    if len(options) == 1:
        return [p for e in real for p in problems_of(e)]
    best = best_match(iter(context))
    inner = problems_of(best)[0] if best is not None else None
    said = f"; nearest: {inner.message}" if inner else ""
    return [_problem(at, f"fits none of the forms it may have, got {shown(error.instance)}{said}", "field.value")]


def _length(value: Any) -> int:
    return len(value)


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _or(words: Iterable[object]) -> str:
    return " or ".join(dict.fromkeys(str(word) for word in words))


def _choices(values: object) -> str:
    listed = _as_list(values)
    more = f" or {len(listed) - 8} more" if len(listed) > 8 else ""
    return ", ".join(shown(v) for v in listed[:8]) + more


def _fallback(value: object, error: ValidationError) -> str:
    return f"does not meet {excerpt(str(error.validator), 40)}"


_Say = Callable[[Any, ValidationError], str]
#: schema word -> what it wants
WORDS: Final[Mapping[str, _Say]] = {
    "type": lambda v, _: f"expected {_or(_as_list(v))}",
    "enum": lambda v, _: f"expected one of {_choices(v)}",
    "const": lambda v, _: f"expected {shown(v)}",
    "pattern": lambda v, _: f"expected text like {quoted(str(v))}",
    "minLength": lambda v, e: f"expected at least {v} characters, has {_length(e.instance)}",
    "maxLength": lambda v, e: f"expected at most {v} characters, has {_length(e.instance)}",
    "minimum": lambda v, _: f"expected at least {v}",
    "maximum": lambda v, _: f"expected at most {v}",
    "exclusiveMinimum": lambda v, _: f"expected more than {v}",
    "exclusiveMaximum": lambda v, _: f"expected less than {v}",
    "multipleOf": lambda v, _: f"expected a multiple of {v}",
    "minItems": lambda v, _: f"expected at least {v} elements",
    "maxItems": lambda v, _: f"expected at most {v} elements",
    "uniqueItems": lambda _, __: "expected no element twice",
    "minProperties": lambda v, _: f"expected at least {v} fields",
    "maxProperties": lambda v, _: f"expected at most {v} fields",
    "contains": lambda _, __: "no element is of the kind that must be there",
    "not": lambda _, __: "has a form that is not allowed",
    "dependentRequired": lambda _, e: excerpt(e.message),
    "propertyNames": lambda _, __: "a field's name is not allowed",
}
