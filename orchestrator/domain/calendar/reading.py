"""Rhythms as people write them: a cron expression or an interval, and a zone; or why this cannot be a schedule."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from orchestrator.domain.calendar.patterns import read_cron, refused
from orchestrator.domain.calendar.rhythms import Rhythm, next_tick
from orchestrator.domain.calendar.zones import read_zone
from orchestrator.errors import BadInput, Problem

MIN_EVERY_S = 60
MAX_EVERY_S = 366 * 86400

#: Whoever waits longer for the first tick has most likely written something else than was meant. A 29 February comes
#: after eight years at the latest.
MAX_WAIT_YEARS = 10

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN = re.compile(r"([0-9]{1,9}) ?([smhdw])")


def read_rhythm(*, cron: str | None, every: str | None, zone: str, anchor: datetime) -> Rhythm:
    """Return the rhythm that is meant.

    Args:
        cron: five fields, or @hourly, @daily, @weekly, @monthly, @yearly.
        every: an interval such as 90m, 6h or 1d.
        anchor: where an interval is counted from, and from when on a cron expression is tried; an aware instant.

    Raises:
        BadInput: not exactly one of the two, an unknown zone, or what can or should not be a schedule.
    """
    if (cron is None) == (every is None):
        both = "give either a cron expression or an interval, not both"
        message = both if cron is not None else "a schedule needs a cron expression or an interval"
        problem = Problem(message=message, code="schedule.rhythm", field="cron")
        hint = 'For example --cron "30 2 * * *" or --every 6h.'
        raise BadInput(message, code="schedule.rhythm", hint=hint, problems=(problem,))
    rhythm = Rhythm(
        cron=None if cron is None else read_cron(cron),
        every_s=None if every is None else read_every(every),
        zone=read_zone(zone),
        anchor=anchor.astimezone(UTC),
    )
    if rhythm.cron is not None:
        _refuse_what_hardly_fires(rhythm)
    return rhythm


def read_every(text: str) -> int:
    """Return an interval in seconds.

    Raises:
        BadInput: it is none, or shorter than a minute, or longer than a year.
    """
    found = _SPAN.fullmatch(text.strip())
    if not found:
        shown = text if len(text) <= 20 else f"{text[:20]}…"
        raise _bad_every(f"{shown!r} is no interval", code="every.syntax")
    every_s = int(found[1]) * _UNITS_S[found[2]]
    if every_s < MIN_EVERY_S:
        raise _bad_every(f"an interval is at least {MIN_EVERY_S} s, not {every_s} s", code="every.range")
    if every_s > MAX_EVERY_S:
        raise _bad_every(f"an interval is at most {MAX_EVERY_S // 86400} days", code="every.range")
    return every_s


def _bad_every(message: str, *, code: str) -> BadInput:
    hint = "Give a number and one unit (s, m, h, d, w), such as 90m, 6h or 1d."
    return BadInput(message, code=code, hint=hint, problems=(Problem(message=message, code=code, field="every"),))


def _refuse_what_hardly_fires(rhythm: Rhythm) -> None:
    first = next_tick(rhythm, rhythm.anchor)
    if first is None:
        raise refused("this never fires", code="cron.never", hint="Look at the day and the month.")
    if first.year - rhythm.anchor.year > MAX_WAIT_YEARS:
        message = f"this fires first on {first:%Y-%m-%d}, more than {MAX_WAIT_YEARS} years from now"
        raise refused(message, code="cron.rare", hint="Look at the day, the month and the day of week.")
