"""Slots, widths, people and timeouts, computed from a clock that only the test turns."""

from collections.abc import Callable
from typing import Any

import pytest

from sandbox.clock import Clock
from sandbox.executions import Execution, Status
from sandbox.options import DEFAULT_KEY, LiveOptions, parse_options
from sandbox.schedule import NotWaiting, SlotsFull
from sandbox.world import World

START_S = 1_700_000_000.0


class Stage:
    """A world on a clock that stands still until it is turned."""

    def __init__(self, **options: Any) -> None:
        self.live = LiveOptions(parse_options(options))
        self.clock = Clock(start_s=START_S, scale=0)
        self.world = World(self.live, self.clock, seed=7)
        self.workflow = next(w for w in self.world.workflows("main").values() if w.spec.name == "Free form")

    def launch(self, n: int = 1, concurrency: str | None = None, hints: str = "duration_s=10") -> list[Execution]:
        inputs = [self.workflow.check({"n": i, "sandbox": hints}, index=i) for i in range(n)]
        return self.world.launch(self.workflow, inputs, key=self.live.keys[DEFAULT_KEY], concurrency=concurrency)

    def turn(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.world.settle_all()


def words(executions: list[Execution]) -> list[str]:
    """A call, so that mypy does not believe that a status stays what it was."""
    return [one.status.value for one in executions]


def test_the_eleventh_execution_waits_as_initial_until_a_slot_is_free() -> None:
    stage = Stage()
    launched = [stage.launch()[0] for _ in range(11)]
    assert words(launched) == ["processing"] * 10 + ["initial"]
    stage.turn(10)
    assert words(launched) == ["finished"] * 10 + ["processing"]
    assert launched[10].started_at == START_S + 10
    assert stage.workflow.schedule.peak_running == 10


def test_the_eleventh_launch_is_refused_when_the_sandbox_is_told_so() -> None:
    stage = Stage(over_concurrent="refuse")
    for _ in range(10):
        stage.launch()
    with pytest.raises(SlotsFull):
        stage.launch()
    stage.turn(10)
    stage.launch()


@pytest.mark.parametrize(("concurrency", "width"), [("low", 1), ("medium", 5), ("high", 10)])
def test_a_batch_runs_its_width_at_a_time_in_index_order(concurrency: str, width: int) -> None:
    stage = Stage()
    items = stage.launch(30, concurrency)
    stage.turn(100_000)
    assert [one.started_at for one in items] == [START_S + 10 * (i // width) for i in range(30)]
    assert stage.workflow.schedule.peak_running == width


def test_high_exceeds_the_ten_when_the_sandbox_is_told_so() -> None:
    stage = Stage(high_width="exceeds")
    stage.launch(30, "high")
    assert stage.workflow.schedule.running == 15


def test_a_batch_in_random_order_still_runs_each_item_once() -> None:
    stage = Stage(batch_order="random")
    items = stage.launch(30, "low")
    stage.turn(100_000)
    order = [one.index for one in sorted(items, key=lambda one: one.started_at or 0)]
    assert sorted(order, key=lambda index: index or 0) == list(range(30)) != order


def test_two_medium_batches_share_the_ten_slots() -> None:
    stage = Stage()
    first, second = stage.launch(20, "medium"), stage.launch(20, "medium")
    assert words(first).count("processing") == words(second).count("processing") == 5


def test_one_turn_of_an_hour_and_many_small_ones_end_alike() -> None:
    def ends(turns: Callable[[Stage], None]) -> list[float | None]:
        stage = Stage(duration_sigma=1.0)
        items = stage.launch(200, "medium", hints="tag=x")
        turns(stage)
        return [one.ended_at for one in items]

    def turn_in_small_steps(stage: Stage) -> None:
        for _ in range(501):
            stage.turn(7.2)

    assert ends(lambda stage: stage.turn(3600)) == ends(turn_in_small_steps)


def test_the_same_input_has_the_same_fate_and_another_seldom_does() -> None:
    stage = Stage()
    first, again = stage.launch(50, "low", hints="tag=x"), stage.launch(50, "low", hints="tag=x")
    durations = [one.fate.duration_s for one in first]
    assert durations == [one.fate.duration_s for one in again]
    assert len(set(durations)) == 50
    assert 3.5 < sum(durations) / 50 < 6.5


def test_an_execution_over_fifteen_minutes_ends_as_error() -> None:
    stage = Stage()
    [slow] = stage.launch(hints="duration_s=5000")
    stage.turn(899)
    assert words([slow]) == [Status.PROCESSING]
    stage.turn(1)
    assert words([slow]) == [Status.ERROR] and slow.ended_because == "execution timeout"


@pytest.mark.parametrize(("holds", "running"), [(True, 1), (False, 0)])
def test_waiting_for_a_person_holds_a_slot_or_not(holds: bool, running: int) -> None:
    stage = Stage(human_holds_slot=holds)
    [execution] = stage.launch(hints="outcome=human_in_the_loop; duration_s=10")
    stage.turn(5)
    assert words([execution]) == [Status.HUMAN]
    assert stage.workflow.schedule.running == running
    stage.workflow.schedule.approve(execution, stage.clock.now())
    assert words([execution]) == [Status.PROCESSING]
    stage.turn(5)
    assert words([execution]) == [Status.FINISHED] and stage.workflow.schedule.running == 0


def test_an_approved_execution_without_a_slot_waits_for_one() -> None:
    stage = Stage(human_holds_slot=False)
    [execution] = stage.launch(hints="outcome=human_in_the_loop; duration_s=10")
    stage.turn(5)
    for _ in range(10):
        stage.launch()
    stage.workflow.schedule.approve(execution, stage.clock.now())
    assert words([execution]) == [Status.HUMAN]
    stage.turn(10)
    assert words([execution]) == [Status.PROCESSING]
    assert stage.workflow.schedule.peak_running == 10


def test_a_rejected_execution_is_an_error_and_cannot_be_decided_again() -> None:
    stage = Stage()
    [execution] = stage.launch(hints="outcome=human_in_the_loop")
    stage.turn(60)
    stage.workflow.schedule.reject(execution, stage.clock.now())
    assert words([execution]) == [Status.ERROR]
    with pytest.raises(NotWaiting):
        stage.workflow.schedule.approve(execution, stage.clock.now())


@pytest.mark.parametrize(("stops", "status"), [(True, Status.HUMAN), (False, Status.ERROR)])
def test_the_timeout_stands_still_for_a_person_or_not(stops: bool, status: Status) -> None:
    stage = Stage(human_stops_clock=stops)
    [execution] = stage.launch(hints="outcome=human_in_the_loop; duration_s=10")
    stage.turn(900)
    assert words([execution]) == [status]


def test_a_person_can_be_played_by_the_clock() -> None:
    stage = Stage(approve_after_s=30)
    [execution] = stage.launch(hints="outcome=human_in_the_loop; duration_s=10")
    stage.turn(1000)
    assert words([execution]) == [Status.FINISHED] and execution.ended_at == START_S + 40
