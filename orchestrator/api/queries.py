"""Query parameters: known names only, each once, plain ASCII numbers, real dates."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any
from uuid import UUID

from starlette.datastructures import QueryParams

from orchestrator.api import cursors
from orchestrator.api.auth import Call
from orchestrator.api.bodies import moment
from orchestrator.domain.statuses import BatchStatus, RunStatus
from orchestrator.domain.watching import Origin
from orchestrator.errors import BadInput, Problem
from orchestrator.telemetry import redact

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_VALUE_CHARS = 500
MAX_WORDS = 50
#: Proxies give up on a silent request after 60 s.
MAX_WAIT_S = 60
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NUMBER = re.compile(r"[0-9]{1,9}")

#: Times of which days and weeks can be taken away, or added, in any zone.
YEARS = (1970, 9000)


class Query:
    """One request's parameters, checked against the names that its route knows.

    Raises:
        BadInput: an unknown name, or one that comes twice and may not.
    """

    def __init__(self, given: QueryParams, known: Iterable[str], *, repeatable: frozenset[str] = frozenset()) -> None:
        names = frozenset(known) | repeatable
        self._given = given
        for name in given:
            if name not in names:
                known_ones = f"known are {', '.join(sorted(names))}" if names else "this takes none"
                raise _bad(redact(name)[:100], f"there is no such parameter; {known_ones}", "query.unknown")
            if name not in repeatable and len(given.getlist(name)) > 1:
                raise _bad(name, "is given twice", "query.repeated")

    def text(self, name: str) -> str | None:
        """Return a short text."""
        value = self._given.get(name)
        if value is not None and (not value or len(value) > MAX_VALUE_CHARS or not value.isprintable()):
            raise _bad(name, f"is 1 to {MAX_VALUE_CHARS} printable characters", "field.value")
        return value

    def reason(self) -> str | None:
        """Return why, of a DELETE, which has no body."""
        value = self.text("reason")
        if value is not None and not value.strip():
            raise _bad("reason", "is empty", "field.value")
        return value

    def needed(self, name: str) -> str:
        """Return a short text that must be there."""
        value = self.text(name)
        if value is None:
            raise _bad(name, "is needed", "field.missing")
        return value

    def whole(self, name: str, *, least: int, most: int) -> int | None:
        """Return a whole number."""
        value = self._given.get(name)
        if value is None:
            return None
        if not _NUMBER.fullmatch(value) or not least <= int(value) <= most:
            raise _bad(name, f"is a whole number from {least} to {most}", "field.range")
        return int(value)

    def flag(self, name: str) -> bool:
        """Return a choice that is false where nothing was said."""
        value = self._given.get(name, "false")
        if value not in ("true", "false"):
            raise _bad(name, "is true or false", "field.value")
        return value == "true"

    def limit(self) -> int:
        """Return the page size."""
        return self.whole("limit", least=1, most=MAX_LIMIT) or DEFAULT_LIMIT

    def id(self, name: str) -> UUID | None:
        """Return an id."""
        value = self._given.get(name)
        if value is not None and not _UUID.fullmatch(value):
            raise _bad(name, "is no id", "field.type")
        return UUID(value) if value else None

    def statuses(self) -> tuple[RunStatus, ...]:
        """Return the statuses of a comma list."""
        return tuple(RunStatus(word) for word in self.among("status", RunStatus))

    def batch_statuses(self) -> tuple[BatchStatus, ...]:
        """Return the statuses of batches of a comma list."""
        return tuple(BatchStatus(word) for word in self.among("status", BatchStatus))

    def among(self, name: str, known: Iterable[str]) -> tuple[str, ...]:
        """Return the words of a comma list, each of them known; none when it is not given."""
        found, listed = self.words(name), [str(word) for word in known]
        if not set(found) <= set(listed):
            raise _bad(name, f"is a comma list of {', '.join(listed)}", "field.value")
        return found

    def one_of(self, name: str, known: Iterable[str]) -> str | None:
        """Return a word that is known; None when it is not given."""
        found, listed = self.text(name), [str(word) for word in known]
        if found is not None and found not in listed:
            raise _bad(name, f"is one of {', '.join(listed)}", "field.value")
        return found

    def origin(self) -> Origin | None:
        """Return where runs come from that are asked for."""
        found = self.one_of("origin", Origin)
        return None if found is None else Origin(found)

    def words(self, name: str) -> tuple[str, ...]:
        """Return the words of a comma list, each once; none when it is not given."""
        value = self.text(name)
        words = tuple(dict.fromkeys(value.split(","))) if value else ()
        if "" in words or len(words) > MAX_WORDS:
            raise _bad(name, f"is a comma list of at most {MAX_WORDS} words", "field.value")
        return words

    def wait_s(self) -> float:
        """Return how long to wait for news, 0 when nothing was said."""
        value = self._given.get("wait")
        if value is None:
            return 0.0
        number = value.removesuffix("s")
        if not _NUMBER.fullmatch(number) or int(number) > MAX_WAIT_S:
            raise _bad("wait", f"is a whole number of seconds up to {MAX_WAIT_S}, as in 30s", "field.range")
        return float(number)

    def labels(self) -> dict[str, str]:
        """Return the `key=value` pairs of each `label`."""
        found: dict[str, str] = {}
        for pair in self._given.getlist("label"):
            key, sign, value = pair.partition("=")
            if not sign or not key or len(pair) > MAX_VALUE_CHARS or len(found) >= 32:
                raise _bad("label", "is key=value, at most 32 of them", "field.value")
            found[key] = value
        return found

    def pairs(self, name: str) -> dict[str, str]:
        """Return the `column:field` pairs of each such parameter; a column may have colons, and its field be empty."""
        found: dict[str, str] = {}
        for pair in self._given.getlist(name):
            column, sign, field = pair.rpartition(":")
            if not sign or not column or column in found or len(pair) > MAX_VALUE_CHARS or not pair.isprintable():
                raise _bad(name, "is COLUMN:FIELD, each column once", "map.pair")
            found[column] = field
        return found

    def since(self) -> datetime | None:
        """Return the earliest moment that `dateFrom` asks for."""
        return self._moment("dateFrom", lambda day: datetime.combine(day, time.min, UTC))

    def until(self) -> datetime | None:
        """Return the last moment that `dateTo` asks for; a date means all of that day.

        Times are shown by the millisecond, and one that was shown means all of its own.
        """
        but_one_ms = timedelta(days=1) - timedelta(milliseconds=1)
        found = self._moment("dateTo", lambda day: datetime.combine(day, time.min, UTC) + but_one_ms)
        return found if found is None or found.microsecond % 1000 else found + timedelta(microseconds=999)

    def moment(self, name: str, zone: tzinfo = UTC) -> datetime | None:
        """Return a moment; a date means its beginning, in the zone."""
        return self._moment(name, lambda day: datetime.combine(day, time.min, zone).astimezone(UTC))

    def bound_to(self, call: Call) -> tuple[str, ...]:
        """Return what a page of this list depends on, for its cursors."""
        filters = sorted(f"{k}={v}" for k, v in self._given.multi_items() if k not in ("cursor", "limit", "after"))
        return (call.request.url.path, str(call.who.workspace_id), *filters)

    def after(self, call: Call) -> Any:
        """Return the sort key after which the page begins, None for the first page."""
        cursor = self._given.get("cursor")
        return None if cursor is None else cursors.redeem(call.deps.sealer, self.bound_to(call), cursor)

    def _moment(self, name: str, of_day: Callable[[date], datetime]) -> datetime | None:
        value = self._given.get(name)
        if value is None:
            return None
        # a "+" of a zone that was not percent-encoded arrives as a space
        value = re.sub(r" (\d\d:?\d\d)$", r"+\1", value)
        found = moment(value)
        if found is None and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
            try:
                found = of_day(date.fromisoformat(value))
            except (ValueError, OverflowError):
                found = None
        if found is not None and not YEARS[0] <= found.year <= YEARS[1]:
            raise _bad(name, f"its year is not between {YEARS[0]} and {YEARS[1]}", "field.value")
        if found is None:
            raise _bad(name, "is YYYY-MM-DD, or ISO 8601 with a zone (2026-01-31T12:00:00Z)", "field.value")
        return found


def _bad(name: str, message: str, code: str) -> BadInput:
    return BadInput(f"{name}: {message}", code=code, problems=(Problem(message=message, code=code, field=name),))
