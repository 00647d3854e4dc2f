"""Fast lanes gather what is due; slow ones do not wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from orchestrator.domain.breaker import Breaker
from orchestrator.domain.governor import Budget
from orchestrator.storage.lanes import GATHER_S, GATHERS_FROM, Lane

NOW = datetime(2026, 11, 30, 2, 0, tzinfo=UTC)


def lane(limit: int, number: int = 1) -> Lane:
    return Lane(
        id=UUID(int=number), now=NOW, budget=Budget(limit=limit, in_flight={}), blocked_until=None,
        launches_stopped=None, breaker=Breaker(), launch_due_at=None, poll_due_at=None,
    )  # fmt: skip


def test_at_the_documented_limit_a_turn_is_taken_when_something_is_due() -> None:
    due_at = NOW + timedelta(seconds=0.123)
    assert lane(100).gathered(due_at) == due_at


@pytest.mark.parametrize("in_s", [-5.0, 0.0, 0.1, 0.3, 7.77])
def test_on_a_fast_lane_it_is_taken_a_moment_later_and_never_earlier(in_s: float) -> None:
    due_at = NOW + timedelta(seconds=in_s)
    waits_s = (lane(GATHERS_FROM).gathered(due_at) - max(due_at, NOW)).total_seconds()
    assert 0 <= waits_s <= GATHER_S + 1e-6


def test_what_is_due_within_a_moment_goes_in_one_turn() -> None:
    first = lane(GATHERS_FROM).gathered(NOW + timedelta(milliseconds=5))
    assert {lane(GATHERS_FROM).gathered(first - timedelta(milliseconds=ms)) for ms in (1, 50, 200)} == {first}


def test_lanes_take_their_turns_at_different_moments() -> None:
    moments = {lane(GATHERS_FROM, number).gathered(NOW) for number in range(0, 1000, 100)}
    assert len(moments) == 10
