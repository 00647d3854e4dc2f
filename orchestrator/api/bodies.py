"""JSON bodies, read by us: strict, field by field, and with a run's input kept as the bytes that came.

FastAPI's own reading would take duplicate keys and NaN, coerce types, and hand on parsed numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from difflib import get_close_matches
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, TypeVar

from orchestrator.domain.intake import strict_json
from orchestrator.errors import BadInput, Problem
from orchestrator.telemetry import redact

T = TypeVar("T")

MAX_TEXT_CHARS = 200
MAX_REASON_CHARS = 2_000
MAX_ENTRIES = 20_000

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
#: C0, C1, and the invisible ones that reorder or hide text. New lines and tabs are fit for a reason, not for a name.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_UNFIT_IN_PROSE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def read_object(data: bytes, *, max_bytes: int) -> dict[str, Any]:
    """Return the object that a body spells.

    Raises:
        BadInput: not strict JSON (`json.…`), or no object (`body.not_object`).
    """
    value = strict_json.parse(data, max_bytes=max_bytes)
    if not isinstance(value, dict):
        raise BadInput("the body is not a JSON object", code="body.not_object")
    return value


def member_bytes(data: bytes, name: str) -> bytes:
    """Return the value of one member of a body's object, as the bytes that came.

    The body was read strictly before, so keys are unique and every boundary is where the decoder says.
    """
    text = data.decode("utf-8")
    position = _after_space(text, 0) + 1
    while True:
        key, position = scanstring(text, _after_space(text, position) + 1, True)
        start = _after_space(text, _after_space(text, position) + 1)
        _, end = _DECODER.raw_decode(text, start)
        if key == name:
            return text[start:end].encode()
        position = _after_space(text, end) + 1
        assert text[position - 1] == ",", "the caller has seen this member"


class Fields:
    """Takes known fields out of an object; `done` tells of everything that was wrong, and of what nobody took.

    A null counts as absent. Types are not coerced: a number in quotes is no number.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        self._known: set[str] = set()
        self._problems: list[Problem] = []

    def text(self, name: str, *, max_chars: int = MAX_TEXT_CHARS) -> str:
        """Take a text that must be there."""
        return self._required(name, self.text_or_none(name, max_chars=max_chars), "")

    def text_or_none(self, name: str, *, max_chars: int = MAX_TEXT_CHARS) -> str | None:
        """Take a text of one line, not empty."""
        return self._take(name, str, "a string", lambda text: _text_fault(text, max_chars, _UNFIT))

    def prose_or_none(self, name: str) -> str | None:
        """Take a text that may have several lines: a reason."""
        return self._take(name, str, "a string", lambda text: _text_fault(text, MAX_REASON_CHARS, _UNFIT_IN_PROSE))

    def prose(self, name: str) -> str:
        """Take such a text that must be there."""
        return self._required(name, self.prose_or_none(name), "")

    def whole_or_none(self, name: str, *, least: int, most: int) -> int | None:
        """Take a whole number."""

        def fault(value: int) -> str | None:
            return None if least <= value <= most else f"lies between {least:,} and {most:,}"

        return self._take(name, int, "a whole number", fault, code="field.range")

    def flag(self, name: str) -> bool:
        """Take true or false, false when absent."""
        return self.flag_or_none(name) or False

    def flag_or_none(self, name: str) -> bool | None:
        """Take true or false."""
        return self._take(name, bool, "true or false")

    def object_or_none(self, name: str) -> dict[str, Any] | None:
        """Take note of an object that the caller reads as the bytes that came."""
        return self._take(name, dict, "an object")

    def one_of(self, name: str, words: tuple[str, ...]) -> str:
        """Take one of a few words, which must be there."""
        return self._required(name, self.one_of_or_none(name, words), words[0])

    def one_of_or_none(self, name: str, words: tuple[str, ...]) -> str | None:
        """Take one of a few words."""
        return self._take(
            name, str, "a string", lambda word: None if word in words else f"is one of {', '.join(words)}"
        )

    def texts(self, name: str) -> list[str]:
        """Take a list of short texts."""
        found = self._take(name, list, "a list of strings", _texts_fault)
        return [*found] if found else []

    def text_by_text(self, name: str) -> dict[str, str]:
        """Take an object whose values are strings."""
        found = self._take(name, dict, "an object of strings", _mapping_fault)
        return {**found} if found else {}

    def moment_or_none(self, name: str) -> datetime | None:
        """Take a time: ISO 8601 with a zone."""
        text = self._take(name, str, "a time", lambda text: None if moment(text) else "is ISO 8601 with a zone")
        return moment(text) if text else None

    def present(self, name: str, kind: type[T], words: str) -> bool:
        """Take note of a value that the caller reads by itself, which must be there; tell whether it is fit."""
        return self._required(name, self._take(name, kind, words), None) is not None

    def done(self) -> None:
        """Finish.

        Raises:
            BadInput: with every problem that was found.
        """
        for name in self._given.keys() - self._known:
            near = get_close_matches(name, self._known, n=1)
            guess = f"; did you mean {near[0]!r}?" if near else ""
            self._refuse(redact(name)[:100], f"there is no such field{guess}", "field.unknown")
        if not self._problems:
            return
        self._problems.sort(key=lambda problem: problem.field or "")
        first = self._problems[0]
        more = f" (and {len(self._problems) - 1} more)" if len(self._problems) > 1 else ""
        raise BadInput(f"{first}{more}", code=first.code, problems=self._problems)

    def _take(
        self,
        name: str,
        kind: type[T],
        words: str,
        fault: Callable[[T], str | None] = lambda _: None,
        *,
        code: str = "field.value",
    ) -> T | None:
        self._known.add(name)
        value = self._given.get(name)
        if value is None:
            return None
        # bool is an int to Python; to a reader of JSON it is not
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self._refuse(name, f"expected {words}", "field.type")
            return None
        said = fault(value)
        if said is not None:
            self._refuse(name, said, code)
            return None
        return value

    def _required(self, name: str, found: T | None, otherwise: T) -> T:
        if found is not None:
            return found
        if self._given.get(name) is None:
            self._refuse(name, "is needed", "field.missing")
        return otherwise

    def _refuse(self, name: str, message: str, code: str) -> None:
        self._problems.append(Problem(message=message, code=code, field=name))


def moment(text: str) -> datetime | None:
    """Return the time that an ISO 8601 text with a zone names, None when it names none."""
    if len(text) > 40 or not text.isascii():
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None and 1970 <= found.year <= 9000 else None


def _after_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _text_fault(text: str, max_chars: int, unfit: re.Pattern[str]) -> str | None:
    if not text.strip():
        return "is empty"
    if len(text) > max_chars:
        return f"has {len(text):,} characters, at most {max_chars:,}"
    return "has control or invisible characters" if unfit.search(text) else None


def _texts_fault(value: list[Any]) -> str | None:
    is_fit = len(value) <= 100 and all(isinstance(v, str) and not _text_fault(v, 200, _UNFIT) for v in value)
    return None if is_fit else "is a list of at most 100 strings"


def _mapping_fault(value: dict[str, Any]) -> str | None:
    if len(value) > MAX_ENTRIES:
        return f"has more than {MAX_ENTRIES:,} entries"
    if not all(isinstance(v, str) and len(v) <= 1_000 and not _UNFIT.search(v) for v in value.values()):
        return "its values are strings without control characters"
    return "its names have control characters" if any(map(_UNFIT.search, value)) else None
