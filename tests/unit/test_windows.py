"""Which of a wave is looked at: the window, its order, samples and sweeps, and whole waves in virtual time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain import windows
from orchestrator.domain.backoff import PollPolicy
from orchestrator.domain.durations import Durations
from orchestrator.domain.look_timing import Timing, WaveClock
from orchestrator.domain.windows import (
    SAMPLE_EVERY,
    SAMPLE_EVERY_IN_DOUBT,
    SWEPT_FROM_S,
    SWEPT_WITHIN_S,
    WaveLook,
    WaveState,
    WindowMove,
    after_looks,
    first_window,
    sample_position,
    swept_to,
)
from tests.unit.facts import few, units

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
        started_to=draw(st.integers(0, size)),
        in_order=draw(st.booleans()),
        looks=draw(st.integers(0, 10_000)),
    )


looks = st.lists(
    st.builds(
        WaveLook,
        position=st.integers(0, 1999),
        has_started=st.booleans(),
        waits=st.booleans(),
        has_ended=st.booleans(),
        became_human=st.booleans(),
        left_human=st.booleans(),
        ended_ago_s=st.one_of(st.none(), st.floats(0, 100)),
    ),
    max_size=12,
)


def move(before: WaveState, seen: list[WaveLook], *, age_s: float = 0.0, timing: Timing | None = None) -> WindowMove:
    after = after_looks(before, seen)
    return windows.moved(before, after, seen, age_s=age_s, timing=timing, looks_per_minute=100, unit=0.5)


@few
@given(waves(), looks)
def test_the_window_never_moves_back_and_never_past_the_wave(wave: WaveState, seen: list[WaveLook]) -> None:
    after = after_looks(wave, seen)
    assert wave.frontier <= after.frontier <= wave.size
    assert wave.ended <= after.ended <= wave.size
    assert wave.started_to <= after.started_to <= wave.size
    assert after.human >= 0
    assert after.looks == wave.looks + len(seen)
    assert wave.in_order or not after.in_order, "an order that was broken is never believed again"


@few
@given(waves(), looks)
def test_a_window_holds_as_many_unended_items_as_can_be_running(wave: WaveState, seen: list[WaveLook]) -> None:
    after = after_looks(wave, seen)
    assert after.frontier >= min(after.size, after.ended + after.human + after.width)


@few
@given(waves(), looks)
def test_a_wave_whose_order_is_broken_is_watched_whole(wave: WaveState, seen: list[WaveLook]) -> None:
    after = after_looks(replace(wave, in_order=False), seen)
    assert (after.in_order, after.frontier) == (False, wave.size)


@few
@given(waves(), st.floats(0, 1e5))
def test_everything_in_a_wave_is_looked_at_within_forty_minutes_whatever_is_seen(
    wave: WaveState, past_s: float
) -> None:
    assert swept_to(wave, age_s=SWEPT_WITHIN_S + past_s) == wave.size
    assert swept_to(wave, age_s=SWEPT_FROM_S) == 0, "a wave of usual size has ended by then, and costs no looks more"


@few
@given(waves(), looks, st.floats(0, 5000))
def test_every_position_that_the_window_reaches_gets_a_beginning_and_a_look(
    wave: WaveState, seen: list[WaveLook], age_s: float
) -> None:
    after, moved = after_looks(wave, seen), move(wave, seen, age_s=age_s)
    assert moved.first == wave.frontier
    assert len(moved.began_ago_s) == len(moved.due_in_s) == after.frontier - wave.frontier
    assert all(ago_s >= 0 for ago_s in moved.began_ago_s)
    assert all(in_s >= 0 for in_s in moved.due_in_s)
    assert moved.next_due_s is None or moved.next_due_s >= 0


def test_an_item_that_waits_while_a_far_later_one_has_begun_breaks_the_order() -> None:
    wave = after_looks(WaveState(size=1000, width=5, frontier=5), [WaveLook(position=500, has_started=True)])
    assert (wave.in_order, wave.frontier) == (True, 5), "it may be that all before it have begun too"
    broken = after_looks(wave, [WaveLook(position=4, has_started=False, waits=True)])
    assert (broken.in_order, broken.frontier) == (False, 1000)


def test_ends_that_run_far_ahead_of_the_looks_do_not_break_the_order() -> None:
    wave = WaveState(size=1000, width=5, frontier=5)
    for position in range(300):
        looked = [WaveLook(position=position, has_started=True, has_ended=True)]
        wave = after_looks(wave, [*looked, WaveLook(position=700 + position, has_started=True)])
    assert wave.in_order


def test_an_item_that_is_overtaken_by_a_few_does_not_break_the_order() -> None:
    wave = after_looks(WaveState(size=1000, width=5, frontier=5), [WaveLook(position=12, has_started=True)])
    assert after_looks(wave, [WaveLook(position=4, has_started=False, waits=True)]).in_order


def test_items_that_wait_for_a_person_make_room_in_the_window_and_take_it_back_when_they_go_on() -> None:
    wave = WaveState(size=100, width=5, frontier=5)
    humans = after_looks(wave, [WaveLook(position=n, has_started=True, became_human=True) for n in range(5)])
    assert (humans.human, humans.frontier) == (5, 10)
    gone = after_looks(humans, [WaveLook(position=0, has_started=True, has_ended=True, left_human=True)])
    assert (gone.human, gone.ended, gone.frontier) == (4, 1, 10)


@few
@given(waves(), looks, units)
def test_a_sample_lies_beyond_the_window_and_inside_the_wave(
    wave: WaveState, seen: list[WaveLook], unit: float
) -> None:
    position = sample_position(wave, seen, unit=unit)
    if position is not None:
        assert wave.frontier <= position < wave.size
        assert wave.in_order


def test_a_wave_is_sampled_now_and_then_and_often_where_its_window_has_not_begun() -> None:
    wave = WaveState(size=100, width=5, frontier=5)
    runs, waits = WaveLook(position=1, has_started=True), WaveLook(position=1, has_started=False, waits=True)

    def sampled(look: WaveLook) -> int:
        return sum(sample_position(replace(wave, looks=n), [look], unit=0.0) == 5 for n in range(1, 1001))

    assert sampled(runs) == 1000 // SAMPLE_EVERY
    assert sampled(waits) == 1000 // SAMPLE_EVERY_IN_DOUBT
    last = replace(wave, looks=SAMPLE_EVERY)
    assert sample_position(last, [runs], unit=1 - 2**-53) == 99
    assert sample_position(replace(last, in_order=False), [runs], unit=0.5) is None
    assert sample_position(replace(last, frontier=100), [runs], unit=0.5) is None


def test_what_the_window_reaches_began_when_those_before_it_ended_and_not_when_that_was_seen() -> None:
    wave = WaveState(size=100, width=5, frontier=5)
    seen = [
        WaveLook(position=0, has_started=True, has_ended=True, ended_ago_s=3.0),
        WaveLook(position=1, has_started=True, has_ended=True, ended_ago_s=8.0),
        WaveLook(position=2, has_started=True, became_human=True),
    ]
    timing = Timing(
        policy=PollPolicy(initial_s=6, jitter=0),
        durations=Durations(count=50, log_mean=3.0, log_var=0.5),
        wave=WaveClock(width=5, remaining=100, in_order=True),
    )
    moved = move(wave, seen, timing=timing)
    assert moved.began_ago_s == (8.0, 3.0, 0.0)
    assert moved.due_in_s == pytest.approx((0.0, 3.0, 6.0))


def test_the_items_of_a_wave_without_order_are_first_looked_at_one_after_the_other() -> None:
    wave = replace(WaveState(size=50, width=5, frontier=5), started_to=40)
    moved = move(wave, [WaveLook(position=0, has_started=False, waits=True)])
    assert len(moved.due_in_s) == 45
    assert moved.due_in_s[-1] == pytest.approx(44 * windows.looks_apart_s(100))


@few
@given(sizes, widths)
def test_the_first_window_holds_what_starts_at_once(size: int, width: int) -> None:
    assert first_window(size, width) == min(size, width)
    assert first_window(size, width, in_order=False) == size


def test_the_mean_of_a_wave_without_order_is_told_by_how_many_ended_in_its_time() -> None:
    wave = WaveState(size=300, width=15, ended=150)
    assert windows.mean_by_throughput(wave, age_s=200) == pytest.approx(20)
