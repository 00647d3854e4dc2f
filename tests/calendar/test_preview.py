"""What people read before they trust a schedule: the ticks on both clocks, the jumps, and the rhythm in words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from orchestrator.domain.calendar.preview import MAX_PREVIEWS, in_words, preview
from orchestrator.domain.calendar.rhythms import Rhythm

ANCHOR = datetime(2025, 1, 1, tzinfo=UTC)


def rhythm(cron: str | None, zone: str = "Europe/Berlin", *, every_s: int | None = None) -> Rhythm:
    return Rhythm(cron=cron, every_s=every_s, zone=zone, anchor=ANCHOR)


def shown(given: Rhythm, after: str, n: int) -> list[str]:
    """Return each preview as `local clock, offset, jump`."""
    start = datetime.strptime(after, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    return [f"{p.local:%m-%d %H:%M%z} {p.jump or ''}".strip() for p in preview(given, start, n)]


def test_a_time_that_does_not_exist_says_when_it_fires_instead() -> None:
    assert shown(rhythm("30 2 * * *"), "2025-03-29 00:00", 3) == [
        "03-29 02:30+0100",
        "03-30 03:00+0200 02:30 does not exist that day: fires at 03:00, when the clock goes forward",
        "03-31 02:30+0200",
    ]


def test_a_day_that_does_not_exist_says_so_with_both_days() -> None:
    assert shown(rhythm("0 12 * * *", "Pacific/Apia"), "2011-12-30 00:00", 1) == [
        "12-31 00:00+1400 2011-12-30 12:00 does not exist there: fires at 2011-12-31 00:00, when the clock goes forward"
    ]


def test_a_time_that_comes_twice_says_that_it_fires_once() -> None:
    assert shown(rhythm("30 2 * * *"), "2025-10-25 12:00", 2) == [
        "10-26 02:30+0200 02:30 comes twice that day, because the clock goes back: fires at its first coming only",
        "10-27 02:30+0100",
    ]


def test_every_hour_tells_its_two_comings_and_the_hour_left_out() -> None:
    assert shown(rhythm("0 * * * *"), "2025-10-25 23:30", 3) == [
        "10-26 02:00+0200 02:00 comes twice that day, because the clock goes back: this is its first coming",
        "10-26 02:00+0100 02:00 comes twice that day, because the clock goes back: this is its second coming",
        "10-26 03:00+0100",
    ]
    assert shown(rhythm("0 * * * *"), "2025-03-29 23:30", 3) == [
        "03-30 01:00+0100",
        "03-30 03:00+0200 between the tick before and this one the clock goes forward from 02:00 to 03:00",
        "03-30 04:00+0200",
    ]


def test_an_hour_that_loses_no_tick_and_doubles_none_says_nothing() -> None:
    assert shown(rhythm("0 * * * *", "Australia/Lord_Howe"), "2025-04-05 13:30", 2) == [
        "04-06 01:00+1100",
        "04-06 02:00+1030",
    ]


def test_an_interval_tells_where_it_moves_on_the_clock_and_only_there() -> None:
    assert shown(rhythm(None, every_s=86400), "2025-03-29 00:00", 3) == [
        "03-30 01:00+0100",
        "03-31 02:00+0200 the clock goes forward on 2025-03-30: from here on 1 hour later on the clock",
        "04-01 02:00+0200",
    ]
    assert shown(rhythm(None, "Australia/Lord_Howe", every_s=86400), "2025-04-04 12:00", 2) == [
        "04-05 11:00+1100",
        "04-06 10:30+1030 the clock goes back on 2025-04-06: from here on 30 minutes earlier on the clock",
    ]


def test_a_zone_without_changes_never_jumps() -> None:
    assert {p.jump for p in preview(rhythm("30 2 * * *", "UTC"), ANCHOR, 400)} == {None}


def test_a_preview_is_bounded() -> None:
    assert len(preview(rhythm("* * * * *"), ANCHOR, 10**9)) == MAX_PREVIEWS
    assert preview(rhythm("* * * * *"), ANCHOR, 0) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (rhythm("30 2 * * *"), "At 02:30 every day (Europe/Berlin)"),
        (rhythm("*/15 * * * *", "UTC"), "Every 15th minute of every hour (UTC)"),
        (rhythm("0 9 * * 1-5"), "At 09:00 on Monday through Friday (Europe/Berlin)"),
        (
            rhythm("0 0 1 * MON"),
            "At 00:00 on the first day of month and on Monday, either day is enough (Europe/Berlin)",
        ),
        (rhythm(None, every_s=21600), "every 6 hours, counted from 2025-01-01 00:00 UTC (Europe/Berlin)"),
        (rhythm(None, every_s=86400), "every day, counted from 2025-01-01 00:00 UTC (Europe/Berlin)"),
        (rhythm(None, every_s=5400), "every 90 minutes, counted from 2025-01-01 00:00 UTC (Europe/Berlin)"),
        (rhythm(None, every_s=61), "every 61 seconds, counted from 2025-01-01 00:00 UTC (Europe/Berlin)"),
    ],
)
def test_a_rhythm_reads_as_people_say_it(given: Rhythm, words: str) -> None:
    assert in_words(given) == words
