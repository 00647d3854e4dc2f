"""What `GET /jobs` may be asked, as the page's table of parameters has it: bounds, defaults, dates, comma lists."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from urllib.parse import parse_qs

from sandbox.options import Options
from sandbox.scripe_jobs import TYPES, JobStatus, number_of

DEFAULT_LIMIT = 50
MAX_LIMIT = 200


class BadQuery(ValueError):
    """A parameter that cannot be; `code` is the API's word for it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """A list that is asked for. The bounds are inclusive, in seconds; None is no filter."""

    limit: int
    before: int | None
    from_s: float | None
    to_s: float | None
    types: frozenset[str] | None
    statuses: frozenset[str] | None


def job_query(query: str, options: Options) -> JobQuery:
    """Read the query of a request.

    Raises:
        BadQuery: for a value that the page does not allow.
    """
    given = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
    return JobQuery(
        limit=_limit(given.get("limit")),
        before=_cursor(given.get("cursor")),
        from_s=_date("dateFrom", given.get("dateFrom"), _begin),
        to_s=_date("dateTo", given.get("dateTo"), _end if options.scripe_date_to == "day" else _begin),
        types=_words("type", given.get("type"), TYPES, options),
        statuses=_words("status", given.get("status"), tuple(JobStatus), options),
    )


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= MAX_LIMIT:
        raise BadQuery("bad_pagination", f"limit must be between 1 and {MAX_LIMIT}")
    return int(text)


def _cursor(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return number_of(text)
    except ValueError as bad:
        raise BadQuery("bad_pagination", "cursor is not one that a page returned") from bad


def _begin(day: datetime) -> datetime:
    return day


def _end(day: datetime) -> datetime:
    """Return the last moment of a day, in the whole seconds that jobs show."""
    return day + timedelta(days=1, seconds=-1)


def _date(name: str, text: str | None, of_day: Callable[[datetime], datetime]) -> float | None:
    if text is None:
        return None
    try:
        if len(text) == len("YYYY-MM-DD"):
            day = datetime.combine(datetime.strptime(text, "%Y-%m-%d").date(), time(), UTC)
            return of_day(day).timestamp()
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # a `+` that was not encoded arrives as a space
    except ValueError as bad:
        raise BadQuery("invalid_request", f"{name} must be ISO 8601 or YYYY-MM-DD") from bad
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _words(name: str, text: str | None, known: tuple[str, ...], options: Options) -> frozenset[str] | None:
    if text is None:
        return None
    words = frozenset(word.strip() for word in text.split(",") if word.strip())
    unknown = sorted(words - set(known))
    if unknown and options.scripe_unknown_filter == "refuse":
        raise BadQuery("invalid_request", f"unknown {name}: {', '.join(unknown)[:200]}")
    return words or None
