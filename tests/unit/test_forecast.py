"""A forecast grows with the work and with what is not known, shrinks with what is allowed, and says what binds."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.durations import Durations
from orchestrator.domain.forecast import Bound, Rival, Work, expected_pace, forecast
from orchestrator.domain.look_rows import affordable_row, row_of_looks
from orchestrator.domain.look_timing import Timing
from orchestrator.domain.pace import Lognormal


def known(mean_s: float = 20.0, *, sd: float = 0.6, count: int = 100) -> Durations:
    """Return what was learned of durations with this mean."""
    return Durations(count=count, log_mean=math.log(mean_s) - sd**2 / 2, log_var=sd**2)


WORK = Work(queued=300, width=5, slot_limit=10, single=False, durations=known(), requests_per_minute=100)
SINGLES = replace(WORK, single=True, width=10)


@pytest.mark.parametrize("work", [WORK, SINGLES])
def test_the_middle_is_about_the_work_by_the_slots_and_the_bad_end_lies_beyond_it(work: Work) -> None:
    told = forecast(work)
    assert 0.9 < told.p50_s / (300 * 20 / work.width) < 1.5
    assert told.p50_s < told.p90_s < 2 * told.p50_s


@pytest.mark.parametrize("work", [WORK, SINGLES])
@given(runs=st.integers(1, 2000), more=st.integers(1, 2000))
def test_more_work_is_never_done_sooner(work: Work, runs: int, more: int) -> None:
    less, longer = (forecast(replace(work, queued=n)) for n in (runs, runs + more))
    assert less.p50_s <= longer.p50_s * 1.05
    assert less.requests <= longer.requests * 1.5 + 10


def test_what_has_begun_is_done_sooner_than_what_has_not() -> None:
    before = forecast(replace(WORK, queued=5))
    begun = forecast(replace(WORK, queued=0, running=5, durations=known(sd=0.2)))
    assert begun.p50_s < before.p50_s


@pytest.mark.parametrize("work", [WORK, SINGLES])
def test_a_higher_limit_or_more_slots_never_make_it_longer(work: Work) -> None:
    slow, fast = (forecast(replace(work, requests_per_minute=limit)) for limit in (20, 200))
    assert fast.p50_s < slow.p50_s
    narrow, wide = (forecast(replace(work, requests_per_minute=1000, width=width, slot_limit=10)) for width in (2, 8))
    assert wide.p50_s < narrow.p50_s


def test_the_less_is_known_the_further_off_is_the_bad_end() -> None:
    spreads = [
        told.p90_s / told.p50_s for n in (5, 20, 100) for told in [forecast(replace(WORK, durations=known(count=n)))]
    ]
    assert spreads == sorted(spreads, reverse=True)
    guessed = forecast(replace(WORK, durations=Durations()))
    assert guessed.p90_s / guessed.p50_s > 2.5


def test_slots_bind_where_executions_are_long_and_requests_where_they_are_short() -> None:
    for work in (WORK, SINGLES):
        assert forecast(replace(work, durations=known(60))).bound_by is Bound.SLOTS
        assert forecast(replace(work, durations=known(1), width=15)).bound_by is Bound.RATE
        assert forecast(replace(work, requests_per_minute=5)).bound_by is Bound.RATE


def test_where_requests_bind_it_takes_as_long_as_they_do() -> None:
    told = forecast(replace(WORK, queued=1000, durations=known(2), width=15))
    assert told.bound_by is Bound.RATE
    assert 1000 <= told.requests <= 1150
    assert told.requests / 100 * 60 * 0.9 < told.p50_s < told.requests / 100 * 60 * 1.1


def test_others_on_the_key_make_it_longer_but_only_as_long_as_they_have_work() -> None:
    alone = forecast(SINGLES)
    short, long = (
        forecast(replace(SINGLES, rivals=(Rival(runs=n, mean_s=20.0, shares_slots=True),))) for n in (30, 10_000)
    )
    assert alone.p50_s < short.p50_s < long.p50_s < 3 * alone.p50_s
    elsewhere = forecast(replace(SINGLES, rivals=(Rival(runs=10_000, mean_s=20.0, shares_slots=False),)))
    assert alone.p50_s < elsewhere.p50_s < long.p50_s * 1.2


def test_tokens_that_are_free_now_are_a_head_start() -> None:
    work = replace(WORK, queued=200, durations=known(1), width=15)
    rested, spent = (forecast(replace(work, free=free)) for free in (None, 0))
    assert rested.p50_s < spent.p50_s


def test_nothing_left_is_done_now() -> None:
    told = forecast(replace(WORK, queued=0))
    assert told.requests == 0
    assert told.p50_s < 60


def test_few_executions_move_what_is_assumed_only_part_of_the_way() -> None:
    means = [expected_pace(known(80, count=n))[0].mean_s for n in (0, 2, 10, 200)]
    assert means == sorted(means)
    assert means[0] == pytest.approx(20, rel=0.01)
    assert means[-1] == pytest.approx(80, rel=0.05)


def test_a_row_of_looks_sees_ends_sooner_the_more_looks_it_has() -> None:
    timing = Timing(policy=WORK.policy, durations=known())
    rows = [row_of_looks(replace(timing, price_s=price_s)) for price_s in (0.0, 0.5, 2.0)]
    assert [r.looks for r in rows] == sorted((r.looks for r in rows), reverse=True)
    assert [r.delay_s for r in rows] == sorted(r.delay_s for r in rows)


def test_a_row_that_cannot_be_paid_for_comes_late() -> None:
    timing = Timing(policy=WORK.policy, durations=known())
    cheap = affordable_row(timing, highest_price_s=2.0, costs=lambda row: row.looks / 1.3)
    assert cheap.looks <= 1.3
    assert cheap.late_s > 0
    assert affordable_row(timing, highest_price_s=2.0, costs=lambda row: row.looks / 100).late_s == 0


@given(mean_s=st.floats(1, 500), sd=st.floats(0.15, 1.5), at=st.floats(0.01, 10))
def test_what_runs_at_any_moment_has_its_mean_left(mean_s: float, sd: float, at: float) -> None:
    pace = Lognormal(log_mean=math.log(mean_s) - sd**2 / 2, log_sd=sd)
    assert 0.0 <= pace.left_ended(at * mean_s) <= pace.left_ended(2 * at * mean_s) <= 1.0
    step = mean_s / 200
    # The mean of what is left is the area above its distribution, as far as it is looked at.
    left = sum((1 - pace.left_ended(n * step)) * step for n in range(4000))
    assert left <= pace.mean_left_s * 1.01 + step
