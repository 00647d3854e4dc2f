"""What is launched together, and which of it is looked at: bounds, the window, and whole waves in virtual time."""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain import planner
from orchestrator.domain.backoff import PollPolicy
from orchestrator.domain.planner import (
    FIRST_WAVE,
    LARGEST_WAVE,
    LOOK_SHARE,
    RESERVE_AFTER_S,
    RESERVE_EVERY_S,
    RESERVE_FOR_S,
    SEEN_WITHIN_S,
    WHOLE_WINDOW_S,
    BatchDemand,
    Launch,
    Wait,
    WaveLook,
    WaveState,
    after_looks,
    first_window,
    plan_launch,
    reserves,
    sample_position,
    wave_size,
)
from tests.unit.facts import NOW, few, s, units

sizes = st.integers(1, 2000)
widths = st.integers(1, 15)


@st.composite
def waves(draw: st.DrawFn) -> WaveState:
    size = draw(sizes)
    ended = draw(st.integers(0, size))
    return WaveState(
        size=size,
        width=draw(widths),
        ended=ended,
        human=draw(st.integers(0, size - ended)),
        frontier=draw(st.integers(0, size)),
        in_order=draw(st.booleans()),
        looks=draw(st.integers(0, 10_000)),
    )


looks = st.lists(
    st.builds(
        WaveLook,
        position=st.integers(0, 1999),
        has_started=st.booleans(),
        has_ended=st.booleans(),
        became_human=st.booleans(),
        left_human=st.booleans(),
    ),
    max_size=12,
)


@few
@given(waves(), looks, st.floats(-60, 1e6))
def test_the_window_never_moves_back_and_never_past_the_wave(
    wave: WaveState, seen: list[WaveLook], age_s: float
) -> None:
    after = after_looks(wave, seen, age_s=age_s)
    assert wave.frontier <= after.frontier <= wave.size
    assert wave.ended <= after.ended <= wave.size
    assert after.human >= 0
    assert after.looks == wave.looks + len(seen)
    assert wave.in_order or not after.in_order, "an order that was broken is never believed again"


@few
@given(waves(), looks, st.floats(0, 1e4))
def test_everything_stands_in_the_window_within_half_an_hour_whatever_is_seen(
    wave: WaveState, seen: list[WaveLook], past_s: float
) -> None:
    assert after_looks(wave, seen, age_s=WHOLE_WINDOW_S + past_s).frontier == wave.size


@few
@given(waves(), st.floats(0, WHOLE_WINDOW_S))
def test_at_any_age_at_least_that_share_of_the_wave_stands_in_the_window(wave: WaveState, age_s: float) -> None:
    looked = [WaveLook(position=0, has_started=False)]
    assert after_looks(wave, looked, age_s=age_s).frontier >= min(wave.size, wave.size * age_s / WHOLE_WINDOW_S)


@few
@given(waves(), looks)
def test_a_window_holds_as_many_unended_items_as_can_be_running(wave: WaveState, seen: list[WaveLook]) -> None:
    after = after_looks(wave, seen, age_s=0)
    assert after.frontier >= min(after.size, after.ended + after.human + after.width)


@few
@given(waves(), looks, st.floats(0, 3600))
def test_a_wave_whose_order_is_broken_is_watched_whole(wave: WaveState, seen: list[WaveLook], age_s: float) -> None:
    after = after_looks(replace(wave, in_order=False), seen, age_s=age_s)
    assert (after.in_order, after.frontier) == (False, wave.size)


def test_an_item_that_started_far_beyond_what_can_be_running_breaks_the_order() -> None:
    wave = WaveState(size=1000, width=5, frontier=5)
    after = after_looks(wave, [WaveLook(position=500, has_started=True)], age_s=10)
    assert (after.in_order, after.frontier) == (False, 1000)


