"""Cron expressions, read once: on which days, at which times of the day, and whether they run through clock changes.

`cronsim` reads the fields and knows the days; the times of a day, and what a clock change does to them, are ours
(`rhythms.py`). Its own treatment of zones is Debian cron's, and is not used: it decides by the spelling (a star
first), so that `*/15 2 * * *` is lost on the day without a 02:00 and comes twice on the day with two of them; it can
give a tick before the instant that it was asked to continue from, when that lies in the second coming of an hour; and
it gives a 00:00 that does not exist where the clock jumps at midnight.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from cronsim import CronSim, CronSimError

from orchestrator.errors import BadInput, Problem

MAX_LENGTH = 100

#: field -> how many values it has (a weekday 7 is a 0), in the order in which they stand.
FIELDS = {"minute": 60, "hour": 24, "day of month": 31, "month": 12, "day of week": 7}
_RANGES = {
    "minute": "0-59",
    "hour": "0-23",
    "day of month": "1-31, L (the last day) or LW (the last weekday)",
    "month": "1-12 or JAN-DEC",
    "day of week": "0-7 or SUN-SAT (0 and 7 are Sunday), MON#2 (the second Monday) or 5L (the last Friday)",
}

MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}

_EVERY_HOUR = set(range(24))
_SOME_DAY = datetime(2000, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """What an expression says of the clock on the wall.

    Shape: `days` is an expression of its own that matches the midnight of each day; `times` are the times of such a
    day, ascending; `runs_through` is True where every hour is meant, so that no hour has a name that can be missed.
    """

    days: str
    times: tuple[timedelta, ...]
    runs_through: bool

    def walls(self, after: datetime) -> Iterator[datetime]:
        """Yield the times on the wall that match, ascending, strictly after this one. Ends after 50 idle years."""
        midnight = datetime.combine(after.date(), datetime.min.time())
        begin = bisect_right(self.times, after - midnight)
        # One second earlier, because cronsim gives what comes strictly after.
        for day in CronSim(self.days, midnight - timedelta(seconds=1)):
            for time in self.times[begin:] if day == midnight else self.times:
                yield day + time


@lru_cache(maxsize=1024)
def pattern_of(cron: str) -> Pattern:
    """Return the pattern of an expression that `read_cron` has passed."""
    sim = CronSim(cron, _SOME_DAY)
    times = sorted(timedelta(hours=hour, minutes=minute) for hour in sim.hours for minute in sim.minutes)
    days = " ".join(["0", "0", *cron.split()[2:]])
    return Pattern(days=days, times=tuple(times), runs_through=sim.hours == _EVERY_HOUR)


def either_day_is_enough(cron: str) -> bool:
    """Return whether a day of the month or a day of the week is enough: when both are named, as in Vixie cron."""
    day, _, weekday = cron.split()[2:]
    return not day.startswith("*") and not weekday.startswith("*")


def read_cron(text: str) -> str:
    """Return the expression with its five fields, one space apart, and `@daily` and its like written out.

    Raises:
        BadInput: it is none, or it can never fire; the message names the field.
    """
    if len(text) > MAX_LENGTH:
        raise refused(f"a cron expression has at most {MAX_LENGTH} characters", code="cron.too_long")
    cron = _written_out(" ".join(text.split()))
    fields = cron.split()
    if len(fields) != len(FIELDS):
        raise _wrong_count(len(fields))
    for position, (name, field) in enumerate(zip(FIELDS, fields, strict=True)):
        _check_field(name, field, position)
    try:
        pattern_of(cron)
    except CronSimError:
        message = "this never fires: no month of those named has such a day"
        raise refused(message, code="cron.never", hint="L in the day's field is the last day of a month.") from None
    return cron


def refused(message: str, *, code: str, hint: str | None = None) -> BadInput:
    """Return the refusal of a cron expression, for the caller to raise."""
    return BadInput(message, code=code, hint=hint, problems=(Problem(message=message, code=code, field="cron"),))


def _written_out(text: str) -> str:
    if not text.startswith("@"):
        return text
    if text.lower() in MACROS:
        return MACROS[text.lower()]
    why = "there is no start of the machine to wait for" if text.lower() == "@reboot" else "it is not known"
    raise refused(f"{text} is not taken: {why}", code="cron.macro", hint=f"Known: {', '.join(MACROS)}.")


def _wrong_count(count: int) -> BadInput:
    hint = "For example 30 2 * * 1-5: at 02:30 from Monday to Friday."
    if count == len(FIELDS) + 1:
        hint = "Seconds are not taken: leave out that field."
    elif count == len(FIELDS) + 2:
        hint = "Seconds and years are not taken: leave out those fields."
    names = "minute, hour, day of month, month, day of week"
    return refused(f"a cron expression has five fields ({names}), not {count}", code="cron.fields", hint=hint)


def _check_field(name: str, field: str, position: int) -> None:
    """Refuse a field that does not read (cronsim is asked with all others open), or steps further than it is long."""
    alone = ["*"] * len(FIELDS)
    alone[position] = field
    takes = f"The {name} takes {_RANGES[name]}; with * for all, lists (1,3), ranges upwards (1-5) and steps (*/2)."
    try:
        if not field.isascii():
            raise CronSimError(field)
        CronSim(" ".join(alone), _SOME_DAY)
    except CronSimError:
        raise refused(f"the {name} {field!r} does not read", code="cron.field", hint=takes) from None
    for term in field.split(","):
        step = term.partition("/")[2]
        if step and int(step) > FIELDS[name]:
            message = f"the {name} {field!r} steps by {int(step)}, but there are only {FIELDS[name]} of them"
            hint = "A step starts anew with each hour, day, month or year: for an even interval give --every."
            raise refused(message, code="cron.step", hint=hint)
