"""What people are shown of a rhythm: its next ticks with what the clock does to them, and the whole in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim

from orchestrator.domain.calendar.patterns import either_day_is_enough
from orchestrator.domain.calendar.rhythms import Due, Rhythm, dues, runs_through
from orchestrator.domain.calendar.zones import last_change, wall_at

MAX_PREVIEWS = 1000

#: How far back a tick looks for a clock change that it might tell of: for an interval, the longest there is.
_ABOUT_A_YEAR = timedelta(days=366)
_ONE_DAY = timedelta(days=1)

_UNITS_S = {"week": 7 * 86400, "day": 86400, "hour": 3600, "minute": 60, "second": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A tick to come. `jump` is a sentence where the clock is changed at it or just before it, else None.

    Shape: `utc` and `local` are one instant; compare and sort by `utc`, because Python calls a doubled local time
    unequal to every time of another zone.
    """

    utc: datetime
    local: datetime
    jump: str | None


def preview(rhythm: Rhythm, after: datetime, n: int) -> list[Preview]:
    """Return the next `n` ticks (at most 1000) strictly after an instant, on the schedule's own clock and in UTC."""
    zone, previous, shown = ZoneInfo(rhythm.zone), after.astimezone(UTC), []
    for due in islice(dues(rhythm, after), min(n, MAX_PREVIEWS)):
        local = due.at.astimezone(zone)
        shown.append(Preview(utc=due.at, local=local, jump=_jump(rhythm, zone, due, previous)))
        previous = due.at
    return shown


def in_words(rhythm: Rhythm) -> str:
    """Return the rhythm in plain language, with its zone: `At 02:30 every day (Europe/Berlin)`."""
    if rhythm.every_s is not None:
        start = f"{rhythm.anchor.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        return f"every {_length(rhythm.every_s).removeprefix('1 ')}, counted from {start} ({rhythm.zone})"
    assert rhythm.cron is not None, "a rhythm is a cron expression or an interval"
    words = CronSim(rhythm.cron, datetime(2000, 1, 1)).explain()
    either = ", either day is enough" if either_day_is_enough(rhythm.cron) else ""
    return f"{words}{either} ({rhythm.zone})"


def _jump(rhythm: Rhythm, zone: ZoneInfo, due: Due, previous: datetime) -> str | None:
    if due.wall is None:
        return _shifted(zone, due.at, previous)
    if runs_through(rhythm):
        return _run_through(zone, due.at, previous)
    local = wall_at(zone, due.at)
    if local != due.wall:
        day = "" if local.date() == due.wall.date() else "%Y-%m-%d "
        place = "that day" if not day else "there"
        wanted, at = due.wall.strftime(f"{day}%H:%M"), local.strftime(f"{day}%H:%M")
        return f"{wanted} does not exist {place}: fires at {at}, when the clock goes forward"
    if _comes_twice(zone, local):
        return f"{local:%H:%M} comes twice that day, because the clock goes back: fires at its first coming only"
    return None


def _run_through(zone: ZoneInfo, at: datetime, previous: datetime) -> str | None:
    """Say where an expression for every hour meets a change: at doubled times, and at the first tick after a gap."""
    local = at.astimezone(zone)
    if _comes_twice(zone, local.replace(tzinfo=None)):
        coming = "second" if local.fold else "first"
        return f"{local:%H:%M} comes twice that day, because the clock goes back: this is its {coming} coming"
    change = last_change(zone, since=max(previous, at - _ONE_DAY), until=at)
    if change is None or not change.is_forward:
        return None
    last, resumed = (change.at.replace(tzinfo=None) + offset for offset in (change.before, change.after))
    return f"between the tick before and this one the clock goes forward from {last:%H:%M} to {resumed:%H:%M}"


def _shifted(zone: ZoneInfo, at: datetime, previous: datetime) -> str | None:
    """Say where an interval, which knows no clock, moves on the clock."""
    change = last_change(zone, since=max(previous, at - _ABOUT_A_YEAR), until=at)
    if change is None or wall_at(zone, at) - wall_at(zone, previous) == at - previous:
        return None
    moved = change.after - change.before
    way, place = ("forward", "later") if change.is_forward else ("back", "earlier")
    day = f"{change.at.replace(tzinfo=None) + change.before:%Y-%m-%d}"
    return (
        f"the clock goes {way} on {day}: from here on {_length(int(abs(moved).total_seconds()))} {place} on the clock"
    )


def _comes_twice(zone: ZoneInfo, wall: datetime) -> bool:
    """Return whether the clock shows this time twice; it must be one that exists."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    return first != second


def _length(seconds: int) -> str:
    """Return a span in its largest whole unit: `6 hours`, `90 minutes`, `1 day`."""
    unit = next(name for name, size_s in _UNITS_S.items() if seconds % size_s == 0)
    count = seconds // _UNITS_S[unit]
    return f"{count} {unit}s" if count > 1 else f"1 {unit}"