def test_an_item_beyond_the_window_that_waits_its_turn_does_not_break_the_order() -> None:
    wave = WaveState(size=1000, width=5, frontier=5)
    after = after_looks(wave, [WaveLook(position=500, has_started=False)], age_s=0)
    assert (after.in_order, after.frontier) == (True, 5)


def test_an_item_a_few_widths_ahead_of_what_was_seen_does_not_break_the_order() -> None:
    wave = WaveState(size=1000, width=5, frontier=5)
    assert after_looks(wave, [WaveLook(position=5 + 4 * 5 + 7, has_started=True)], age_s=0).in_order


def test_items_that_wait_for_a_person_make_room_in_the_window_and_take_it_back_when_they_go_on() -> None:
    wave = WaveState(size=100, width=5, frontier=5)
    humans = after_looks(wave, [WaveLook(position=n, has_started=True, became_human=True) for n in range(5)], age_s=0)
    assert (humans.human, humans.frontier) == (5, 10)
    gone = after_looks(humans, [WaveLook(position=0, has_started=True, has_ended=True, left_human=True)], age_s=0)
    assert (gone.human, gone.ended, gone.frontier) == (4, 1, 10)


@few
@given(waves(), units)
def test_a_sample_lies_beyond_the_window_and_inside_the_wave(wave: WaveState, unit: float) -> None:
    position = sample_position(wave, unit=unit)
    if position is not None:
        assert wave.frontier <= position < wave.size
        assert wave.in_order


def test_a_wave_is_sampled_only_while_its_order_is_believed_and_something_lies_beyond() -> None:
    wave = WaveState(size=100, width=5, frontier=5, looks=planner.SAMPLE_EVERY)
    assert sample_position(wave, unit=0.0) == 5
    assert sample_position(wave, unit=1 - 2**-53) == 99
    assert sample_position(replace(wave, in_order=False), unit=0.5) is None
    assert sample_position(replace(wave, frontier=100), unit=0.5) is None


@few
@given(sizes, widths)
def test_the_first_window_holds_what_starts_at_once(size: int, width: int) -> None:
    assert first_window(size, width) == min(size, width)


@dataclass(frozen=True)
class Watched:
    """What a watched wave came to."""

    seen: int
    looks_per_execution: float
    worst_lag_s: float
    in_order: bool


def watch(wave: WaveState, *, looks_per_s: float, order: list[int], seed: int, mean_s: float = 20.0) -> Watched:
    """Run a wave in virtual time, and follow its window round-robin with so many looks a second."""
    draw = random.Random(seed)
    free, starts, ends = [0.0] * wave.width, {}, {}
    for item in order:
        starts[item] = heapq.heappop(free)
        ends[item] = starts[item] + draw.lognormvariate(math.log(mean_s) - 0.125, 0.5)
        heapq.heappush(free, ends[item])
    due = dict.fromkeys(range(wave.frontier), 2.0)
    asleep = set(range(wave.frontier, wave.size))
    entered = dict(due)
    at_s, looked, lags = 0.0, 0, []
    while due and looked < 100 * wave.size:
        at_s += 10 / looks_per_s
        turn = sorted((when, n) for n, when in due.items() if when <= at_s)[:10]
        if not turn:
            continue
        looked += len(turn)
        told = [WaveLook(position=n, has_started=starts[n] <= at_s, has_ended=ends[n] <= at_s) for _, n in turn]
        for look in told:
            n = look.position
            if look.has_ended:
                del due[n]
                lags.append(at_s - ends[n])
            elif n not in entered and not look.has_started:
                del due[n]
                asleep.add(n)
            else:
                age_s = at_s - entered.setdefault(n, at_s)
                due[n] = at_s + PollPolicy().delay(age_s=age_s, unit=draw.random()).total_seconds()
        wave = after_looks(wave, told, age_s=at_s)
        reached = {n for n in asleep if n < wave.frontier}
        asleep -= reached
        for n in sorted(reached):
            due[n] = entered[n] = at_s
        sample = sample_position(wave, unit=draw.random())
        if sample in asleep:
            asleep.discard(sample)
            due[sample] = at_s
    return Watched(
        seen=len(lags),
        looks_per_execution=looked / wave.size,
        worst_lag_s=max(lags),
        in_order=wave.in_order,
    )


