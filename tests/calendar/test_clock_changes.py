"""Golden cases, worked out by hand: what fires, in UTC, where the clocks of 22 zones go forward and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from orchestrator.domain.calendar.rhythms import Rhythm, next_tick, ticks_between
from orchestrator.domain.calendar.zones import changes_in

#: Zone | the change (UTC) | a daily time that the change skips or doubles | its fires on the day before, the day
#: itself and the day after (UTC) | the first of five hourly ticks around the change (UTC).
FORWARD = """
Europe/Berlin        | 2025-03-30 01:00 | 30 2 * * *  | 03-29 01:30, 03-30 01:00, 03-31 00:30 | 03-29 23:00
Europe/London        | 2025-03-30 01:00 | 30 1 * * *  | 03-29 01:30, 03-30 01:00, 03-31 00:30 | 03-29 23:00
Europe/Dublin        | 2025-03-30 01:00 | 15 1 * * *  | 03-29 01:15, 03-30 01:00, 03-31 00:15 | 03-29 23:00
Europe/Athens        | 2025-03-30 01:00 | 30 3 * * *  | 03-29 01:30, 03-30 01:00, 03-31 00:30 | 03-29 23:00
America/New_York     | 2025-03-09 07:00 | 30 2 * * *  | 03-08 07:30, 03-09 07:00, 03-10 06:30 | 03-09 05:00
America/Los_Angeles  | 2025-03-09 10:00 | 30 2 * * *  | 03-08 10:30, 03-09 10:00, 03-10 09:30 | 03-09 08:00
America/St_Johns     | 2025-03-09 05:30 | 30 2 * * *  | 03-08 06:00, 03-09 05:30, 03-10 05:00 | 03-09 03:30
America/Havana       | 2025-03-09 05:00 | 30 0 * * *  | 03-08 05:30, 03-09 05:00, 03-10 04:30 | 03-09 03:00
America/Santiago     | 2025-09-07 04:00 | 30 0 * * *  | 09-06 04:30, 09-07 04:00, 09-08 03:30 | 09-07 02:00
America/Asuncion     | 2024-10-06 04:00 | 30 0 * * *  | 10-05 04:30, 10-06 04:00, 10-07 03:30 | 10-06 02:00
America/Sao_Paulo    | 2018-11-04 03:00 | 30 0 * * *  | 11-03 03:30, 11-04 03:00, 11-05 02:30 | 11-04 01:00
Africa/Cairo         | 2025-04-24 22:00 | 30 0 * * *  | 04-23 22:30, 04-24 22:00, 04-25 21:30 | 04-24 20:00
Asia/Beirut          | 2025-03-29 22:00 | 30 0 * * *  | 03-28 22:30, 03-29 22:00, 03-30 21:30 | 03-29 20:00
Africa/Casablanca    | 2025-04-06 02:00 | 30 2 * * *  | 04-05 02:30, 04-06 02:00, 04-07 01:30 | 04-06 00:00
Asia/Jerusalem       | 2025-03-28 00:00 | 30 2 * * *  | 03-27 00:30, 03-28 00:00, 03-28 23:30 | 03-27 22:00
Asia/Tehran          | 2022-03-21 20:30 | 30 0 * * *  | 03-20 21:00, 03-21 20:30, 03-22 20:00 | 03-21 18:30
Antarctica/Troll     | 2025-03-30 01:00 | 30 1 * * *  | 03-29 01:30, 03-30 01:00, 03-30 23:30 | 03-29 23:00
Australia/Lord_Howe  | 2025-10-04 15:30 | 15 2 * * *  | 10-03 15:45, 10-04 15:30, 10-05 15:15 |
Australia/Sydney     | 2025-10-04 16:00 | 30 2 * * *  | 10-03 16:30, 10-04 16:00, 10-05 15:30 | 10-04 14:00
Pacific/Auckland     | 2025-09-27 14:00 | 30 2 * * *  | 09-26 14:30, 09-27 14:00, 09-28 13:30 | 09-27 12:00
Pacific/Chatham      | 2025-09-27 14:00 | 0 3 * * *   | 09-26 14:15, 09-27 14:00, 09-28 13:15 | 09-27 12:15
Pacific/Apia         | 2011-12-30 10:00 | 0 12 * * *  | 12-29 22:00, 12-30 10:00, 12-30 22:00 | 12-30 08:00
"""

BACK = """
Europe/Berlin        | 2025-10-26 01:00 | 30 2 * * *  | 10-25 00:30, 10-26 00:30, 10-27 01:30 | 10-25 23:00
Europe/London        | 2025-10-26 01:00 | 30 1 * * *  | 10-25 00:30, 10-26 00:30, 10-27 01:30 | 10-25 23:00
Europe/Dublin        | 2025-10-26 01:00 | 15 1 * * *  | 10-25 00:15, 10-26 00:15, 10-27 01:15 | 10-25 23:00
Europe/Athens        | 2025-10-26 01:00 | 30 3 * * *  | 10-25 00:30, 10-26 00:30, 10-27 01:30 | 10-25 23:00
America/New_York     | 2025-11-02 06:00 | 30 1 * * *  | 11-01 05:30, 11-02 05:30, 11-03 06:30 | 11-02 04:00
America/Los_Angeles  | 2025-11-02 09:00 | 30 1 * * *  | 11-01 08:30, 11-02 08:30, 11-03 09:30 | 11-02 07:00
America/St_Johns     | 2025-11-02 04:30 | 30 1 * * *  | 11-01 04:00, 11-02 04:00, 11-03 05:00 | 11-02 02:30
America/Havana       | 2025-11-02 05:00 | 30 0 * * *  | 11-01 04:30, 11-02 04:30, 11-03 05:30 | 11-02 03:00
America/Santiago     | 2025-04-06 03:00 | 30 23 * * * | 04-05 02:30, 04-06 02:30, 04-07 03:30 | 04-06 01:00
America/Asuncion     | 2024-03-24 03:00 | 30 23 * * * | 03-23 02:30, 03-24 02:30, 03-25 03:30 | 03-24 01:00
America/Sao_Paulo    | 2019-02-17 02:00 | 30 23 * * * | 02-16 01:30, 02-17 01:30, 02-18 02:30 | 02-17 00:00
Africa/Cairo         | 2025-10-30 21:00 | 30 23 * * * | 10-29 20:30, 10-30 20:30, 10-31 21:30 | 10-30 19:00
Asia/Beirut          | 2025-10-25 21:00 | 30 23 * * * | 10-24 20:30, 10-25 20:30, 10-26 21:30 | 10-25 19:00
Africa/Casablanca    | 2025-02-23 02:00 | 30 2 * * *  | 02-22 01:30, 02-23 01:30, 02-24 02:30 | 02-23 00:00
Asia/Jerusalem       | 2025-10-25 23:00 | 30 1 * * *  | 10-24 22:30, 10-25 22:30, 10-26 23:30 | 10-25 21:00
Asia/Tehran          | 2022-09-21 19:30 | 30 23 * * * | 09-20 19:00, 09-21 19:00, 09-22 20:00 | 09-21 17:30
Antarctica/Troll     | 2025-10-26 01:00 | 30 1 * * *  | 10-24 23:30, 10-25 23:30, 10-27 01:30 | 10-25 23:00
Australia/Lord_Howe  | 2025-04-05 15:00 | 45 1 * * *  | 04-04 14:45, 04-05 14:45, 04-06 15:15 |
Australia/Sydney     | 2025-04-05 16:00 | 30 2 * * *  | 04-04 15:30, 04-05 15:30, 04-06 16:30 | 04-05 14:00
Pacific/Auckland     | 2025-04-05 14:00 | 30 2 * * *  | 04-04 13:30, 04-05 13:30, 04-06 14:30 | 04-05 12:00
Pacific/Chatham      | 2025-04-05 14:00 | 0 3 * * *   | 04-04 13:15, 04-05 13:15, 04-06 14:15 | 04-05 12:15
Pacific/Apia         | 2012-03-31 14:00 | 30 3 * * *  | 03-30 13:30, 03-31 13:30, 04-01 14:30 | 03-31 12:00
"""

CASES = [tuple(cell.strip() for cell in line.split("|")) for line in (FORWARD + BACK).splitlines() if line]
HOUR, QUARTER = timedelta(hours=1), timedelta(minutes=15)


def instant(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)


def cron(expression: str, zone: str) -> Rhythm:
    return Rhythm(cron=expression, every_s=None, zone=zone, anchor=instant("2011-01-01 00:00"))


def fires(expression: str, zone: str, after: str, until: str) -> list[str]:
    """Return the ticks in (after, until], in UTC, as `day hour:minute`."""
    ticks = ticks_between(cron(expression, zone), instant(after), instant(until), limit=10_000)
    return [tick.strftime("%m-%d %H:%M") for tick in ticks]


def test_the_tables_hold_twenty_zones_with_both_changes() -> None:
    assert len({zone for zone, *_ in CASES}) >= 20
    assert len(CASES) == 2 * len({zone for zone, *_ in CASES})


@pytest.mark.parametrize(("zone", "change", "daily", "expected", "_hourly"), CASES)
def test_a_daily_time_fires_once_a_day_also_where_it_is_missing_or_doubled(
    zone: str, change: str, daily: str, expected: str, _hourly: str
) -> None:
    wanted = [instant(f"{change[:4]}-{text}") for text in expected.split(", ")]
    rhythm = cron(daily, zone)
    assert ticks_between(rhythm, wanted[0] - QUARTER, wanted[2] + QUARTER, limit=10) == wanted
    assert next_tick(rhythm, instant(change)) == wanted[2]


@pytest.mark.parametrize(("zone", "change", "_daily", "_expected", "_hourly"), CASES)
def test_a_quarter_of_an_hour_runs_straight_through(
    zone: str, change: str, _daily: str, _expected: str, _hourly: str
) -> None:
    begin = instant(change) - 4 * HOUR
    ticks = ticks_between(cron("*/15 * * * *", zone), begin, begin + 8 * HOUR, limit=100)
    assert ticks == [begin + number * QUARTER for number in range(1, 33)]


@pytest.mark.parametrize(("zone", "change", "_daily", "_expected", "hourly"), [case for case in CASES if case[4]])
def test_an_hour_runs_straight_through_where_the_clock_moves_by_hours(
    zone: str, change: str, _daily: str, _expected: str, hourly: str
) -> None:
    first = instant(f"{change[:4]}-{hourly}")
    ticks = ticks_between(cron("0 * * * *", zone), first - QUARTER, first + 4 * HOUR, limit=10)
    assert ticks == [first + number * HOUR for number in range(5)]
    assert first < instant(change) < first + 4 * HOUR


def test_full_hours_stay_full_hours_where_the_clock_moves_by_half_of_one() -> None:
    zone = "Australia/Lord_Howe"
    forward = fires("0 * * * *", zone, "2025-10-04 13:00", "2025-10-04 17:30")
    assert forward == ["10-04 13:30", "10-04 14:30", "10-04 16:00", "10-04 17:00"]
    back = fires("0 * * * *", zone, "2025-04-05 12:00", "2025-04-05 17:00")
    assert back == ["04-05 13:00", "04-05 14:00", "04-05 15:30", "04-05 16:30"]
    assert fires("45 * * * *", zone, "2025-04-05 14:00", "2025-04-05 16:00") == [
        *("04-05 14:45", "04-05 15:15"),  # 01:45 comes twice within the hour, and each is a time that the clock shows
    ]


def test_all_the_times_of_one_gap_come_to_one_tick() -> None:
    assert fires("0,30 2 * * *", "Europe/Berlin", "2025-03-30 00:00", "2025-03-30 12:00") == ["03-30 01:00"]
    assert fires("0 2,3 * * *", "Europe/Berlin", "2025-03-30 00:00", "2025-03-30 12:00") == ["03-30 01:00"]
    assert fires("*/15 2 * * *", "Europe/Berlin", "2025-03-30 00:00", "2025-03-30 12:00") == ["03-30 01:00"]


def test_quarters_of_a_named_hour_fire_in_its_first_coming_only() -> None:
    quarters = ["10-26 00:00", "10-26 00:15", "10-26 00:30", "10-26 00:45"]
    assert fires("*/15 2 * * *", "Europe/Berlin", "2025-10-25 22:00", "2025-10-26 12:00") == quarters


def test_every_sixth_hour_keeps_its_midnight_where_midnight_is_missing_or_doubled() -> None:
    cairo = fires("0 */6 * * *", "Africa/Cairo", "2025-04-24 15:00", "2025-04-25 09:00")
    assert cairo == ["04-24 16:00", "04-24 22:00", "04-25 03:00", "04-25 09:00"]
    havana = fires("0 */6 * * *", "America/Havana", "2025-11-01 21:00", "2025-11-02 11:00")
    assert havana == ["11-01 22:00", "11-02 04:00", "11-02 11:00"]


def test_every_hour_is_every_hour_however_it_is_spelled() -> None:
    around = ("Europe/Berlin", "2025-10-25 20:00", "2025-10-26 06:00")
    assert len(fires("0 * * * *", *around)) == 10
    assert fires("0 0-23 * * *", *around) == fires("0 */1 * * *", *around) == fires("0 * * * *", *around)


def test_a_day_that_the_zone_left_out_has_no_hours_and_its_noon_comes_at_its_end() -> None:
    assert fires("0 * 30 12 *", "Pacific/Apia", "2011-12-01 00:00", "2012-01-31 00:00") == []
    assert fires("0 12 30 12 *", "Pacific/Apia", "2011-12-01 00:00", "2012-01-31 00:00") == ["12-30 10:00"]


def test_nothing_fires_again_after_a_start_within_the_second_coming_of_an_hour() -> None:
    second_ten_past_two = instant("2025-10-26 01:10")
    assert next_tick(cron("30 2 * * *", "Europe/Berlin"), second_ten_past_two) == instant("2025-10-27 01:30")
    assert next_tick(cron("0 3 * * *", "Europe/Berlin"), second_ten_past_two) == instant("2025-10-26 02:00")


def test_two_changes_within_a_week_are_both_found() -> None:
    changes = changes_in(ZoneInfo("America/Boa_Vista"), 2000)
    assert [change.at for change in changes[-2:]] == [instant("2000-10-08 04:00"), instant("2000-10-15 03:00")]
    assert [change.is_forward for change in changes[-2:]] == [True, False]


def test_an_interval_is_elapsed_time_and_knows_no_clock() -> None:
    rhythm = Rhythm(cron=None, every_s=6 * 3600, zone="Europe/Berlin", anchor=instant("2025-03-29 00:10"))
    ticks = ticks_between(rhythm, instant("2025-03-29 00:10"), instant("2025-03-31 00:10"), limit=100)
    assert ticks == [rhythm.anchor + number * 6 * HOUR for number in range(1, 9)]
    assert next_tick(rhythm, instant("2020-01-01 00:00")) == rhythm.anchor + 6 * HOUR


def test_either_day_is_enough_where_both_are_named_and_a_star_leaves_the_choice_to_the_other() -> None:
    assert fires("0 0 13 * FRI", "UTC", "2025-06-01 00:00", "2025-06-20 12:00") == [
        *("06-06 00:00", "06-13 00:00", "06-20 00:00"),
    ]
    assert fires("0 0 2 * MON", "UTC", "2025-05-31 00:00", "2025-06-10 00:00") == ["06-02 00:00", "06-09 00:00"]
    assert fires("0 0 */10 * MON", "UTC", "2025-05-31 00:00", "2025-08-31 00:00") == ["07-21 00:00", "08-11 00:00"]
