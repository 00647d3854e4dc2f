"""Rhythms: when a schedule is due, to the second, also on the days on which the clock is changed.

What holds when a zone's clock jumps:

- **A time that does not exist fires once, at the first instant after the gap.** `30 2 * * *` on a day without a
  02:30 fires at 03:00; all times of one gap come to one tick there. So does a day that a zone left out (Apia has no
  30 December 2011): its noon fires at the start of the 31st.
- **A time that comes twice fires once, at its first coming.**
- **An expression for every hour runs straight through**, as `*/15 * * * *` or `0 * * * *` do: each instant at which
  the clock shows a matching time is a tick, both times in a doubled hour, none in a missing one. What counts is
  whether all 24 hours are meant, not how they are spelled (`*`, `*/1`, `0-23`); an expression that names hours, such
  as `*/15 2 * * *` or `0 */6 * * *`, follows the first two rules, or it would be lost or doubled once a year.
- **An interval is elapsed time** and knows no clock: ticks are `anchor + k * every_s`.

When both a day of the month and a day of the week are named, either is enough (Vixie cron); a field that begins with
a star leaves the choice to the other one.

All instants are aware and in UTC, and lie before the year 9900.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from orchestrator.domain.calendar.patterns import Pattern, pattern_of
from orchestrator.domain.calendar.zones import Change, changes_in, first_at, wall_at

#: Nothing is due from here on: room for the arithmetic of dates, which ends with the year 9999.
LAST_YEAR = 9900

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """When a schedule is due: by a cron expression on a zone's clock, or at a fixed interval from an anchor.

    Shape: exactly one of `cron` (five fields) and `every_s` is given; `zone` is an IANA name; `anchor` is where an
    interval is counted from (its first tick is one interval later), and is of no use to cron. `reading.read_rhythm`
    makes them of what people write; what it made may be put together again from its parts.
    """

    cron: str | None
    every_s: int | None
    zone: str
    anchor: datetime

    def __post_init__(self) -> None:
        assert (self.cron is None) != (self.every_s is None), "a rhythm is a cron expression or an interval"
        assert self.anchor.tzinfo is not None, "the anchor is an instant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One tick: the instant, and the time on the wall that was asked for (None for an interval)."""

    at: datetime
    wall: datetime | None


def next_tick(rhythm: Rhythm, after: datetime) -> datetime | None:
    """Return the first nominal instant (UTC) strictly after this one, None when there is none any more."""
    due = next(dues(rhythm, after), None)
    return due.at if due is not None else None


def ticks_between(rhythm: Rhythm, after: datetime, until: datetime, *, limit: int) -> list[datetime]:
    """Return the nominal instants in (after, until], ascending: the first `limit` of them when there are more."""
    within = takewhile(lambda due: due.at <= until, dues(rhythm, after))
    return [due.at for due in islice(within, limit)]


def runs_through(rhythm: Rhythm) -> bool:
    """Return whether clock changes leave the rhythm alone: an interval, or an expression for every hour."""
    return rhythm.cron is None or pattern_of(rhythm.cron).runs_through


def dues(rhythm: Rhythm, after: datetime) -> Iterator[Due]:
    """Yield the ticks strictly after an instant, ascending, no two at one instant. Endless: the caller bounds it."""
    after = after.astimezone(UTC)
    if rhythm.cron is None:
        ticks = _of_interval(rhythm, after)
    else:
        pattern, zone = pattern_of(rhythm.cron), ZoneInfo(rhythm.zone)
        ticks = _of_every_hour(pattern, zone, after) if pattern.runs_through else _of_named_hours(pattern, zone, after)
    return takewhile(lambda due: due.at.year < LAST_YEAR, ticks if after.year < LAST_YEAR else iter(()))


def _of_interval(rhythm: Rhythm, after: datetime) -> Iterator[Due]:
    assert rhythm.every_s is not None and rhythm.every_s > 0, "an interval goes forward"
    every, anchor = timedelta(seconds=rhythm.every_s), rhythm.anchor.astimezone(UTC)
    at = anchor + max(1, (after - anchor) // every + 1) * every
    while True:
        yield Due(at=at, wall=None)
        at += every


def _of_named_hours(pattern: Pattern, zone: ZoneInfo, after: datetime) -> Iterator[Due]:
    """Yield a tick for each matching time of the wall, at the first instant at which the clock has come so far.

    Times at or before what the clock shows now have had their instant. Of those after it, what lies in the first
    coming of a doubled hour has had it too, and is passed over; so are the further times of one gap.
    """
    for wall in pattern.walls(wall_at(zone, after)):
        at = first_at(zone, wall)
        if at > after:
            yield Due(at=at, wall=wall)
            after = at


def _of_every_hour(pattern: Pattern, zone: ZoneInfo, after: datetime) -> Iterator[Due]:
    """Yield each instant at which the clock shows a matching time: stretch by stretch between two clock changes."""
    shown = wall_at(zone, after)
    offset = shown - after.replace(tzinfo=None)
    border = _border(zone, after, offset)
    walls = pattern.walls(shown)
    wall = next(walls, None)
    while wall is not None:
        at = (wall - offset).replace(tzinfo=UTC)
        if at < border.at:
            yield Due(at=at, wall=wall)
            wall = next(walls, None)
            continue
        resumed = border.at.replace(tzinfo=None) + border.after
        if border.after < border.before:
            walls = pattern.walls(resumed - _SECOND)
            wall = next(walls, None)
        while wall is not None and wall < resumed:
            wall = next(walls, None)
        offset = border.after
        border = _border(zone, border.at, offset)


def _border(zone: ZoneInfo, after: datetime, offset: timedelta) -> Change:
    """Return the next clock change, or the end of the year as a change of nothing: a zone may never change again."""
    for change in changes_in(zone, after.year):
        if change.at > after:
            return change
    new_year = datetime(after.year + 1, 1, 1, tzinfo=UTC)
    # A change at the very first instant of a year belongs to that year, and must not hide behind its border.
    first = next(iter(changes_in(zone, new_year.year)), None)
    return first if first and first.at == new_year else Change(at=new_year, before=offset, after=offset)