@pytest.mark.parametrize(("size", "width"), [(120, 1), (150, 5), (300, 15)])
def test_a_wave_in_order_is_seen_whole_within_seconds_where_looks_are_plenty(size: int, width: int) -> None:
    wave = WaveState(size=size, width=width, frontier=first_window(size, width))
    seen = watch(wave, looks_per_s=1.6, order=list(range(size)), seed=1)
    assert (seen.seen, seen.in_order) == (size, True)
    assert seen.worst_lag_s < 60


@pytest.mark.parametrize(("size", "width", "seed"), [(300, 5, 1), (400, 15, 2), (400, 15, 3)])
def test_a_wave_in_order_costs_about_one_look_an_execution_where_looks_are_short(
    size: int, width: int, seed: int
) -> None:
    wave = WaveState(size=size, width=width, frontier=first_window(size, width))
    seen = watch(wave, looks_per_s=0.9 * width / 20, order=list(range(size)), seed=seed)
    assert seen.seen == size
    assert seen.looks_per_execution < 1.1


def test_a_wave_in_random_order_is_found_out_and_seen_whole_within_forty_minutes() -> None:
    order = list(range(300))
    random.Random(4).shuffle(order)
    wave = WaveState(size=300, width=5, frontier=5)
    seen = watch(wave, looks_per_s=1.6, order=order, seed=4)
    assert (seen.seen, seen.in_order) == (300, False)
    assert seen.worst_lag_s < SEEN_WITHIN_S


def test_a_wave_that_runs_backwards_is_seen_whole_within_forty_minutes() -> None:
    wave = WaveState(size=300, width=5, frontier=5)
    seen = watch(wave, looks_per_s=1.6, order=list(range(299, -1, -1)), seed=5)
    assert seen.seen == 300
    assert seen.worst_lag_s < SEEN_WITHIN_S


BATCH = BatchDemand(
    queued=10_000,
    width=5,
    single=False,
    wave_size=None,
    wave_cap=None,
    live_waves=(),
    slots_used=0,
    slot_limit=10,
    unseen=0,
    looks_per_minute=100,
    mean_s=20.0,
    known=0,
    max_items=10_000,
)

demands = st.builds(
    BatchDemand,
    queued=st.integers(0, 20_000),
    width=widths,
    single=st.booleans(),
    wave_size=st.one_of(st.none(), st.integers(1, 10_000)),
    wave_cap=st.one_of(st.none(), st.integers(1, 5000)),
    live_waves=st.lists(waves(), max_size=2).map(tuple),
    slots_used=st.integers(0, 20),
    slot_limit=st.integers(1, 15),
    unseen=st.integers(0, 5000),
    looks_per_minute=st.integers(1, 1000),
    mean_s=st.floats(0.05, 900),
    known=st.integers(0, 200),
    max_items=st.integers(1, 10_000),
)


@few
@given(demands)
def test_a_wave_is_never_larger_than_any_of_its_bounds(demand: BatchDemand) -> None:
    size = wave_size(demand)
    seeable = demand.looks_per_minute * LOOK_SHARE * SEEN_WITHIN_S / 60 - demand.unseen
    assert 0 <= size <= max(0, min(demand.queued, demand.max_items, seeable))
    assert size <= (demand.wave_size or LARGEST_WAVE)
    assert demand.wave_cap is None or size <= demand.wave_cap
    if demand.known < FIRST_WAVE and demand.wave_size is None:
        assert size <= FIRST_WAVE, "the durations of a new workflow are a guess"


