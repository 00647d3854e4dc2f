"""The parameters of the Scripe door's list, each as its page's table says; what fits none of it is a 400 there too."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from starlette.datastructures import QueryParams

from orchestrator.domain.doors import JOB_TYPES, JobStatus
from orchestrator.errors import BadInput

NAMES = ("cursor", "limit", "dateFrom", "dateTo", "type", "status")
DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_VALUE_CHARS = 500

BAD_PAGINATION, INVALID = "bad_pagination", "invalid_request"

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
#: The times that we show have whole milliseconds; what lies within the last one belongs to it.
_WITHIN = timedelta(microseconds=999)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """What a request asks of the list. Without types or statuses: all of them."""

    limit: int
    cursor: str | None
    since: datetime | None
    until: datetime | None
    types: tuple[str, ...]
    statuses: tuple[JobStatus, ...]


def read(given: QueryParams) -> JobQuery:
    """Read the parameters. Names that the table does not have are ignored.

    Raises:
        BadInput: `bad_pagination` for the page's size and place, `invalid_request` for the rest.
    """
    for name in NAMES:
        if len(given.getlist(name)) > 1:
            raise BadInput(f"{name} is given twice", code=INVALID)
    return JobQuery(
        limit=_limit(given.get("limit")),
        cursor=given.get("cursor"),
        since=_moment("dateFrom", given.get("dateFrom"), is_end=False),
        until=_moment("dateTo", given.get("dateTo"), is_end=True),
        types=_words("type", given.get("type"), JOB_TYPES),
        statuses=tuple(JobStatus(word) for word in _words("status", given.get("status"), tuple(JobStatus))),
    )


def filters(given: QueryParams) -> tuple[str, ...]:
    """Return what a page's cursor is bound to: every filter, as it was given."""
    return tuple(f"{name}={given[name]}" for name in NAMES if name in given and name not in ("cursor", "limit"))


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= MAX_LIMIT:
        raise BadInput(f"limit must be an integer between 1 and {MAX_LIMIT}", code=BAD_PAGINATION)
    return int(text)


def _words(name: str, text: str | None, known: Iterable[str]) -> tuple[str, ...]:
    """Return the words of a comma list."""
    if text is None:
        return ()
    words = tuple(word.strip() for word in text[:MAX_VALUE_CHARS].split(","))
    if not set(words) <= set(known):
        raise BadInput(f"{name} must be a comma-separated list of {', '.join(known)}", code=INVALID)
    return words


def _moment(name: str, text: str | None, *, is_end: bool) -> datetime | None:
    """Return the first moment that a bound lets in, or the last: a day means all of it."""
    if text is None:
        return None
    found = _of_day(text, is_end=is_end) if _DAY.fullmatch(text) else _of_time(text, is_end=is_end)
    if found is None:
        raise BadInput(f"{name} must be ISO 8601 or YYYY-MM-DD", code=INVALID)
    return found


def _of_day(text: str, *, is_end: bool) -> datetime | None:
    try:
        begin = datetime.combine(date.fromisoformat(text), time.min, UTC)
        return begin + timedelta(days=1) - timedelta(microseconds=1) if is_end else begin
    except (ValueError, OverflowError):
        return None


def _of_time(text: str, *, is_end: bool) -> datetime | None:
    # a "+" of a zone that was not percent-encoded arrives as a space
    text = re.sub(r" (\d\d:?\d\d)$", r"+\1", text)
    if len(text) > 40 or not text.isascii() or "T" not in text.upper():
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found
    if not 1970 <= found.year <= 9000:
        return None
    return found + _WITHIN if is_end and found.microsecond % 1000 == 0 else found
