"""What of a batch is launched together, and when: bounds, slots, and who else waits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.planner import (
    FIRST_WAVE,
    LARGEST_WAVE,
    RESERVE_AFTER_S,
    RESERVE_EVERY_S,
    RESERVE_FOR_S,
    SEEN_WITHIN_S,
    UNORDERED_SEEN_WITHIN_S,
    BatchDemand,
    Launch,
    Wait,
    plan_launch,
    reserves,
    wave_size,
)
from orchestrator.domain.windows import LOOK_SHARE, WaveState
from tests.unit.facts import NOW, few, s
from tests.unit.test_windows import waves, widths

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
    rivals=st.integers(0, 30),
    in_order=st.booleans(),
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
        # Of its own slots it may use those again that the stragglers of its last wave still hold, and no others'.
        others = demand.slots_used - sum(wave.slots for wave in demand.live_waves)
        used = others if not demand.rivals else demand.slots_used
        assert used + min(demand.width, plan.count) <= max(demand.slot_limit, demand.width)


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


def test_a_wide_batch_sends_its_next_wave_when_half_a_width_of_the_last_is_left() -> None:
    wide = replace(BATCH, width=15, known=200)
    last = WaveState(size=500, width=15, ended=492)
    waiting = plan_launch(replace(wide, live_waves=(last,), slots_used=8), now=NOW)
    assert isinstance(waiting, Wait)
    assert (waiting.reason, waiting.slots) == ("wave", 0), "it waits for itself, and keeps nobody from a slot"
    going = plan_launch(replace(wide, live_waves=(replace(last, ended=493),), slots_used=7), now=NOW)
    assert isinstance(going, Launch)
    others = plan_launch(replace(wide, live_waves=(replace(last, ended=493),), slots_used=8), now=NOW)
    assert isinstance(others, Wait), "a slot that somebody else uses is not its own"


def test_where_looks_are_short_the_next_wave_is_sent_before_the_last_is_seen_to_its_end() -> None:
    short = replace(BATCH, width=15, known=200, mean_s=2.0, live_waves=(WaveState(size=500, width=15, ended=481),))
    assert isinstance(plan_launch(replace(short, slots_used=15), now=NOW), Launch)


def test_batches_that_share_a_workflow_get_smaller_waves_in_turn_and_never_overlap_themselves() -> None:
    known = replace(BATCH, known=200)
    assert wave_size(replace(known, rivals=4)) < wave_size(replace(known, rivals=1)) < wave_size(known)
    last = WaveState(size=100, width=5, ended=99)
    assert isinstance(plan_launch(replace(known, rivals=1, live_waves=(last,), slots_used=6), now=NOW), Wait)


def test_a_workflow_that_does_not_keep_the_order_gets_waves_that_looks_can_see_whole_in_minutes() -> None:
    size = wave_size(replace(BATCH, known=200, mean_s=2.0, in_order=False))
    assert size == int(100 * LOOK_SHARE / 60 * UNORDERED_SEEN_WITHIN_S)
