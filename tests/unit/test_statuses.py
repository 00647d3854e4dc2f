"""The words and the moves between them, against the contract's own table, written down here by hand."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.statuses import (
    BATCH_ENDINGS,
    ENDINGS,
    LIVE,
    MEANINGS,
    MOVES,
    BatchStatus,
    RunStatus,
    batch_status,
    may_become,
    too_many_failures,
)
from tests.unit.facts import few

CONTRACT = {
    "queued": {"launching", "cancelled"},
    "launching": {"processing", "queued", "error", "in_doubt"},
    "in_doubt": {"processing", "queued", "error", "abandoned"},
    "processing": {"human_in_the_loop", "downloading", "error", "cancelled", "abandoned"},
    "human_in_the_loop": {"processing", "downloading", "error", "abandoned"},
    "downloading": {"finished", "result_lost", "abandoned"},
    "finished": set(),
    "error": {"queued"},
    "result_lost": {"downloading", "queued"},
    "cancelled": {"queued"},
    "abandoned": {"processing", "queued"},
}

Counts = dict[RunStatus, int]
S = RunStatus
some_counts = st.dictionaries(st.sampled_from(RunStatus), st.integers(0, 30))


def test_the_moves_are_those_of_the_contract_and_no_others() -> None:
    assert {str(old): {str(new) for new in news} for old, news in MOVES.items()} == CONTRACT


def test_every_pair_of_statuses_is_allowed_as_the_contract_says() -> None:
    for old, new in product(RunStatus, RunStatus):
        assert may_become(old, new) is (str(new) in CONTRACT[old]), (old, new)


def test_an_ending_is_left_only_by_a_person_and_finished_by_nobody() -> None:
    assert {str(s) for s in ENDINGS} == {"finished", "error", "result_lost", "cancelled", "abandoned"}
    assert set(RunStatus) == ENDINGS | LIVE
    assert not ENDINGS & LIVE
    assert [s for s in ENDINGS if not MOVES[s]] == [S.FINISHED]
    assert set(MEANINGS) == set(RunStatus)


def test_every_status_can_be_reached_from_queued() -> None:
    reached, frontier = {S.QUEUED}, {S.QUEUED}
    while frontier:
        frontier = {new for old in frontier for new in MOVES[old]} - reached
        reached |= frontier
    assert reached == set(RunStatus)


@pytest.mark.parametrize(
    ("counts", "paused", "cancelled", "expected"),
    [
        ({S.QUEUED: 3}, False, False, "accepted"),
        ({S.QUEUED: 2, S.LAUNCHING: 1}, False, False, "running"),
        ({S.QUEUED: 2, S.FINISHED: 1}, False, False, "running"),
        ({S.PROCESSING: 1, S.IN_DOUBT: 2}, False, False, "running"),
        ({S.DOWNLOADING: 1}, False, False, "running"),
        ({S.QUEUED: 1, S.IN_DOUBT: 2}, False, False, "running"),
        ({S.QUEUED: 3}, True, False, "paused"),
        ({S.QUEUED: 3, S.PROCESSING: 1}, True, False, "pausing"),
        ({S.QUEUED: 3, S.LAUNCHING: 1}, True, False, "pausing"),
        ({S.QUEUED: 3, S.DOWNLOADING: 1}, True, False, "pausing"),
        ({S.QUEUED: 3, S.IN_DOUBT: 1}, True, False, "paused"),
        ({S.IN_DOUBT: 1, S.FINISHED: 9}, False, False, "waiting"),
        ({S.HUMAN_IN_THE_LOOP: 1, S.ERROR: 9}, False, False, "waiting"),
        ({S.PROCESSING: 1, S.CANCELLED: 4}, False, True, "cancelling"),
        ({S.IN_DOUBT: 1, S.CANCELLED: 4}, False, True, "cancelling"),
        ({S.PROCESSING: 1, S.QUEUED: 4}, True, True, "cancelling"),
        ({S.FINISHED: 1, S.CANCELLED: 4}, False, True, "cancelled"),
        ({S.FINISHED: 5}, False, True, "finished"),
        ({S.FINISHED: 5}, False, False, "finished"),
        ({S.FINISHED: 5}, True, False, "finished"),
        ({S.FINISHED: 4, S.ERROR: 1}, False, False, "finished_with_errors"),
        ({S.FINISHED: 4, S.RESULT_LOST: 1}, False, False, "finished_with_errors"),
        ({S.FINISHED: 4, S.ABANDONED: 1}, False, False, "finished_with_errors"),
        ({S.FINISHED: 4, S.CANCELLED: 1}, False, False, "finished_with_errors"),
    ],
)
def test_a_batch_stands_where_its_runs_and_marks_put_it(
    counts: Counts, paused: bool, cancelled: bool, expected: str
) -> None:
    assert batch_status(counts, paused=paused, cancelled=cancelled) == expected


@few
@given(some_counts, st.booleans(), st.booleans())
def test_a_batch_has_ended_exactly_when_no_run_is_live(counts: Counts, paused: bool, cancelled: bool) -> None:
    status = batch_status(counts, paused=paused, cancelled=cancelled)
    assert (status in BATCH_ENDINGS) is not any(n for s, n in counts.items() if s in LIVE)
    if status is BatchStatus.FINISHED:
        assert sum(counts.values()) == counts.get(S.FINISHED, 0)


@pytest.mark.parametrize(
    ("counts", "max_count", "max_percent", "expected"),
    [
        ({S.ERROR: 19}, 0, 0.0, False),  # too early to judge
        ({S.ERROR: 20}, None, None, False),  # no rule
        ({S.ERROR: 3, S.FINISHED: 17}, 3, None, False),
        ({S.ERROR: 4, S.FINISHED: 16}, 3, None, True),
        ({S.ERROR: 2, S.RESULT_LOST: 2, S.FINISHED: 16}, 3, None, True),
        ({S.ERROR: 2, S.FINISHED: 18}, None, 10.0, False),
        ({S.ERROR: 3, S.FINISHED: 17}, None, 10.0, True),
        ({S.ERROR: 1, S.FINISHED: 19}, 0, 50.0, True),  # either rule pauses
        ({S.FINISHED: 20}, 0, 0.0, False),
        ({S.FINISHED: 20, S.QUEUED: 500, S.IN_DOUBT: 500}, 0, 0.0, False),
    ],
)
def test_a_batch_is_paused_by_its_own_rule_once_twenty_have_ended(
    counts: Counts, max_count: int | None, max_percent: float | None, expected: bool
) -> None:
    assert too_many_failures(counts, max_count=max_count, max_percent=max_percent) is expected


def test_what_a_person_cancelled_or_abandoned_is_not_held_against_the_batch() -> None:
    counts = {S.CANCELLED: 50, S.ABANDONED: 50, S.FINISHED: 20}
    assert not too_many_failures(counts, max_count=0, max_percent=0.0)