@few
@given(demands)
def test_a_batch_that_may_launch_launches_at_least_one_and_never_above_its_slots(demand: BatchDemand) -> None:
    plan = plan_launch(demand, now=NOW)
    if isinstance(plan, Wait):
        assert NOW < plan.until <= NOW + s(30)
        assert plan.reason in {"slots", "wave", "unseen"}
        return
    assert 1 <= plan.count <= demand.queued
    if demand.single:
        assert demand.slots_used + plan.count <= demand.slot_limit
    else:
        slots = min(demand.width, plan.count)
        assert demand.slots_used + slots <= max(demand.slot_limit, demand.width)


@pytest.mark.parametrize(
    ("known", "mean_s", "width", "expected"),
    [
        (0, 20.0, 5, 20),
        (19, 1.0, 5, 20),
        (20, 20.0, 5, 100),
        (60, 20.0, 5, 300),
        (200, 20.0, 5, 300),  # 20 minutes of work
        (200, 1.0, 5, 1000),
        (200, 900.0, 5, 6),
        (200, 900.0, 15, 20),
        (200, 900.0, 1, 1),
    ],
)
def test_waves_grow_with_what_is_known_to_about_twenty_minutes_of_work(
    known: int, mean_s: float, width: int, expected: int
) -> None:
    assert wave_size(replace(BATCH, known=known, mean_s=mean_s, width=width)) == expected


def test_the_next_wave_is_sent_when_the_last_no_longer_fills_its_width() -> None:
    live = WaveState(size=100, width=5, ended=94)
    waiting = plan_launch(replace(BATCH, live_waves=(live,), slots_used=5), now=NOW)
    assert isinstance(waiting, Wait)
    assert waiting.reason == "wave"
    going = plan_launch(replace(BATCH, live_waves=(replace(live, ended=95),), slots_used=5), now=NOW)
    assert going == Launch(count=FIRST_WAVE)


def test_a_width_above_the_limit_runs_alone_on_its_workflow() -> None:
    high = replace(BATCH, width=15)
    assert isinstance(plan_launch(high, now=NOW), Launch)
    assert plan_launch(replace(high, slots_used=1), now=NOW) == Wait(reason="slots", until=NOW + s(5), slots=15)


def test_nothing_more_is_launched_than_forty_minutes_of_looks_can_see() -> None:
    assert wave_size(replace(BATCH, known=200, mean_s=1.0, unseen=3190)) == 10
    assert plan_launch(replace(BATCH, unseen=3200), now=NOW) == Wait(reason="unseen", until=NOW + s(5))


def test_a_refused_size_caps_the_next_wave_down_to_a_single_item() -> None:
    assert plan_launch(replace(BATCH, wave_cap=1), now=NOW) == Launch(count=1)


def test_single_launches_fill_the_free_slots_and_no_more() -> None:
    single = replace(BATCH, single=True, width=1, slots_used=7)
    assert plan_launch(single, now=NOW) == Launch(count=3)
    assert plan_launch(replace(single, queued=2), now=NOW) == Launch(count=2)
    assert plan_launch(replace(single, slots_used=12), now=NOW) == Wait(reason="slots", until=NOW + s(5))


def test_a_wave_that_waits_for_slots_says_how_many_it_lacks() -> None:
    plan = plan_launch(replace(BATCH, slots_used=6, slot_limit=10), now=NOW)
    assert isinstance(plan, Wait)
    assert (plan.reason, plan.slots) == ("slots", 5)


def test_a_wave_that_waited_has_its_slots_reserved_until_they_could_all_have_come_free_and_not_for_ever() -> None:
    assert not reserves(0)
    assert reserves(RESERVE_AFTER_S)
    assert reserves(RESERVE_AFTER_S + 15 * 60), "an execution may last so long"
    # What waits for a person holds its slot for days: others must go on meanwhile, and the wave gets its chance again.
    assert not reserves(RESERVE_AFTER_S + RESERVE_FOR_S)
    assert reserves(RESERVE_EVERY_S + RESERVE_AFTER_S)
