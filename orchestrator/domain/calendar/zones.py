"""Time zones: which names are good, and what a clock on the wall shows when it goes forward or back."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones

from orchestrator.errors import BadInput, Problem

MAX_NAME_LENGTH = 64
MAX_NEAR_NAMES = 3

#: Names that some machines list, and that mean another zone on each machine, or none.
NOT_ZONES = frozenset({"localtime", "posixrules", "Factory"})

#: Two changes of one zone lie 6.9 days apart at least (Gaza, Boa Vista; measured over all of tzdata 2026), so this
#: finds each of them.
_STRIDE = timedelta(days=3)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An instant at which a zone's clock jumps. Shape: `before` and `after` are the offsets from UTC around it."""

    at: datetime
    before: timedelta
    after: timedelta

    @property
    def is_forward(self) -> bool:
        """Whether the clock skips a stretch of time; otherwise it shows one again."""
        return self.after > self.before


def read_zone(name: str) -> str:
    """Return the name when it is one of the IANA names that we know; `Europe/Berlin`, never a path or an alias file.

    Raises:
        BadInput: it is not; the hint names what comes near.
    """
    if name in _names():
        return name
    near = _near(name)
    hint = f"Did you mean {' or '.join(near)}?" if near else "Give an IANA name such as Europe/Berlin, or UTC."
    shown = name if len(name) <= MAX_NAME_LENGTH else f"{name[:MAX_NAME_LENGTH]}…"
    message = f"there is no time zone {shown!r}"
    raise BadInput(message, code="zone.unknown", hint=hint, problems=(_problem(message),))


def wall_at(zone: ZoneInfo, instant: datetime) -> datetime:
    """Return what the zone's clock shows at the instant, without a zone on it."""
    return instant.astimezone(zone).replace(tzinfo=None)


def first_at(zone: ZoneInfo, wall: datetime) -> datetime:
    """Return the first instant (UTC) at which the zone's clock shows `wall` or later.

    That is the whole policy in one sentence: a time that comes twice means its first coming, and a time that does
    not exist means the instant at which the clock jumps over it.
    """
    instant = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if wall_at(zone, instant) == wall:
        return instant
    # In the gap fold=1 counts with the offset after the jump, which is an instant before it, and fold=0 the other
    # way round: the jump lies between the two.
    early, late = wall.replace(tzinfo=zone, fold=1).astimezone(UTC), instant
    low, high = 0, (late - early) // _SECOND
    while high - low > 1:
        middle = (low + high) // 2
        if wall_at(zone, early + middle * _SECOND) >= wall:
            high = middle
        else:
            low = middle
    return early + high * _SECOND


@lru_cache(maxsize=4096)
def changes_in(zone: ZoneInfo, year: int) -> tuple[Change, ...]:
    """Return the clock changes of a year (UTC), in their order. A pure table lookup, so it may be remembered."""
    found = []
    start, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    # One second back, so that a change at the year's first instant belongs to the year.
    early = start - _SECOND
    before = _offset(zone, early)
    while early < end - _SECOND:
        late = min(early + _STRIDE, end - _SECOND)
        after = _offset(zone, late)
        if after != before:
            found.append(Change(at=_jump_between(zone, early, late, before), before=before, after=after))
        early, before = late, after
    return tuple(found)


def last_change(zone: ZoneInfo, *, since: datetime, until: datetime) -> Change | None:
    """Return the last clock change in (since, until], None when there is none; at most a few years are looked at."""
    for year in range(until.year, since.year - 1, -1):
        for change in reversed(changes_in(zone, year)):
            if since < change.at <= until:
                return change
    return None


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None, "a ZoneInfo always knows its offset"
    return offset


def _jump_between(zone: ZoneInfo, early: datetime, late: datetime, before: timedelta) -> datetime:
    low, high = 0, (late - early) // _SECOND
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, early + middle * _SECOND) == before:
            low = middle
        else:
            high = middle
    return early + high * _SECOND


@cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones()) - NOT_ZONES


def _near(name: str) -> list[str]:
    """Return known names like this one: by their whole spelling, or by their last part (`berlin`)."""
    if len(name) > MAX_NAME_LENGTH:
        return []
    wanted = name.strip().replace(" ", "_").casefold()
    spelled: dict[str, str] = {}
    # Long names last: of `Etc/UTC` and `UTC` the shorter one keeps the short spelling.
    for known in sorted(_names(), key=lambda n: (-len(n), n)):
        spelled[known.casefold()] = known
        spelled[known.rsplit("/", 1)[-1].casefold()] = known
    close = difflib.get_close_matches(wanted, spelled, n=2 * MAX_NEAR_NAMES, cutoff=0.75)
    return list(dict.fromkeys(spelled[key] for key in close))[:MAX_NEAR_NAMES]


def _problem(message: str) -> Problem:
    return Problem(message=message, code="zone.unknown", field="zone")
