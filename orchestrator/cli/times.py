"""Times as people give them: `24h`, `7d`, or an ISO time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from orchestrator.errors import BadInput

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def since(text: str, *, now: datetime) -> str:
    """Return the moment that is meant, as ISO text in UTC.

    Raises:
        BadInput: it is neither a span nor a time.
    """
    if found := re.fullmatch(r"(\d{1,6})([smhdw])", text):
        return _iso(now - timedelta(**{_UNITS[found[2]]: int(found[1])}))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{text!r} is no time", hint="Give a span such as 24h or 7d, or 2026-01-31T12:00:00Z.") from None
    return _iso(moment if moment.tzinfo else moment.astimezone())


def span_s(text: str) -> int:
    """Return a span such as `90m` in seconds.

    Raises:
        BadInput: it is none.
    """
    if found := re.fullmatch(r"(\d{1,6})([smhdw])", text):
        return int(timedelta(**{_UNITS[found[2]]: int(found[1])}).total_seconds())
    raise BadInput(f"{text!r} is no span of time", hint="Give it as 90s, 30m, 2h or 1d.")


def in_words(seconds: float) -> str:
    """Return a span for a person."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
