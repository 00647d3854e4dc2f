"""Fault rules: which requests get which fault, and how often."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sandbox.calls import HintedInput, Kind
from sandbox.faults import FAULTS, PARAMETERS

MAX_RULES = 1000
_MATCHERS = ("kind", "key", "workflow_id", "execution_id", "tag")
_FREQUENCIES = ("nth", "every", "probability", "times")
_NUMBERS = ("seconds", "retry_after_s", "bytes", "delta_bytes", "bytes_per_s", "keep", "size_bytes")
_WORDS: Mapping[str, tuple[str, ...]] = {
    "when": ("before", "after"),
    "retry_after_as": ("seconds", "date", "none"),
    "ending": ("fin", "rst"),
    "length": ("chunked", "declared"),
}


class RuleError(ValueError):
    """A rule that makes no sense; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a rule looks at: a request and what it concerns."""

    kind: Kind
    key: str
    workflow_id: str
    execution_id: str
    hints: Sequence[HintedInput]


@dataclass(slots=True, kw_only=True)
class Rule:
    """One rule. It counts the requests it matches and those it struck."""

    id: int
    fault: str
    match: Mapping[str, Any]
    frequency: Mapping[str, Any]
    parameters: Mapping[str, Any]
    random: Random = field(repr=False)
    matched: int = 0
    fired: int = 0

    @property
    def when(self) -> str:
        return str(self.parameters.get("when", FAULTS[self.fault].when))

    def strikes(self, subject: Subject) -> bool:
        """Count a request and say whether it gets the fault."""
        if not self._matches(subject):
            return False
        times = self.frequency.get("times")
        if times is not None and self.fired >= times:
            return False
        self.matched += 1
        strikes = self._is_turn()
        self.fired += strikes
        return strikes

    def _is_turn(self) -> bool:
        if "nth" in self.frequency:
            return bool(self.matched == self.frequency["nth"])
        if "every" in self.frequency:
            return bool(self.matched % self.frequency["every"] == 0)
        if "probability" in self.frequency:
            return self.random.random() < float(self.frequency["probability"])
        return True

    def _matches(self, subject: Subject) -> bool:
        match = self.match
        kinds = match["kind"]
        return (
            (not kinds or subject.kind in kinds)
            and match.get("key") in (None, subject.key)
            and match.get("workflow_id") in (None, subject.workflow_id)
            and match.get("execution_id") in (None, subject.execution_id)
            and ("tag" not in match or any(one.hints.tag == match["tag"] for one in subject.hints))
        )

    def as_document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "fault": self.fault,
            **{name: value for name, value in self.match.items() if name != "kind"},
            "kind": [kind.value for kind in self.match["kind"]] or "any",
            **self.frequency,
            **self.parameters,
            "when": self.when,
            "matched": self.matched,
            "fired": self.fired,
        }


class Rules:
    """The rules in force. The first one that strikes is the only one; the faults of hints come after them."""

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        self._next_id = 1
        self.rules: list[Rule] = []
        self._hint_uses: dict[tuple[str, ...], int] = {}

    def add(self, documents: Sequence[Any]) -> list[Rule]:
        """Add rules, all or none.

        Raises:
            RuleError: one of them makes no sense.
        """
        if len(self.rules) + len(documents) > MAX_RULES:
            raise RuleError(f"no more than {MAX_RULES} rules")
        fresh = [self._rule(document, self._next_id + n) for n, document in enumerate(documents)]
        self._next_id += len(fresh)
        self.rules += fresh
        return fresh

    def clear(self) -> None:
        self.rules = []
        self._hint_uses.clear()

    def remove(self, rule_id: int) -> bool:
        """Remove one rule; return whether there was one."""
        before = len(self.rules)
        self.rules = [rule for rule in self.rules if rule.id != rule_id]
        return len(self.rules) < before

    def pick(self, subject: Subject) -> Rule | None:
        """Return the rule that strikes this request, if any; it has then been counted."""
        for rule in self.rules:
            if rule.strikes(subject):
                return rule
        for one in subject.hints:
            if one.hints.fault is not None and self._hint_strikes(one.hints.fault, one, subject):
                return self._rule({"fault": one.hints.fault}, 0)
        return None

    def _hint_strikes(self, fault: str, one: HintedInput, subject: Subject) -> bool:
        hints = one.hints
        if hints.fault_kind is not None:
            is_home = subject.kind.value == hints.fault_kind
        else:  # a fault of launches is at home with both ways to launch
            home = FAULTS[fault].home
            is_home = subject.kind is home or {home, subject.kind} == {Kind.LAUNCH, Kind.BATCH}
        if not is_home:
            return False
        use = (subject.workflow_id, subject.kind.value, one.identity)
        self._hint_uses[use] = self._hint_uses.get(use, 0) + 1
        return self._hint_uses[use] <= (1 if hints.fault_times is None else hints.fault_times)

    def _rule(self, document: Any, rule_id: int) -> Rule:
        if not isinstance(document, dict):
            raise RuleError("a rule is an object with at least `fault`")
        fault = str(document.get("fault"))
        if fault not in FAULTS:
            near = difflib.get_close_matches(str(fault), FAULTS, n=1)
            raise RuleError(f"unknown fault {fault!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        allowed = {"fault", *_MATCHERS, *_FREQUENCIES, *PARAMETERS}
        if unknown := sorted(set(document) - allowed):
            raise RuleError(f"unknown field {unknown[0]!r}; known are {', '.join(sorted(allowed))}")
        _check_values(document)
        match = {name: str(document[name]) for name in _MATCHERS[1:] if name in document}
        return Rule(
            id=rule_id,
            fault=fault,
            match={"kind": _kinds(document.get("kind", "any")), **match},
            frequency={name: document[name] for name in _FREQUENCIES if name in document},
            parameters={name: document[name] for name in sorted(PARAMETERS) if name in document},
            random=Random(f"{self._seed}:{rule_id}"),
        )


def _kinds(value: Any) -> frozenset[Kind]:
    """Read `kind`: a word, a list of words, or `any`, which is the empty set."""
    words = value if isinstance(value, list) else [value]
    if words == ["any"]:
        return frozenset()
    try:
        return frozenset(Kind(word) for word in words)
    except ValueError as unknown:
        raise RuleError(f"kind is any, or some of {', '.join(Kind)}") from unknown


def _check_values(document: Mapping[str, Any]) -> None:
    for name in ("nth", "every", "times"):
        value = document.get(name, 1)
        if isinstance(value, bool) or not isinstance(value, int) or value < (0 if name == "times" else 1):
            raise RuleError(f"{name} is a whole number, counted from 1")
    for name in ("probability", *_NUMBERS):
        value = document.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or (value < 0 and name != "delta_bytes"):
            raise RuleError(f"{name} is a number")
    for name, words in _WORDS.items():
        if document.get(name, words[0]) not in words:
            raise RuleError(f"{name} is one of {', '.join(words)}")
    redirect = document["fault"] == "redirect"
    if redirect and document.get("status", 302) not in (301, 302, 303, 307, 308):
        raise RuleError("status of a redirect is 301, 302, 303, 307 or 308")
