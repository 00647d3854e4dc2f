"""What holds for any rhythm, any zone and any instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.calendar.preview import in_words, preview
from orchestrator.domain.calendar.reading import read_rhythm
from orchestrator.domain.calendar.rhythms import Rhythm, next_tick, ticks_between
from orchestrator.errors import BadInput
from tests.calendar.grid import ZONES
from tests.counting import calls_of

ANCHOR = datetime(2024, 5, 6, 7, 8, 9, 10, tzinfo=UTC)

#: Instants within a day of a clock change somewhere, and any others.
CHANGES = [
    *(
        datetime(2025, 3, 30, 1, tzinfo=UTC),
        datetime(2025, 10, 26, 1, tzinfo=UTC),
        datetime(2025, 11, 2, 6, tzinfo=UTC),
    ),
    *(datetime(2025, 4, 5, 15, tzinfo=UTC), datetime(2025, 10, 4, 15, 30, tzinfo=UTC)),
    *(datetime(2025, 4, 24, 22, tzinfo=UTC), datetime(2011, 12, 30, 10, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)),
]
near_a_change = st.builds(
    lambda change, us: change + timedelta(microseconds=us),
    st.sampled_from(CHANGES),
    st.integers(-86_400_000_000, 86_400_000_000)
    | st.integers(-3, 3)
    | st.integers(-240, 240).map(lambda m: m * 60 * 10**6),
)
instants = near_a_change | st.datetimes(datetime(1975, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))


def number_field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    step = st.tuples(span | st.just("*"), st.integers(1, 7)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    return st.just("*") | st.lists(number.map(str) | span | step, min_size=1, max_size=3).map(",".join)


expressions = st.tuples(
    number_field(0, 59),
    number_field(0, 23),
    number_field(1, 28) | st.sampled_from(["*", "L", "LW", "31"]),
    st.just("*") | number_field(1, 12),
    st.just("*") | number_field(0, 7) | st.sampled_from(["MON#2", "5L", "sun"]),
).map(" ".join)
crons = st.builds(lambda cron, zone: (cron, None, zone), expressions, st.sampled_from(ZONES))
intervals = st.builds(lambda s, zone: (None, s, zone), st.integers(60, 366 * 86400), st.sampled_from(ZONES))


@st.composite
def rhythms(draw: st.DrawFn) -> Rhythm:
    cron, every_s, zone = draw(crons | intervals)
    if cron is None:
        return Rhythm(cron=None, every_s=every_s, zone=zone, anchor=ANCHOR)
    try:
        return read_rhythm(cron=cron, every=None, zone=zone, anchor=ANCHOR)
    except BadInput as refusal:
        # Only days that no month has, or hardly ever: 31 in short months, or a fifth of a month that must be a Monday.
        assert refusal.code in {"cron.never", "cron.rare", "cron.too_long"}, refusal
        return Rhythm(cron="0 0 1 1 *", every_s=None, zone=zone, anchor=ANCHOR)


@settings(max_examples=300, deadline=None)
@given(rhythms(), instants)
def test_the_next_tick_is_after_and_nothing_lies_between(rhythm: Rhythm, after: datetime) -> None:
    tick = next_tick(rhythm, after)
    assert tick is not None
    assert tick > after
    assert tick.utcoffset() == timedelta(0)
    assert next_tick(rhythm, tick - timedelta(microseconds=1)) == tick
    halfway = after + (tick - after) / 2
    assert next_tick(rhythm, min(halfway, tick - timedelta(microseconds=1))) == tick


@settings(max_examples=150, deadline=None)
@given(rhythms(), instants, st.timedeltas(timedelta(0), timedelta(days=3)), st.integers(0, 60))
def test_ticks_between_are_those_of_asking_for_the_next_one_again_and_again(
    rhythm: Rhythm, after: datetime, span: timedelta, limit: int
) -> None:
    found, tick = list[datetime](), next_tick(rhythm, after)
    while tick is not None and tick <= after + span and len(found) < limit:
        found.append(tick)
        tick = next_tick(rhythm, tick)
    assert ticks_between(rhythm, after, after + span, limit=limit) == found
    assert found == sorted(set(found))


@settings(max_examples=150, deadline=None)
@given(rhythms(), instants, st.integers(1, 20))
def test_a_preview_shows_the_ticks_themselves_on_the_schedules_own_clock(
    rhythm: Rhythm, after: datetime, n: int
) -> None:
    shown = preview(rhythm, after, n)
    assert [each.utc for each in shown] == ticks_between(rhythm, after, datetime(2300, 1, 1, tzinfo=UTC), limit=n)
    # Back in UTC first: Python calls an ambiguous time unequal to any time of another zone.
    assert [each.local.astimezone(UTC) for each in shown] == [each.utc for each in shown]
    assert {str(each.local.tzinfo) for each in shown} == {rhythm.zone}


@settings(max_examples=150, deadline=None)
@given(rhythms())
def test_every_rhythm_has_words_and_they_name_its_zone(rhythm: Rhythm) -> None:
    assert in_words(rhythm).endswith(f"({rhythm.zone})")


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40) | st.text("0123456789*/-,L#W@ MONJA", max_size=40), st.text(max_size=20))
def test_any_text_is_read_or_refused(cron: str, other: str) -> None:
    for given_ in ({"cron": cron, "every": None, "zone": "UTC"}, {"cron": None, "every": other, "zone": cron}):
        try:
            rhythm = read_rhythm(**given_, anchor=ANCHOR)  # type: ignore[arg-type]
        except BadInput as refusal:
            assert refusal.problems
        else:
            assert next_tick(rhythm, ANCHOR) is not None


@pytest.mark.parametrize("cron", ["0 0 29 2 *", "0 * 29 2 *", "* * * * *", "* 2 * * *", "30 2 LW * *", "0 0 * 2 MON#5"])
@pytest.mark.parametrize("after", [datetime(2096, 3, 1, tzinfo=UTC), datetime(2025, 10, 26, 0, 59, tzinfo=UTC)])
def test_the_next_tick_is_found_in_a_few_thousand_steps(cron: str, after: datetime) -> None:
    rhythm = Rhythm(cron=cron, every_s=None, zone="Europe/Berlin", anchor=ANCHOR)
    assert calls_of(lambda: next_tick(rhythm, after)) < 20_000


def test_after_the_last_year_nothing_is_due() -> None:
    for rhythm in (
        Rhythm(cron="0 0 29 2 *", every_s=None, zone="Europe/Berlin", anchor=ANCHOR),
        Rhythm(cron="* * * * *", every_s=None, zone="Europe/Berlin", anchor=ANCHOR),
        Rhythm(cron=None, every_s=366 * 86400, zone="UTC", anchor=ANCHOR),
    ):
        assert next_tick(rhythm, datetime(9899, 12, 31, 23, 59, 59, tzinfo=UTC)) is None
        assert next_tick(rhythm, datetime.max.replace(tzinfo=UTC)) is None
