"""Times of the clock on the wall: `02:00`, the next such time, or an ISO time; and outages, `02:00+45m`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from orchestrator.cli.times import span_s
from orchestrator.errors import BadInput

#: Reads a time that names no zone as one of some zone. Python knows the machine's own rules only so.
Localize = Callable[[datetime], datetime]

LONGEST_OUTAGE = timedelta(days=7)

_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """The times of a rehearsal. `outages`: when each begins, and when it ends."""

    start: datetime
    finish_by: datetime | None
    outages: tuple[tuple[datetime, datetime], ...]
    local: Localize

    @classmethod
    def read(
        cls, start: str | None, finish_by: str | None, outages: Sequence[str], *, zone_name: str | None, now: datetime
    ) -> Times:
        """Read what was given; a start that is not given is now.

        Raises:
            BadInput: something is no time, or the end lies before the start.
        """
        local = zone(zone_name)
        begins = now if start is None else moment(start, after=now, local=local, option="--start")
        done = None
        if finish_by is not None:
            done = moment(finish_by, after=begins, local=local, option="--finish-by")
            if done <= begins:
                raise BadInput(f"--finish-by {finish_by}: it lies before the start", hint="Is the date right?")
        found = [outage(text, start=begins, local=local) for text in outages]
        return cls(start=begins, finish_by=done, outages=tuple((at, at + lasts) for at, lasts in found), local=local)

    def shown(self, at: datetime) -> datetime:
        """Return a moment in the zone of the times."""
        return in_zone(at, self.local)


def zone(name: str | None) -> Localize:
    """Return what makes a plain time one of a zone; None: the machine's.

    Raises:
        BadInput: there is no such zone.
    """
    if name is None:
        return lambda plain: plain.astimezone()
    try:
        found = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise BadInput(f"there is no time zone {name!r}", hint="For example: --tz Europe/Berlin") from None
    return lambda plain: plain.replace(tzinfo=found)


def moment(text: str, *, after: datetime, local: Localize, option: str) -> datetime:
    """Return the moment that is meant: of a time of day the next one from `after` on.

    Raises:
        BadInput: it is no time.
    """
    if found := _CLOCK.fullmatch(text):
        return next(at for at in _on_days(found, after, local, from_day=0) if at >= after)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        hint = f"Give {option} as 07:00 (the next such time) or 2026-01-31T07:00."
        raise BadInput(f"{option} {text}: no time", hint=hint) from None
    return at if at.tzinfo else local(at)


def outage(text: str, *, start: datetime, local: Localize) -> tuple[datetime, timedelta]:
    """Return when an outage begins and how long it lasts: of a time of day the first one that ends after the start.

    Raises:
        BadInput: it is none, or lies before the start.
    """
    at, plus, span = text.rpartition("+")
    if not plus:
        raise BadInput(f"--outage {text}: no outage", hint="Give it as 02:00+45m: when it begins, how long it lasts.")
    lasts = timedelta(seconds=span_s(span))
    if not timedelta() < lasts <= LONGEST_OUTAGE:
        raise BadInput(f"--outage {text}: an outage lasts between a second and a week", hint="For example 02:00+45m.")
    if found := _CLOCK.fullmatch(at):
        return next(one for one in _on_days(found, start, local, from_day=-8) if one + lasts > start), lasts
    begins = moment(at, after=start, local=local, option="--outage")
    if begins + lasts <= start:
        raise BadInput(f"--outage {text}: it is over before the start", hint="Is the date right?")
    return begins, lasts


def _on_days(found: re.Match[str], around: datetime, local: Localize, *, from_day: int) -> list[datetime]:
    """Return a time of day on some days; where a clock is put forward it may not be there, and is the hour after."""
    today = in_zone(around, local)
    days = (today + timedelta(days=n) for n in range(from_day, 3))
    return [local(datetime(day.year, day.month, day.day, int(found[1]), int(found[2]))) for day in days]


def in_zone(at: datetime, local: Localize) -> datetime:
    """Return a moment as the zone's clocks show it."""
    there = local(datetime(at.year, at.month, at.day, at.hour, at.minute)).tzinfo
    # The machine's zone comes as an offset: near a change of the clocks the one of the moment itself counts.
    return at.astimezone(there) if isinstance(there, ZoneInfo) else at.astimezone()
