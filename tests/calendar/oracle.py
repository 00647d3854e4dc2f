"""A second reading of cron and of clock changes, sharing no code with the product and none with cronsim.

Times are whole minutes since 1970, instants and times on the wall alike, so that a tick is an integer. Days far from a
clock change are arithmetic. Around a change every real minute is listed with what the clock shows at it, and the
policy is looked up in that list: a named time fires at the first minute that shows it or more; an expression for every
hour fires at each minute that shows it.
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import accumulate
from zoneinfo import ZoneInfo

DAY = 1440
EPOCH = date(1970, 1, 1)
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


@dataclass(frozen=True)
class Calendar:
    """A zone over some years: its quiet days with their offset, and its eventful stretches minute by minute."""

    quiet: list[tuple[date, int]]
    eventful: list[tuple[list[date], list[int], list[int]]]  # days, real minutes, what the clock shows at them


def fires(expression: str, zone: str, first: date, last: date) -> list[int]:
    """Return the instants at which the expression fires for the days first..last of the zone's calendar, ascending."""
    fields = expression.split()
    minutes, hours = numbers(fields[0], 0, 59), numbers(fields[1], 0, 23)
    times = sorted(60 * hour + minute for hour in hours for minute in minutes)
    through = len(hours) == 24
    table = calendar_of(zone, first, last)
    found: set[int] = set()
    for day, offset in table.quiet:
        if is_day(fields, day):
            midnight = (day - EPOCH).days * DAY - offset
            found.update([midnight + time for time in times])
    for days, real, shown in table.eventful:
        walls = [(day - EPOCH).days * DAY + time for day in days if is_day(fields, day) for time in times]
        found.update(_each(walls, real, shown) if through else _once(walls, real, shown))
    return sorted(found)


def _each(walls: list[int], real: list[int], shown: list[int]) -> Iterable[int]:
    wanted = set(walls)
    return (minute for minute, wall in zip(real, shown, strict=True) if wall in wanted)


def _once(walls: list[int], real: list[int], shown: list[int]) -> Iterable[int]:
    furthest = list(accumulate(shown, max))
    return (real[bisect_left(furthest, wall)] for wall in walls)


@cache
def calendar_of(zone: str, first: date, last: date) -> Calendar:
    known, quiet = ZoneInfo(zone), []
    loud: list[list[date]] = []
    days = (last - first).days + 1
    # Six-hourly, from three days before the first day on: a day is quiet when nothing changes within two days of it.
    begin = datetime(first.year, first.month, first.day, tzinfo=UTC) - timedelta(days=3)
    sampled = [_offset(known, begin + timedelta(hours=6 * index)) for index in range(4 * (days + 6))]
    for number in range(days):
        day = first + timedelta(days=number)
        offsets = set(sampled[4 * number + 4 : 4 * number + 24])
        if len(offsets) == 1:
            quiet.append((day, offsets.pop()))
        elif loud and loud[-1][-1] == day - timedelta(days=1):
            loud[-1].append(day)
        else:
            loud.append([day])
    return Calendar(quiet, [(block, *_minute_by_minute(known, block)) for block in loud])


def _minute_by_minute(zone: ZoneInfo, days: list[date]) -> tuple[list[int], list[int]]:
    begin = (days[0] - EPOCH).days * DAY - DAY
    real = list(range(begin, (days[-1] - EPOCH).days * DAY + 3 * DAY))
    start = datetime(1970, 1, 1, tzinfo=UTC)
    return real, [minute + _offset(zone, start + timedelta(minutes=minute)) for minute in real]


def _offset(zone: ZoneInfo, instant: datetime) -> int:
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None and offset.total_seconds() % 60 == 0
    return int(offset.total_seconds()) // 60


@cache
def numbers(field: str, low: int, high: int, names: tuple[str, ...] = ()) -> frozenset[int]:
    """Return the values of a field of numbers, names, ranges, steps and lists."""

    def one(text: str) -> int:
        return names.index(text.upper()) + low if text.isalpha() else int(text)

    found: set[int] = set()
    for term in field.split(","):
        span, _, step = term.partition("/")
        if span == "*":
            start, end = low, high
        elif "-" in span:
            start, end = (one(part) for part in span.split("-"))
        else:
            start = one(span)
            end = high if step else start
        found.update(range(start, end + 1, int(step or 1)))
    return frozenset(found)


def is_day(fields: list[str], day: date) -> bool:
    """Return whether the expression's last three fields take in this day."""
    of_month, months, of_week = fields[2:]
    if day.month not in numbers(months, 1, 12, MONTHS):
        return False
    by_day = any(_is_day_of_month(term, day) for term in of_month.split(","))
    by_weekday = any(_is_weekday(term, day) for term in of_week.split(","))
    if of_month[0] == "*" or of_week[0] == "*":
        return by_day and by_weekday
    return by_day or by_weekday


def _is_day_of_month(term: str, day: date) -> bool:
    last = monthrange(day.year, day.month)[1]
    if term == "L":
        return day.day == last
    if term == "LW":
        weekdays = [d for d in range(1, last + 1) if date(day.year, day.month, d).weekday() < 5]
        return day.day == weekdays[-1]
    return day.day in numbers(term, 1, 31)


def _is_weekday(term: str, day: date) -> bool:
    weekday = day.isoweekday() % 7
    if "#" in term:
        name, which = term.split("#")
        return _is_weekday(name, day) and (day.day - 1) // 7 + 1 == int(which)
    if term.upper().endswith("L"):
        return _is_weekday(term[:-1], day) and (day + timedelta(days=7)).month != day.month
    return weekday in {number % 7 for number in numbers(term, 0, 7, WEEKDAYS)}
