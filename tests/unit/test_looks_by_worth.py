"""What a look is worth, when it is made, and what is learned from it: against simulation, and as properties."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain import look_timing
from orchestrator.domain.backoff import PollPolicy
from orchestrator.domain.durations import Durations
from orchestrator.domain.look_timing import Timing, WaveClock
from orchestrator.domain.pace import Lognormal, Steady, wait_s
from tests.unit.facts import few, units

lognormals = st.builds(Lognormal, log_mean=st.floats(-2, 7), log_sd=st.floats(0.15, 2.0))
ages = st.floats(0, 5000)
policies = st.builds(PollPolicy, initial_s=st.floats(0.1, 10), cap_s=st.floats(10, 600), jitter=st.floats(0, 0.5))
timings = st.builds(
    Timing,
    policy=policies,
    durations=st.builds(Durations, count=st.integers(0, 200), log_mean=st.floats(-2, 7), log_var=st.floats(0, 4)),
    price_s=st.floats(0, 1000),
    late_s=st.floats(0, 1000),
    wave=st.one_of(
        st.none(),
        st.builds(WaveClock, width=st.integers(1, 15), remaining=st.integers(0, 1000), in_order=st.booleans()),
    ),
)


@few
@given(lognormals, ages, st.floats(0, 1000))
def test_a_look_is_worth_no_more_than_the_time_since_the_last_and_nothing_at_once(
    pace: Lognormal, alive_at_s: float, elapsed_s: float
) -> None:
    assert 0 <= pace.worth_s(alive_at_s, elapsed_s) <= elapsed_s
    assert pace.worth_s(alive_at_s, 0) == 0


@few
@given(lognormals, ages, st.floats(0, 50), st.floats(1, 600))
def test_a_wait_ends_when_the_look_is_worth_its_price_or_at_the_longest(
    pace: Lognormal, alive_at_s: float, price_s: float, longest_s: float
) -> None:
    wait = wait_s(pace, alive_at_s=alive_at_s, worth_s=price_s, longest_s=longest_s)
    assert 0 <= wait <= longest_s
    if wait < longest_s:
        assert pace.worth_s(alive_at_s, wait * 1.1 + 0.1) >= 0.9 * price_s - 0.1


def test_steady_ends_are_looked_at_by_the_root_of_price_and_rate() -> None:
    rare, often = Steady(rate_per_s=0.01), Steady(rate_per_s=0.04)
    ratio = wait_s(rare, alive_at_s=0, worth_s=0.02, longest_s=99) / wait_s(
        often, alive_at_s=0, worth_s=0.02, longest_s=99
    )
    assert ratio == pytest.approx(2, rel=0.05)


def test_looks_by_worth_see_ends_sooner_than_evenly_spaced_ones_for_no_more_requests() -> None:
    pace = Lognormal(log_mean=math.log(20) - 0.32, log_sd=0.8)
    rows: dict[str, list[float]] = {"by worth": [], "evenly": []}
    while sum(rows["by worth"][-1:]) < 400:
        alive_at_s = rows["by worth"][-1] if rows["by worth"] else 0.0
        rows["by worth"].append(alive_at_s + wait_s(pace, alive_at_s=alive_at_s, worth_s=1.4, longest_s=99))
    rows["evenly"] = [8.0 * n for n in range(1, 60)]
    draw = random.Random(1)
    taken = [draw.lognormvariate(pace.log_mean, pace.log_sd) for _ in range(4000)]
    looks, lags = {}, {}
    for name, row in rows.items():
        seen = [
            next(((n + 1, at_s - one) for n, at_s in enumerate(row) if at_s >= one), (len(row), 0.0)) for one in taken
        ]
        looks[name] = sum(n for n, _ in seen) / len(seen)
        lags[name] = sum(lag for _, lag in seen) / len(seen)
    assert looks["by worth"] <= looks["evenly"]
    assert lags["by worth"] < 0.95 * lags["evenly"]


@few
@given(timings, st.floats(0, 5000), st.booleans(), units)
def test_looks_keep_between_the_first_delay_and_what_the_schedule_and_the_lane_allow(
    timing: Timing, age_s: float, waits: bool, unit: float
) -> None:
    least_s = timing.policy.initial_s * (1 - timing.policy.jitter / 2) - 1e-5
    most_s = timing.policy.cap_s * (1 + timing.policy.jitter / 2) + 1e-5
    assert least_s <= timing.next_s(age_s, waits=waits, unit=unit) <= most_s
    assert least_s <= timing.first_s() <= most_s


@few
@given(timings, ages, units)
def test_a_single_run_of_which_nothing_is_known_keeps_its_workflows_schedule(
    timing: Timing, age_s: float, unit: float
) -> None:
    new = Timing(policy=timing.policy, durations=Durations(count=look_timing.KNOWN_FROM - 1), price_s=timing.price_s)
    assert new.next_s(age_s, waits=False, unit=unit) == timing.policy.delay(age_s=age_s, unit=unit).total_seconds()


def test_a_polite_workflow_is_looked_at_more_rarely_though_requests_are_left_over() -> None:
    known = Durations(count=200, log_mean=math.log(60) - 0.32, log_var=0.64)
    wave = WaveClock(width=5, remaining=100, in_order=True)
    prompt = Timing(policy=PollPolicy(jitter=0), durations=known, wave=wave)
    polite = Timing(policy=PollPolicy(jitter=0, polite=1), durations=known, wave=wave)
    assert prompt.next_s(60, waits=False, unit=0) == pytest.approx(60 * look_timing.CLOSEST_SHARE)
    assert 15 < polite.next_s(60, waits=False, unit=0) < 25
    assert 25 < polite.first_s() <= 30


def test_a_single_run_is_looked_at_in_time_though_the_lane_is_late_and_dear() -> None:
    known = Durations(count=200, log_mean=math.log(20) - 0.32, log_var=0.64)
    single = Timing(policy=PollPolicy(jitter=0), durations=known, price_s=100, late_s=25)
    item = Timing(
        policy=single.policy, durations=known, price_s=100, late_s=25,
        wave=WaveClock(width=5, remaining=50, in_order=True),
    )  # fmt: skip
    assert single.next_s(20, waits=False, unit=0) == pytest.approx(2)
    assert item.next_s(20, waits=False, unit=0) == pytest.approx(30)


def test_a_price_follows_what_looks_were_worth_and_falls_where_requests_are_left_over() -> None:
    class Look:
        worth_s: float | None = 4.0

    class Asked:
        worth_s: float | None = None

    price_s = 0.0
    for _ in range(200):
        price_s = look_timing.price_after(price_s, [Look(), Asked()])
    assert price_s == pytest.approx(4.0, rel=0.01)
    asked = [look_timing.asked_price_s(price_s, free=free, limit=100) for free in (0, 30, 100)]
    assert asked == sorted(asked, reverse=True)
    assert asked[-1] == 0


def test_durations_are_learned_without_bias_from_looks_that_are_rare() -> None:
    draw, known = random.Random(2), Durations()
    for _ in range(3000):
        took_s, first_s = draw.lognormvariate(math.log(20) - 0.32, 0.8), draw.uniform(2, 25)
        n = max(0, math.ceil((took_s - first_s) / 20))
        known = known.learn_between(first_s + 20 * (n - 1) if n else 0.0, first_s + 20 * n)
    assert known.mean_s == pytest.approx(20, rel=0.15)


def test_looks_that_tell_nothing_leave_what_is_known_where_it_is() -> None:
    known = Durations(count=200, log_mean=1.0, log_var=0.25)
    for _ in range(5000):
        known = known.learn_between(0.0, 5000.0)
    assert known.log_mean == pytest.approx(1.0, abs=0.01)
    assert known.log_var == pytest.approx(0.25, abs=0.01)


@few
@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e5)), max_size=60))
def test_what_is_learned_is_a_number_whatever_was_seen(seen: list[tuple[float, float]]) -> None:
    known = Durations()
    for one, other in seen:
        known = known.learn_between(min(one, other), max(one, other))
    assert 0 < known.mean_s < 1e9
    assert known.log_var >= 0


@few
@given(lognormals, ages, st.floats(0, 5000))
def test_an_end_is_expected_between_the_looks_that_saw_it(pace: Lognormal, after_s: float, more_s: float) -> None:
    assert after_s <= pace.expected_end_s(after_s, after_s + more_s) <= after_s + more_s + 1e-6
