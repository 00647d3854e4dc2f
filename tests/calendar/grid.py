"""What we are compared with the oracle on: 50 zones, 40 expressions, two years."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from orchestrator.domain.calendar.rhythms import Rhythm, ticks_between
from tests.calendar import oracle

#: Half-hour and quarter-hour zones, changes at midnight, negative and two-hour summer time, and none at all.
ZONES = (
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/El_Aaiun",
    "Africa/Johannesburg",
    "Africa/Lagos",
    "Africa/Nairobi",
    "America/Adak",
    "America/Anchorage",
    "America/Asuncion",
    "America/Bogota",
    "America/Caracas",
    "America/Chicago",
    "America/Denver",
    "America/Halifax",
    "America/Havana",
    "America/Los_Angeles",
    "America/Mexico_City",
    "America/Miquelon",
    "America/New_York",
    "America/Nuuk",
    "America/Phoenix",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/Scoresbysund",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Almaty",
    "Asia/Amman",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Jerusalem",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Asia/Shanghai",
    "Asia/Tehran",
    "Asia/Tokyo",
    "Atlantic/Azores",
    "Australia/Adelaide",
    "Australia/Eucla",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Europe/Berlin",
    "Europe/Chisinau",
    "Europe/Dublin",
    "Europe/Istanbul",
    "Europe/London",
    "Pacific/Apia",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "UTC",
)

EXPRESSIONS = (
    "30 2 * * *",
    "0 0 * * *",
    "30 0 * * *",
    "15 1 * * *",
    "0 2 * * *",
    "59 23 * * *",
    "45 1,2,3 * * *",
    "0,30 0-4 * * *",
    "*/15 * * * *",
    "*/5 * * * *",
    "0 * * * *",
    "7,22,37,52 * * * *",
    "40 */1 * * *",
    "10 0-23 * * *",
    "*/15 2 * * *",
    "*/20 1-3 * * 0,6",
    "* 2 * * *",
    "* 23 * * SAT",
    "* 0 * * SUN",
    "0 */6 * * *",
    "30 */2 * * *",
    "0 1-23/2 * * *",
    "5/20 2,3 * * *",
    "* * 25-31 3,10 *",
    "*/10 * * MAR-APR,SEP-NOV SUN",
    "30 2 * * 7",
    "0 9 * * MON-FRI",
    "0-30/5 8-18 * * 1-5",
    "0 0 1 * *",
    "0 0 1 * MON",
    "30 1 13 * FRI",
    "0 0 */2 * MON",
    "0 3 L * *",
    "30 2 LW * *",
    "0 2 * * SUN#2",
    "30 1 * * SUN#1",
    "30 2 * * 0L",
    "30 3 28-31 3,10 SUN#5",
    "0 0 29 2 *",
    "0 12,0 15,31 JAN/3 *",
)
assert len(ZONES) == len(set(ZONES)) == 50
assert len(EXPRESSIONS) == len(set(EXPRESSIONS)) == 40

MOST = 2_000_000


def difference(expression: str, zone: str, *, first: date, years: int = 2) -> str | None:
    """Return how our ticks differ from the oracle's, None when they do not."""
    begin = datetime(first.year, first.month, first.day, tzinfo=UTC)
    end = begin.replace(year=begin.year + years)
    rhythm = Rhythm(cron=expression, every_s=None, zone=zone, anchor=begin)
    ours = [int(tick.timestamp()) for tick in ticks_between(rhythm, begin, end, limit=MOST)]
    margin = timedelta(days=4)
    theirs = oracle.fires(expression, zone, first - margin, end.date() + margin)
    low, high = int(begin.timestamp()), int(end.timestamp())
    expected = [60 * minute for minute in theirs if low < 60 * minute <= high]
    if ours == expected:
        return None
    surplus, missing = sorted(set(ours) - set(expected)), sorted(set(expected) - set(ours))
    return f"{expression!r} in {zone}: too many {_shown(surplus)}, missing {_shown(missing)}"


def _shown(seconds: list[int]) -> str:
    first = ", ".join(datetime.fromtimestamp(second, tz=UTC).isoformat() for second in seconds[:3])
    return f"{len(seconds)} ({first})" if seconds else "0"
