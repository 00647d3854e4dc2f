"""Backoff, breaker and durations: how delays grow, how they are bounded, and what is learned."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.backoff import PollPolicy, retry_delay
from orchestrator.domain.breaker import LONGEST_PAUSE_S, Breaker, BreakerState
from orchestrator.domain.durations import MEMORY, UNKNOWN_MEAN_S, Durations
from tests.unit.facts import NOW, few, s, units

policies = st.builds(
    PollPolicy,
    initial_s=st.floats(0.01, 60),
    factor=st.floats(1, 10),
    cap_s=st.floats(60, 3600),
    jitter=st.floats(0, 0.5),
)
ages = st.floats(0, 1e7)


@few
@given(policies, ages, units)
def test_a_delay_lies_between_the_first_and_the_cap_but_for_its_jitter(
    policy: PollPolicy, age_s: float, unit: float
) -> None:
    delay_s = policy.delay(age_s=age_s, unit=unit).total_seconds()
    slack_s = 1e-5
    assert policy.initial_s * (1 - policy.jitter / 2) - slack_s <= delay_s
    assert delay_s <= policy.cap_s * (1 + policy.jitter / 2) + slack_s


@few
@given(policies, ages, ages)
def test_an_older_execution_is_never_looked_at_sooner(policy: PollPolicy, one_s: float, other_s: float) -> None:
    young, old = sorted((one_s, other_s))
    assert policy.delay(age_s=young, unit=0.5) <= policy.delay(age_s=old, unit=0.5)


@pytest.mark.parametrize("factor", [1.01, 1.05, 1.5, 2.0, 8.0])
def test_every_growing_schedule_reaches_its_cap(factor: float) -> None:
    policy = PollPolicy(initial_s=2, factor=factor, cap_s=30, jitter=0)
    # The sum of the delays below the cap is less than cap/(f − 1).
    assert policy.delay(age_s=30 / (factor - 1) * factor, unit=0) == s(30)


def test_the_delays_of_a_schedule_that_is_kept_are_its_geometric_row() -> None:
    policy = PollPolicy(initial_s=2, factor=2, cap_s=60, jitter=0)
    age_s, seen = 0.0, []
    for _ in range(7):
        delay_s = policy.delay(age_s=age_s, unit=0).total_seconds()
        seen.append(delay_s)
        age_s += delay_s + 1e-6
    assert seen == [2, 4, 8, 16, 32, 60, 60]


def test_a_clock_that_ran_backwards_gives_the_first_delay() -> None:
    assert PollPolicy(jitter=0).delay(age_s=-50, unit=0) == s(2)


def test_a_schedule_without_growth_stays_where_it_is() -> None:
    assert PollPolicy(initial_s=3, factor=1, cap_s=30, jitter=0).delay(age_s=1e6, unit=0) == s(3)


@few
@given(policies, st.floats(0.05, 5), st.floats(5, 300))
def test_an_installation_bounds_every_schedule(policy: PollPolicy, min_s: float, max_s: float) -> None:
    bounded = policy.bounded(min_s=min_s, max_s=max_s)
    assert min_s <= bounded.initial_s <= bounded.cap_s <= max_s


@few
@given(st.integers(0, 10**9), units)
def test_a_retry_waits_at_least_half_and_at_most_the_whole_of_its_cap(tries: int, unit: float) -> None:
    delay_s = retry_delay(tries, first_s=2, cap_s=60, unit=unit).total_seconds()
    assert 1 <= delay_s <= 60
    assert tries < 6 or delay_s >= 30


def test_an_open_breaker_lets_nothing_through_a_half_open_one_a_single_launch() -> None:
    opened = Breaker().trip(now=NOW)
    assert (opened.state, opened.launches_allowed, opened.probe_at) == (BreakerState.OPEN, 0, NOW + s(5))
    half = opened.probed_well()
    assert (half.launches_allowed, half.probe_at) == (1, None)
    assert half.launched_well() == Breaker()
    assert Breaker().launches_allowed is None


def test_an_answer_that_was_on_the_wire_when_the_breaker_opened_does_not_close_it() -> None:
    opened = Breaker().trip(now=NOW)
    assert opened.launched_well() == opened


def test_a_breaker_that_trips_again_after_its_probe_waits_longer_than_before() -> None:
    assert Breaker().trip(now=NOW).probed_well().trip(now=NOW).probe_at == NOW + s(10)


@few
@given(st.integers(0, 10**6))
def test_an_outage_of_any_length_is_probed_at_least_every_two_minutes(trips: int) -> None:
    probe_at = Breaker(state=BreakerState.OPEN, trips=trips).trip(now=NOW).probe_at
    assert probe_at is not None
    assert s(5) <= probe_at - NOW <= s(LONGEST_PAUSE_S)


def test_a_launch_lost_after_a_good_probe_rests_the_lane_for_minutes_doubling_to_an_hour() -> None:
    breaker, pauses_s, doubts = Breaker().lost(now=NOW), [], 1
    assert breaker.probe_at == NOW + s(5), "the first doubt is as cheap as ever"
    for _ in range(8):
        half = breaker.probed_well()
        assert (half.launches_allowed, half.wave_limit) == (1, 1)
        breaker = half.lost(now=NOW)
        doubts += 1
        assert breaker.loses_launches
        assert breaker.probe_at is not None
        pauses_s.append((breaker.probe_at - NOW).total_seconds())
    assert pauses_s == [240, 480, 960, 1920, 3600, 3600, 3600, 3600]
    assert breaker.probed_well().launched_well() == Breaker(), "a launch that is answered ends it"


def test_an_outage_of_everything_however_long_is_no_loss_of_launches() -> None:
    breaker = Breaker().lost(now=NOW)
    for _ in range(500):
        breaker = breaker.trip(now=NOW)
    assert not breaker.loses_launches
    assert breaker.probed_well().lost(now=NOW).probe_at == NOW + s(240), "the first loss after a good probe"


def test_a_probe_that_fails_between_lost_launches_forgets_none_of_them() -> None:
    lost = Breaker().lost(now=NOW).probed_well().lost(now=NOW)
    between = lost.trip(now=NOW)
    assert between.probe_at is not None
    assert between.probe_at <= NOW + s(LONGEST_PAUSE_S)
    assert between.probed_well().lost(now=NOW).probe_at == NOW + s(480)


def test_a_person_who_tests_the_connection_lets_one_launch_try_and_leaves_a_closed_breaker_alone() -> None:
    lost = Breaker().lost(now=NOW).probed_well().lost(now=NOW)
    assert lost.tested() == Breaker(state=BreakerState.HALF_OPEN)
    assert Breaker().tested() == Breaker()


def test_a_workflow_of_which_nothing_is_known_has_the_assumed_mean() -> None:
    assert Durations().mean_s == UNKNOWN_MEAN_S


def test_the_mean_of_a_lognormal_is_learned_within_a_sixth() -> None:
    draw = random.Random(1)
    known = Durations()
    for _ in range(2000):
        known = known.learn(draw.lognormvariate(3, 0.6))
    assert known.count == MEMORY
    assert known.mean_s == pytest.approx(math.exp(3 + 0.18), rel=1 / 6)


def test_a_workflow_that_changed_its_pace_is_relearned_within_a_few_hundred() -> None:
    known = Durations()
    for seconds in [10.0] * 500 + [100.0] * 600:
        known = known.learn(seconds)
    assert known.mean_s == pytest.approx(100, rel=0.25)


@few
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60))
def test_a_mean_is_a_positive_number_whatever_was_seen(seen: list[float]) -> None:
    known = Durations()
    for seconds in seen:
        known = known.learn(seconds)
    assert 0 < known.mean_s < 1e8
    assert known.log_var >= 0
