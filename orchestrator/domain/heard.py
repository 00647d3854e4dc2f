"""What a provider's answers tell beside what was asked: how its rate stands, and that a version of its API will end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSaid:
    """How the provider's own count of requests stands; each part is None where it does not say.

    Args:
        limit: requests that it takes in a window.
        remaining: how many of them it would still take.
        reset_s: seconds until it would take more.
    """

    limit: int | None = None
    remaining: int | None = None
    reset_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The provider will end a version of its API. All of it is its own words, and may be missing."""

    version: str | None = None
    sunset_at: datetime | None = None
    replacement: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndingNews:
    """Whether the version that was asked for will end, since it is told otherwise than before."""

    asked: str | None
    ending: Ending | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What the answers on one connection told since this was last asked."""

    rate: RateSaid | None = None
    news: EndingNews | None = None


def lowest(said: Iterable[RateSaid | None]) -> RateSaid | None:
    """Return what holds for all who share a limit: the least that any of their answers left."""
    found = [s for s in said if s is not None]
    if not found:
        return None
    return RateSaid(
        limit=min((s.limit for s in found if s.limit is not None), default=None),
        remaining=min((s.remaining for s in found if s.remaining is not None), default=None),
        reset_s=max((s.reset_s for s in found if s.reset_s is not None), default=None),
    )
