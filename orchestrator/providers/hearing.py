"""What the headers of answers tell of the rate and of versions that end, kept until somebody writes it down.

Headers come from outside: a value that cannot be is ignored, and never spoils the answer that it stands on.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from orchestrator.domain.answers import Access
from orchestrator.domain.heard import Ending, EndingNews, Heard, RateSaid, lowest

MAX_LIMIT = 1_000_000
MAX_RESET_S = 86_400.0

#: Answers this close together tell of one state: the least of them holds. Older ones say nothing any more.
TOGETHER_S = 5.0
STALE_S = 30.0

#: Connections whose headers are remembered.
MOST = 10_000

_WHOLE = re.compile(r"[0-9]{1,9}")
_SECONDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_MAX_HEADER_CHARS = 500


@dataclass(slots=True)
class _Ear:
    """What was heard on one connection. `ending_told`: the last that was handed over, by the version asked for."""

    rate: RateSaid | None = None
    rate_at: float = 0.0
    ending: EndingNews | None = None
    ending_told: EndingNews | None = None


class Hearing:
    """Listens to the headers of a provider's answers. `monotonic` and `utc_now` are its clocks."""

    def __init__(self, *, monotonic: Callable[[], float], utc_now: Callable[[], datetime]) -> None:
        self._monotonic = monotonic
        self._utc_now = utc_now
        self._ears: OrderedDict[str, _Ear] = OrderedDict()

    def listen(self, access: Access, headers: httpx.Headers, *, version: str, is_own: bool) -> None:
        """Note what an answer's headers tell.

        Args:
            version: which version of the API was asked for.
            is_own: the provider itself answered, as far as can be seen; a proxy's page knows of no versions.
        """
        ear = self._ear(access.connection_id)
        rate, now = rate_said(headers, utc_now=self._utc_now()), self._monotonic()
        if rate is not None:
            is_together = ear.rate is not None and now - ear.rate_at <= TOGETHER_S
            ear.rate = lowest([ear.rate, rate]) if is_together else rate
            ear.rate_at = now
        told = headers.get("scripe-deprecation")
        if told is not None or is_own:
            ear.ending = EndingNews(asked=version, ending=None if told is None else ending_said(told))

    def heard(self, connection_id: str) -> Heard:
        """Hand over what was heard on a connection since this was last asked."""
        ear = self._ears.get(connection_id)
        if ear is None:
            return Heard()
        rate = ear.rate if self._monotonic() - ear.rate_at <= STALE_S else None
        news = ear.ending if ear.ending != ear.ending_told else None
        ear.rate, ear.ending_told = None, ear.ending
        return Heard(rate=rate, news=news)

    def _ear(self, connection_id: str) -> _Ear:
        if connection_id not in self._ears and len(self._ears) >= MOST:
            self._ears.popitem(last=False)
        return self._ears.setdefault(connection_id, _Ear())


def rate_said(headers: httpx.Headers, *, utc_now: datetime) -> RateSaid | None:
    """Return how the rate stands by `X-RateLimit-Limit`, `-Remaining` and `-Reset`; None where they say nothing.

    What contradicts itself is ignored as a whole. A reset is in seconds from now; a moment since 1970 is read too.
    """
    limit = _whole(headers.get("x-ratelimit-limit"))
    remaining = _whole(headers.get("x-ratelimit-remaining"))
    if limit == 0 or (limit is not None and remaining is not None and remaining > limit):
        return None
    if limit is None and remaining is None:
        return None
    return RateSaid(limit=limit, remaining=remaining, reset_s=_reset_s(headers.get("x-ratelimit-reset"), utc_now))


def ending_said(told: str) -> Ending:
    """Return what a `Scripe-Deprecation` header tells: `2026-08-01; sunset=2027-02-01; replacement=2027-01-15`."""
    first, *rest = told[:_MAX_HEADER_CHARS].split(";")
    given: dict[str, str] = {}
    for part in rest:
        name, _, value = part.partition("=")
        given.setdefault(name.strip().lower(), value.strip().strip('"').strip())
    return Ending(
        version=_word(first.strip().strip('"')),
        sunset_at=_moment(given.get("sunset", "")),
        replacement=_word(given.get("replacement", "")),
    )


def _whole(value: str | None) -> int | None:
    """Return a whole number; of a list, such as `120, 120;w=60`, the first."""
    first = re.split(r"[,;]", value[:_MAX_HEADER_CHARS])[0].strip() if value is not None else ""
    if not _WHOLE.fullmatch(first) or int(first) > MAX_LIMIT:
        return None
    return int(first)


def _reset_s(value: str | None, utc_now: datetime) -> float | None:
    value = value.strip() if value is not None else ""
    if not _SECONDS.fullmatch(value):
        return None
    seconds = float(value)
    if seconds > MAX_RESET_S:
        seconds -= utc_now.timestamp()
    return seconds if 0 <= seconds <= MAX_RESET_S else None


def _word(text: str) -> str | None:
    return text if _WORD.fullmatch(text) else None


def _moment(text: str) -> datetime | None:
    """Return a moment, as ISO 8601 or as headers write dates; a day begins at midnight, UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        try:
            found = parsedate_to_datetime(text)
        except (ValueError, TypeError, OverflowError):
            return None
    if not 1971 <= found.year <= 9000:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
