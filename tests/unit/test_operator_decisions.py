"""What a person may do: every verb at every status, allowed as the contract says or refused with a code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from orchestrator.domain.changes import Change, ExecutionState, Timer, TimerKind, Urgency
from orchestrator.domain.operator_decisions import (
    Act,
    Resolution,
    RunFacts,
    abandon,
    cancel,
    refetch,
    resolve,
    retry,
)
from orchestrator.domain.statuses import ENDINGS, ResultsState, may_become
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.errors import Conflict
from tests.unit.facts import NOW, RUN, assert_sound

ACT = Act(actor="token:ann", reason="because")
IDS = {S.QUEUED: None, S.LAUNCHING: None, S.IN_DOUBT: None, S.CANCELLED: None}

Verb = Callable[[RunFacts], Change | None]


def run(status: S, *, of_batch: bool = False, execution_id: str | None = "e-1") -> RunFacts:
    id_ = None if status in IDS else execution_id
    return RunFacts(run_id=RUN, status=status, attempt=3, of_batch=of_batch, execution_id=id_)


def do_resolve(how: Resolution) -> Verb:
    id_ = "e-9" if how is Resolution.ADOPT else None
    return lambda facts: resolve(facts, ACT, how, execution_id=id_, now=NOW)


VERBS: Mapping[str, Verb] = {
    "cancel": lambda facts: cancel(facts, ACT),
    "abandon": lambda facts: abandon(facts, ACT),
    "retry": lambda facts: retry(facts, ACT, relaunch=False, now=NOW),
    "relaunch": lambda facts: retry(facts, ACT, relaunch=True, now=NOW),
    "refetch": lambda facts: refetch(facts, ACT, now=NOW),
    **{how: do_resolve(how) for how in Resolution},
}

#: verb -> for each status in the order of the contract's table, where the run goes, or the code of the refusal.
TABLE: Mapping[str, tuple[S | str | None, ...]] = {
    "cancel": (
        S.CANCELLED, S.LAUNCHING, "too_late", "too_late", "too_late", "too_late",
        "run_ended", "run_ended", "run_ended", None, "run_ended",
    ),
    "abandon": (
        "not_abandonable", "not_abandonable", S.ABANDONED, S.ABANDONED, S.ABANDONED, S.ABANDONED,
        "not_abandonable", "not_abandonable", "not_abandonable", "not_abandonable", "not_abandonable",
    ),
    "retry": (
        "not_retryable", "not_retryable", "not_retryable", "not_retryable", "not_retryable", "not_retryable",
        "not_retryable", S.QUEUED, "needs_relaunch", S.QUEUED, "needs_relaunch",
    ),
    "relaunch": (
        "not_retryable", "not_retryable", "not_retryable", "not_retryable", "not_retryable", "not_retryable",
        "not_retryable", S.QUEUED, S.QUEUED, S.QUEUED, S.QUEUED,
    ),
    "refetch": (
        "not_refetchable", "not_refetchable", "not_refetchable", "not_refetchable", "not_refetchable",
        "not_refetchable", "not_refetchable", "not_refetchable", S.DOWNLOADING, "not_refetchable", S.PROCESSING,
    ),
    **{
        how: tuple(to if status is S.IN_DOUBT else "not_in_doubt" for status in S)
        for how, to in {
            Resolution.ADOPT: S.PROCESSING,
            Resolution.NOT_STARTED: S.QUEUED,
            Resolution.RELAUNCH: S.QUEUED,
            Resolution.ABANDON: S.ABANDONED,
        }.items()
    },
}  # fmt: skip

CELLS = [(verb, status, cell) for verb, row in TABLE.items() for status, cell in zip(S, row, strict=True)]


@pytest.mark.parametrize(("verb", "status", "cell"), CELLS, ids=lambda value: str(value))
def test_each_verb_at_each_status_does_what_the_table_says(verb: str, status: S, cell: S | str | None) -> None:
    if isinstance(cell, S):
        change = VERBS[verb](run(status))
        assert change is not None
        assert (change.was, change.to) == (status, cell)
        return
    if cell is None:
        assert VERBS[verb](run(status)) is None
        return
    with pytest.raises(Conflict) as refused:
        VERBS[verb](run(status))
    assert refused.value.code == cell
    assert str(status) in refused.value.message, "whoever is refused is told where the run stands"


@pytest.mark.parametrize(("verb", "status"), [(v, status) for v, status, cell in CELLS if isinstance(cell, S)])
@pytest.mark.parametrize("of_batch", [False, True])
def test_every_act_is_sound_and_says_who_and_why(verb: str, status: S, of_batch: bool) -> None:
    change = VERBS[verb](run(status, of_batch=of_batch))
    assert change is not None
    assert_sound(change)
    assert change.touches_run
    (event,) = change.events
    assert event.actor == "token:ann"
    assert event.data is not None
    assert event.data["reason"] == "because"
    if status in ENDINGS:
        assert event.type == "reopened", "leaving an ending is a reopening, by name"
    if change.to is S.QUEUED:
        due = None if of_batch else Timer(kind=TimerKind.LAUNCH, due_at=NOW)
        assert change.timer == due, "a batch launches its own"
    if change.to in {S.PROCESSING, S.DOWNLOADING}:
        assert change.timer is not None
        assert (change.timer.kind, change.timer.due_at) == (TimerKind.POLL, NOW)
        assert change.timer.urgency <= Urgency.ASKED


def test_an_act_tells_its_reason() -> None:
    change = cancel(run(S.QUEUED), ACT)
    assert change is not None
    assert (change.events[0].actor, change.events[0].data) == ("token:ann", {"attempt": 3, "reason": "because"})


def test_a_cancel_on_the_wire_is_noted_and_leaves_the_launch_alone() -> None:
    change = cancel(run(S.LAUNCHING), ACT)
    assert change is not None
    assert (change.asks_cancel, change.keeps_timer, change.execution) == (True, True, None)


@pytest.mark.parametrize(
    ("status", "execution_id", "attempt"),
    [
        (S.ERROR, "e-1", 4),
        (S.ERROR, None, 4),  # refused: the attempt was used
        (S.RESULT_LOST, "e-1", 4),
        (S.ABANDONED, "e-1", 4),
        (S.ABANDONED, None, 4),  # a doubt that was abandoned: it may have acted
        (S.CANCELLED, None, 3),  # cancelled before its launch: the attempt is unused
        (S.CANCELLED, "e-1", 4),  # cancelled by the provider, which had it
    ],
)
def test_a_retry_takes_the_next_attempt_unless_this_one_was_never_used(
    status: S, execution_id: str | None, attempt: int
) -> None:
    facts = RunFacts(run_id=RUN, status=status, attempt=3, of_batch=False, execution_id=execution_id)
    change = retry(facts, ACT, relaunch=True, now=NOW)
    assert change.attempt == attempt
    assert change.events[0].data is not None
    assert change.events[0].data["attempt"] == attempt
    assert (change.clears_error, change.results_state) == (True, ResultsState.NONE)
    assert change.execution is None, "what the last attempt came to is history"


def test_a_relaunch_of_a_doubt_is_a_new_attempt_and_a_doubt_that_never_started_is_the_same() -> None:
    again = resolve(run(S.IN_DOUBT), ACT, Resolution.RELAUNCH, execution_id=None, now=NOW)
    assert (again.attempt, again.execution) == (4, ExecutionState.LEFT)
    same = resolve(run(S.IN_DOUBT), ACT, Resolution.NOT_STARTED, execution_id=None, now=NOW)
    assert (same.attempt, same.execution) == (None, ExecutionState.NOT_SENT)


def test_an_adopted_execution_is_watched_under_its_own_attempt() -> None:
    change = resolve(run(S.IN_DOUBT), ACT, Resolution.ADOPT, execution_id="e-9", now=NOW)
    assert (change.execution_id, change.execution, change.was_launched) == ("e-9", ExecutionState.OPEN, True)
    assert change.attempt is None


@pytest.mark.parametrize("how", Resolution)
def test_every_way_to_settle_a_doubt_closes_its_question(how: Resolution) -> None:
    assert resolve(run(S.IN_DOUBT), ACT, how, execution_id="e-9", now=NOW).closes


@pytest.mark.parametrize("status", [S.IN_DOUBT, S.PROCESSING, S.HUMAN_IN_THE_LOOP, S.DOWNLOADING])
def test_an_abandoned_run_says_whether_it_may_still_act(status: S) -> None:
    change = abandon(run(status), ACT)
    assert change.error is not None
    assert change.error.code == "abandoned"
    assert change.closes
    assert change.events[0].data is not None
    may_still_act = status is not S.DOWNLOADING
    assert change.events[0].data["may_still_act"] is may_still_act
    # What is being downloaded has ended at the provider; nobody leaves what is over.
    assert change.execution is (ExecutionState.LEFT if may_still_act else None)


def test_nothing_can_be_fetched_again_of_an_execution_whose_id_nobody_knows() -> None:
    with pytest.raises(Conflict, match="nothing to fetch"):
        refetch(run(S.ABANDONED, execution_id=None), ACT, now=NOW)


def test_a_lost_result_is_fetched_again_without_opening_its_execution() -> None:
    lost, left = refetch(run(S.RESULT_LOST), ACT, now=NOW), refetch(run(S.ABANDONED), ACT, now=NOW)
    assert (lost.execution, lost.results_state) == (None, ResultsState.OFFERED)
    assert (left.execution, left.results_state) == (ExecutionState.OPEN, ResultsState.NONE)


def test_nobody_can_move_a_finished_run() -> None:
    assert not any(may_become(S.FINISHED, to) for to in S)
    for verb in VERBS.values():
        with pytest.raises(Conflict):
            verb(replace(run(S.FINISHED), attempt=1))
