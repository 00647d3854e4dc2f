"""How long a provider asks us to wait, in seconds, whichever way it says it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_WAIT_S = 3_600.0
MIN_WAIT_S = 1.0
_SECONDS = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,9})?")


def retry_after_s(value: str | None, *, date: str | None, now: datetime) -> float | None:
    """Return the wait that a `Retry-After` header asks for, between 1 s and 1 h; None when it says nothing usable.

    A moment is measured against the answer's own `Date`, so that neither clock needs to be right.
    """
    if value is None:
        return None
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return min(max(float(value), MIN_WAIT_S), MAX_WAIT_S)
    until = _moment(value)
    if until is None:
        return None
    wait_s = (until - (_moment(date or "") or now)).total_seconds()
    return min(max(wait_s, MIN_WAIT_S), MAX_WAIT_S) if wait_s >= 0 else None


def _moment(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
