"""Fast lanes gather what is due, the longer the busier they are; slow ones do not wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.domain import gathering
from orchestrator.domain.gathering import A_TURN, BUSY_FROM, BUSY_S, FAST_FROM, QUIET_S
from orchestrator.domain.governor import WINDOW_S, Budget, CallKind
from tests.unit.facts import back_at

NOW = datetime(2026, 11, 30, 2, 0, tzinfo=UTC)


def gathered(due_at: datetime, *, limit: int = FAST_FROM, used: int = 0, lane: int = 1) -> datetime:
    return gathering.gathered(due_at, now=NOW, requests_per_minute=limit, used=used, lane=lane)


def test_at_the_documented_limit_a_turn_is_taken_when_something_is_due() -> None:
    due_at = NOW + timedelta(seconds=0.123)
    assert gathered(due_at, limit=100, used=100) == due_at


@pytest.mark.parametrize(("used", "most_s"), [(0, QUIET_S), (BUSY_FROM, BUSY_S), (100 * BUSY_FROM, BUSY_S)])
@pytest.mark.parametrize("in_s", [-5.0, 0.0, 0.1, 0.3, 7.77])
def test_on_a_fast_lane_it_is_taken_a_moment_later_and_never_earlier(in_s: float, used: int, most_s: float) -> None:
    due_at = NOW + timedelta(seconds=in_s)
    waits_s = (gathered(due_at, used=used) - max(due_at, NOW)).total_seconds()
    assert 0 <= waits_s <= most_s + 1e-6


def test_what_is_due_within_a_moment_goes_in_one_turn() -> None:
    first = gathered(NOW + timedelta(milliseconds=5))
    assert {gathered(first - timedelta(milliseconds=ms)) for ms in (1, 50, 200)} == {first}


def test_a_busy_lane_gathers_for_longer() -> None:
    first = gathered(NOW + timedelta(milliseconds=5), used=BUSY_FROM)
    assert {gathered(first - timedelta(milliseconds=ms), used=BUSY_FROM) for ms in (1, 400, 950)} == {first}


def test_lanes_take_their_turns_at_different_moments() -> None:
    assert len({gathered(NOW, lane=number) for number in range(0, 1000, 100)}) == 10


def test_at_the_documented_limit_a_turn_is_small() -> None:
    assert gathering.turn_size(100) == A_TURN < gathering.turn_size(FAST_FROM)


@pytest.mark.parametrize("limit", [100, FAST_FROM])
def test_a_token_comes_back_late_by_less_than_its_slot_and_never_early(limit: int) -> None:
    budget = Budget(limit=limit, in_flight={}).spend(CallKind.LOOK, [n / 7 for n in range(50)], now=NOW)
    for n in range(50):
        due_at = NOW + timedelta(seconds=WINDOW_S - n / 7)
        later = sum(known.tokens for known in budget.spent if back_at(known) > due_at)
        assert later >= n + 1, "none of those that were answered no earlier is back"
    latest = NOW + timedelta(seconds=WINDOW_S + gathering.slot_s(limit))
    assert all(back_at(known) <= latest for known in budget.spent)


def test_the_row_of_a_fast_lane_stays_small_at_any_rate() -> None:
    budget = Budget(limit=100_000, in_flight={})
    for n in range(600):
        budget = budget.spend(CallKind.LOOK, [0.0, 0.05], now=NOW + timedelta(seconds=n / 10))
    assert len(budget.spent) <= WINDOW_S + 2
