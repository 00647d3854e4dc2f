"""What the answer to a launch means: every class of failure, single and in a wave, under every policy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.answers import Accepted, WaveAccepted
from orchestrator.domain.breaker import Breaker, BreakerState
from orchestrator.domain.changes import ExecutionState, InboxKind, RunError, Timer, TimerKind
from orchestrator.domain.launch_decisions import (
    COMMIT_IN_QUESTION,
    TOO_LATE,
    IntentOutcome,
    LaunchDecision,
    LaunchFacts,
    LaunchingRun,
    OnDoubt,
    after_launch,
    unknown_outcome,
)
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.errors import (
    Gone,
    KeyRefused,
    Misbehaved,
    NotSent,
    OutcomeUnknown,
    ProviderError,
    Refused,
    Throttled,
)
from tests.unit.facts import NOW, assert_sound, errors, few, s, units

CLOSED = Breaker()
HALF_OPEN = Breaker(state=BreakerState.HALF_OPEN, trips=2)


def launching(n: int, *, cancelled: bool = False) -> LaunchingRun:
    return LaunchingRun(run_id=UUID(int=n + 1), attempt=1, position=n, cancel_requested=cancelled)


def facts(size: int = 1, *, is_wave: bool = False, cancelled: bool = False, **more: Any) -> LaunchFacts:
    told: dict[str, Any] = {"of_batch": is_wave, "on_doubt": OnDoubt.HOLD, "looks_first_s": 5.0, "window": 2, **more}
    return LaunchFacts(runs=[launching(n, cancelled=cancelled) for n in range(size)], is_wave=is_wave, **told)


SINGLE, WAVE = facts(), facts(4, is_wave=True)


def decide(
    launched: LaunchFacts, answer: Accepted | WaveAccepted | ProviderError, breaker: Breaker = HALF_OPEN
) -> LaunchDecision:
    return after_launch(launched, answer, breaker=breaker, now=NOW, unit=0.5)


@dataclass(frozen=True)
class Row:
    """One line of the outcome table of the architecture page."""

    error: ProviderError
    status: S
    outcome: IntentOutcome
    breaker: BreakerState
    stops: str | None = None
    lane_blocked_s: float | None = None
    workflow_is_blocked: bool = False


Q, D = (S.QUEUED, IntentOutcome.NOT_SENT), (S.IN_DOUBT, IntentOutcome.IN_DOUBT)
OPEN, SHUT, STILL = BreakerState.OPEN, BreakerState.CLOSED, BreakerState.HALF_OPEN

TABLE = [
    Row(NotSent("refused"), *Q, OPEN),
    Row(Throttled("429"), *Q, SHUT, workflow_is_blocked=True),
    Row(Throttled("429", retry_after_s=17), *Q, SHUT, lane_blocked_s=17),
    Row(Throttled("429", retry_after_s=0), *Q, SHUT, lane_blocked_s=0),
    Row(KeyRefused("401"), *Q, STILL, stops="key_refused"),
    Row(Gone("404"), *Q, SHUT, workflow_is_blocked=True),
    Row(Refused("400"), S.ERROR, IntentOutcome.REFUSED, SHUT),
    Row(Misbehaved("a proxy's 403"), *Q, OPEN),
    Row(OutcomeUnknown("500"), *D, OPEN),
    Row(OutcomeUnknown("503", retry_after_s=17), *D, OPEN, lane_blocked_s=17),
    Row(ProviderError("whatever a later adapter adds"), *D, OPEN),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: type(row.error).__name__)
def test_a_failed_single_launch_ends_where_the_table_says(row: Row) -> None:
    decision = decide(SINGLE, row.error)
    (change,) = decision.changes
    assert (change.to, decision.outcome) == (row.status, row.outcome)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: type(row.error).__name__)
@pytest.mark.parametrize("launched", [SINGLE, WAVE], ids=["single", "wave"])
def test_a_failed_launch_stops_exactly_what_the_table_says(row: Row, launched: LaunchFacts) -> None:
    decision = decide(launched, row.error)
    assert (decision.breaker or HALF_OPEN).state is row.breaker
    assert decision.lane_launches_stopped == row.stops
    blocked = None if row.lane_blocked_s is None else NOW + s(row.lane_blocked_s)
    assert decision.lane_blocked_until == blocked
    assert (decision.workflow_blocked_until is not None) is row.workflow_is_blocked
    assert (decision.workflow_blocked_because is not None) is row.workflow_is_blocked


@pytest.mark.parametrize("row", TABLE, ids=lambda row: type(row.error).__name__)
def test_a_failed_wave_takes_all_its_runs_the_same_way_and_one_refused_or_lost_is_halved(row: Row) -> None:
    decision = decide(WAVE, row.error)
    is_refusal = row.outcome is IntentOutcome.REFUSED
    assert decision.outcome is row.outcome
    assert [c.to for c in decision.changes] == [S.QUEUED if is_refusal else row.status] * 4
    is_lost = row.outcome is IntentOutcome.IN_DOUBT
    assert decision.wave_cap == (2 if is_refusal or is_lost else None)


#: What a cancel that came meanwhile makes of each class: applied where the run falls back, else too late.
CANCELLED = {NotSent, Throttled, KeyRefused, Gone, Misbehaved}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: type(row.error).__name__)
@pytest.mark.parametrize("is_wave", [False, True])
@pytest.mark.parametrize("on_doubt", OnDoubt)
def test_a_cancel_is_applied_where_the_run_falls_back_and_nowhere_else(
    row: Row, is_wave: bool, on_doubt: OnDoubt
) -> None:
    launched = facts(2 if is_wave else 1, is_wave=is_wave, cancelled=True, on_doubt=on_doubt)
    decision = decide(launched, row.error)
    falls_back = type(row.error) in CANCELLED or (is_wave and row.outcome is IntentOutcome.REFUSED)
    for change in decision.changes:
        assert (change.to is S.CANCELLED) is falls_back
        assert change.to is not S.QUEUED, "what a person asked to cancel is never queued again"
        if falls_back:
            assert change.via == (S.QUEUED,)
            assert change.execution is ExecutionState.NOT_SENT
            assert change.timer is None


@pytest.mark.parametrize("error", [OutcomeUnknown("reset"), None], ids=["reset", "its worker died"])
@pytest.mark.parametrize(
    ("on_doubt", "status", "execution", "attempt"),
    [
        (OnDoubt.HOLD, S.IN_DOUBT, ExecutionState.IN_DOUBT, None),
        (OnDoubt.FAIL, S.ERROR, ExecutionState.LEFT, None),
        (OnDoubt.RELAUNCH, S.QUEUED, ExecutionState.LEFT, 2),
    ],
)
@pytest.mark.parametrize("is_wave", [False, True])
def test_a_doubt_goes_the_way_its_workflows_owner_chose(
    error: ProviderError | None,
    on_doubt: OnDoubt,
    status: S,
    execution: ExecutionState,
    attempt: int | None,
    is_wave: bool,
) -> None:
    launched = facts(3 if is_wave else 1, is_wave=is_wave, on_doubt=on_doubt)
    decision = unknown_outcome(launched, error, breaker=CLOSED, now=NOW)
    assert decision.outcome is IntentOutcome.IN_DOUBT
    for change in decision.changes:
        assert (change.to, change.execution, change.attempt) == (status, execution, attempt)
        assert change.events[0].type == "in_doubt", "the history shows the doubt, whatever the policy made of it"
        assert change.via == (() if on_doubt is OnDoubt.HOLD else (S.IN_DOUBT,))
        assert (change.error.code if change.error else None) == ("launch_unknown" if on_doubt is OnDoubt.FAIL else None)
        # A wave's doubts are one question, which its storage puts.
        asks = on_doubt is OnDoubt.HOLD and not is_wave
        assert change.opens == (InboxKind.DOUBT if asks else None)
        relaunches_by_itself = on_doubt is OnDoubt.RELAUNCH and not is_wave
        assert change.timer == (Timer(kind=TimerKind.LAUNCH, due_at=NOW) if relaunches_by_itself else None)


def test_a_dead_worker_says_nothing_about_the_provider() -> None:
    assert unknown_outcome(SINGLE, None, breaker=CLOSED, now=NOW).breaker is None
    assert unknown_outcome(WAVE, None, breaker=CLOSED, now=NOW).wave_cap is None


def test_a_doubt_of_a_run_that_a_person_asked_to_cancel_is_held_for_a_person_and_never_relaunched() -> None:
    # It may run, so it is not `cancelled`; a second launch is what the person did not want.
    (change,) = decide(facts(cancelled=True, on_doubt=OnDoubt.RELAUNCH), OutcomeUnknown("reset")).changes
    assert (change.to, change.attempt, change.opens) == (S.IN_DOUBT, None, InboxKind.DOUBT)
    (change,) = decide(facts(cancelled=True, on_doubt=OnDoubt.FAIL), OutcomeUnknown("reset")).changes
    assert change.to is S.ERROR


def test_an_accepted_single_launch_is_processing_and_looked_at_after_its_first_delay() -> None:
    decision = decide(SINGLE, Accepted(execution_id="e-1"))
    (change,) = decision.changes
    assert (decision.outcome, decision.breaker) == (IntentOutcome.ACCEPTED, Breaker())
    assert (change.to, change.execution, change.execution_id) == (S.PROCESSING, ExecutionState.OPEN, "e-1")
    assert (change.was_launched, change.provider_status) == (True, "initial")
    assert change.timer == Timer(kind=TimerKind.POLL, due_at=NOW + s(5))


def test_a_cancel_that_came_too_late_does_not_end_what_the_provider_took() -> None:
    (change,) = decide(facts(cancelled=True), Accepted(execution_id="e-1")).changes
    assert change.to is S.PROCESSING


def due(decision: LaunchDecision) -> list[bool | None]:
    """Return for each accepted run, in order of position, whether a look is due; None for one in doubt."""
    by_run = {c.run_id: c.timer.due_at is not None if c.timer else None for c in decision.changes}
    return [by_run[launching(n).run_id] for n in range(len(by_run))]


def test_of_an_accepted_wave_only_the_window_is_due() -> None:
    ids = {n: f"e-{n}" for n in range(4)}
    decision = decide(WAVE, WaveAccepted(execution_ids=ids))
    assert decision.outcome is IntentOutcome.ACCEPTED
    assert {c.run_id: c.execution_id for c in decision.changes} == {launching(n).run_id: ids[n] for n in ids}
    assert due(decision) == [True, True, False, False]


def test_a_partial_answer_doubts_only_what_is_missing() -> None:
    decision = decide(WAVE, WaveAccepted(execution_ids={0: "a", 3: "d", 9: "of another wave"}))
    assert decision.outcome is IntentOutcome.PARTLY_ACCEPTED
    assert {c.run_id: c.to for c in decision.changes} == {
        launching(0).run_id: S.PROCESSING,
        launching(1).run_id: S.IN_DOUBT,
        launching(2).run_id: S.IN_DOUBT,
        launching(3).run_id: S.PROCESSING,
    }


def test_a_partial_answer_is_suspicious_the_next_wave_waits_for_a_probe_and_has_less_to_doubt() -> None:
    decision = decide(WAVE, WaveAccepted(execution_ids={0: "a", 3: "d"}), breaker=CLOSED)
    assert decision.breaker == CLOSED.trip(now=NOW)
    assert decision.wave_cap == 2


@pytest.mark.parametrize("code", [TOO_LATE, COMMIT_IN_QUESTION])
@pytest.mark.parametrize("launched", [SINGLE, WAVE], ids=["single", "wave"])
def test_what_we_ourselves_did_not_send_says_nothing_about_the_provider(code: str, launched: LaunchFacts) -> None:
    decision = decide(launched, NotSent("we did not", code=code), breaker=CLOSED)
    assert (decision.outcome, decision.breaker) == (IntentOutcome.NOT_SENT, None)
    assert {c.to for c in decision.changes} == {S.QUEUED}


def test_a_partial_answer_that_leaves_out_the_whole_window_is_still_looked_at() -> None:
    # Were nothing due, no look would ever move the window, and the wave's results would die unseen.
    decision = decide(WAVE, WaveAccepted(execution_ids={2: "c", 3: "d"}))
    assert due(decision) == [None, None, True, True]


@pytest.mark.parametrize("launched", [SINGLE, WAVE], ids=["single", "wave"])
def test_a_good_answer_that_names_none_of_the_items_is_a_doubt_like_any_other(launched: LaunchFacts) -> None:
    decision = decide(launched, WaveAccepted(execution_ids={}), breaker=CLOSED)
    assert decision.outcome is IntentOutcome.IN_DOUBT
    assert {c.to for c in decision.changes} == {S.IN_DOUBT}
    assert decision.breaker == CLOSED.trip(now=NOW), "a relaunch at once would be answered the same way"


def test_a_run_that_falls_back_waits_longer_with_every_try_and_a_batch_launches_its_own() -> None:
    waits: list[timedelta] = []
    for tries in range(8):
        (change,) = decide(facts(tries=tries), NotSent("refused")).changes
        assert change.timer is not None
        assert (change.timer.kind, change.timer.tries) == (TimerKind.LAUNCH, tries + 1)
        assert change.timer.due_at is not None
        waits.append(change.timer.due_at - NOW)
    assert waits == sorted(waits)
    assert waits[0] >= s(1)
    assert waits[-1] <= s(60)
    assert all(c.timer is None for c in decide(WAVE, NotSent("refused")).changes)


def test_a_refused_wave_is_halved_down_to_its_bad_item_which_alone_ends_in_error() -> None:
    size, refusals = 1000, 0
    while size > 1:
        cap = decide(facts(size, is_wave=True), Refused("400")).wave_cap
        assert cap is not None
        size, refusals = cap, refusals + 1
    assert refusals <= 10
    (change,) = decide(facts(1, is_wave=True), Refused("no such field")).changes
    assert change.error == RunError(code="launch_refused", message="no such field")
    assert change.execution is ExecutionState.REFUSED


def test_what_the_provider_said_stands_in_no_event() -> None:
    for launched in (SINGLE, WAVE):
        for kind in (NotSent, Throttled, Refused, KeyRefused, Gone, Misbehaved):
            decision = decide(launched, kind("Jane Doe is no customer"))
            assert "Jane" not in repr([c.events for c in decision.changes])


launches = st.builds(
    lambda size, is_wave, of_batch, cancelled, more: replace(
        facts(size if is_wave else 1, is_wave=is_wave, cancelled=cancelled, **more), of_batch=is_wave or of_batch
    ),
    st.integers(1, 5),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.fixed_dictionaries(
        {
            "on_doubt": st.sampled_from(OnDoubt),
            "window": st.integers(0, 6),
            "tries": st.integers(0, 100),
            "looks_first_s": st.floats(0, 300),
        }
    ),
)
answers = st.one_of(
    errors,
    st.just(Accepted(execution_id="e")),
    st.dictionaries(st.integers(0, 6), st.just("e")).map(lambda ids: WaveAccepted(execution_ids=ids)),
)
breakers = st.builds(Breaker, state=st.sampled_from(BreakerState), trips=st.integers(0, 2000))


@few
@given(launches, answers, breakers, units)
def test_every_run_of_a_launch_gets_one_sound_change_whatever_came(
    launched: LaunchFacts, answer: Accepted | WaveAccepted | ProviderError, breaker: Breaker, unit: float
) -> None:
    decision = after_launch(launched, answer, breaker=breaker, now=NOW, unit=unit)
    assert sorted(c.run_id for c in decision.changes) == sorted(run.run_id for run in launched.runs)
    for change in decision.changes:
        assert_sound(change)
        assert change.was is S.LAUNCHING
        assert change.to is not S.LAUNCHING, "an intent whose answer is known is settled"
        assert change.execution is not None
        if change.to is S.PROCESSING:
            assert change.execution_id is not None
            assert change.timer is not None
        if change.to is S.QUEUED:
            assert (change.timer is None) is launched.of_batch, "a queued run is due by itself or by its batch"
    assert decision.wave_cap is None or decision.wave_cap >= 1
