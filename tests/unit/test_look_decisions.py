"""What one look means: every word of the provider at every status, failures, lateness, people, and empty hands."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.answers import Observation, OfferedFile, RemoteStatus
from orchestrator.domain.backoff import PollPolicy
from orchestrator.domain.changes import Change, ExecutionState, InboxKind, OverdueStage, RunError, Timer, TimerKind
from orchestrator.domain.changes import Urgency as U
from orchestrator.domain.look_decisions import NO_LIST, NO_LIST_TRIES, after_look
from orchestrator.domain.look_facts import LookFacts
from orchestrator.domain.overdue import OVERDUE_LOOKS_S
from orchestrator.domain.statuses import ResultsState
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
from tests.unit.facts import ERRORS, NOW, RUN, assert_sound, errors, few, observations, s, units

R = RemoteStatus
FILES = (OfferedFile(filename="a.csv", url="https://x/a"), OfferedFile(filename="b.csv", url="https://x/b"))
BASE = LookFacts(
    run_id=RUN,
    status=S.PROCESSING,
    attempt=1,
    provider_status="processing",
    began_at=NOW - s(60),
    launched_at=NOW - s(60),
    policy=PollPolicy(initial_s=2, factor=2, cap_s=30, jitter=0),
)
HUMAN = replace(BASE, status=S.HUMAN_IN_THE_LOOP, provider_status="human_in_the_loop", human_since=NOW - s(60))
FETCHING = replace(BASE, status=S.DOWNLOADING, provider_status="finished", tries=2)
WATCHED = (BASE, HUMAN, FETCHING)

WORDS = {
    R.WAITING: "initial",
    R.RUNNING: "processing",
    R.HUMAN: "human_in_the_loop",
    R.FINISHED: "finished",
    R.FAILED: "error",
    R.CANCELLED: "cancelled",
    R.UNKNOWN: "thinking",
}


def saw(status: R, files: tuple[OfferedFile, ...] | None = None, message: str | None = None) -> Observation:
    return Observation(status=status, word=WORDS[status], files=files, error_message=message)


def look(facts: LookFacts, seen: Observation | ProviderError, *, now: datetime = NOW) -> Change:
    change = after_look(facts, seen, now=now, unit=0.5)
    assert_sound(change)
    return change


def timer(change: Change) -> Timer:
    assert change.timer is not None
    return change.timer


def wait_s(change: Change) -> float:
    """Return how long until the next look."""
    due_at = timer(change).due_at
    assert due_at is not None
    return (due_at - NOW).total_seconds()


def told(change: Change) -> list[str]:
    return [event.type for event in change.events]


P, H, D = S.PROCESSING, S.HUMAN_IN_THE_LOOP, S.DOWNLOADING

#: What each word makes of each watched status. A run that is being stored never goes back.
TABLE = {
    R.WAITING: (P, P, D),
    R.RUNNING: (P, P, D),
    R.UNKNOWN: (P, P, D),
    R.HUMAN: (H, H, D),
    R.FINISHED: (D, D, D),
    R.FAILED: (S.ERROR, S.ERROR, D),
    R.CANCELLED: (S.CANCELLED, S.CANCELLED, D),
}


@pytest.mark.parametrize("status", R)
def test_each_word_of_the_provider_moves_each_status_as_the_table_says(status: R) -> None:
    seen = saw(status, FILES if status is R.FINISHED else None)
    assert tuple(look(facts, seen).to for facts in WATCHED) == TABLE[status]


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("facts", WATCHED, ids=lambda facts: facts.status)
def test_a_failed_look_moves_nothing_and_is_due_again_within_a_minute(
    facts: LookFacts, kind: type[ProviderError]
) -> None:
    change = look(facts, kind("no"))
    assert (change.to, change.touches_run) == (facts.status, False)
    assert 0 <= wait_s(change) <= 60
    assert timer(change).urgency == (U.REFRESH if facts.status is S.DOWNLOADING else U.NORMAL)


@pytest.mark.parametrize("error", [Throttled("429"), KeyRefused("401")])
def test_a_look_that_failed_for_the_lanes_sake_is_due_at_once_and_not_held_against_the_run(
    error: ProviderError,
) -> None:
    again = timer(look(replace(BASE, tries=3), error))
    assert (again.due_at, again.tries) == (NOW, 3)


def test_looks_that_fail_in_a_row_come_further_and_further_apart() -> None:
    waits = [wait_s(look(replace(BASE, tries=n), OutcomeUnknown("reset"))) for n in range(9)]
    assert waits == sorted(waits)
    assert waits[-1] > 10 * waits[0]


def test_results_are_fetched_at_once_and_by_the_hour_in_which_their_urls_die() -> None:
    change = look(replace(BASE, url_life_s=600, seen_alive_at=NOW), saw(R.FINISHED, FILES))
    assert change.timer == Timer(kind=TimerKind.DOWNLOAD, due_at=NOW, deadline_at=NOW + s(600))
    assert (change.offered, change.url_expires_at) == (FILES, NOW + s(600))
    assert (change.results_state, change.execution) == (ResultsState.OFFERED, ExecutionState.ENDED)


@pytest.mark.parametrize(
    ("launched_s", "seen_s", "ended_s"),
    [(5000, 20, 20), (5000, None, 5000), (60, 90, 60), (-5, None, 0), (60, -5, 0)],
    ids=["since the last look", "since the launch", "a look before the launch", "never in future", "nor by a look"],
)
def test_the_hour_of_a_first_offer_runs_from_when_the_execution_may_have_ended(
    launched_s: float, seen_s: float | None, ended_s: float
) -> None:
    seen_at = None if seen_s is None else NOW - s(seen_s)
    facts = replace(BASE, launched_at=NOW - s(launched_s), seen_alive_at=seen_at)
    change = look(facts, saw(R.FINISHED, FILES))
    assert change.to is S.DOWNLOADING, "however late it is, it is tried"
    assert timer(change).due_at == NOW
    assert change.url_expires_at == timer(change).deadline_at == NOW - s(ended_s) + s(3600)
    refreshed = look(replace(facts, status=S.DOWNLOADING), saw(R.FINISHED, FILES))
    assert refreshed.url_expires_at == NOW + s(3600), "fresh URLs may live for an hour: so refusals of them count"


def test_an_empty_list_of_results_finishes_with_no_files_and_says_so() -> None:
    change = look(BASE, saw(R.FINISHED, ()))
    assert (change.to, change.results_state) == (S.FINISHED, ResultsState.EMPTY)
    assert told(change) == ["no_results", "finished"]


def test_looks_that_fail_do_not_pass_for_answers_without_a_list() -> None:
    facts = replace(BASE, provider_status="finished")
    for _ in range(NO_LIST_TRIES):
        change = look(facts, saw(R.FINISHED, None))
        assert change.to is S.PROCESSING, "only answers count, however many looks failed between them"
        facts = replace(facts, tries=timer(change).tries)
        for error in (OutcomeUnknown("reset"), Throttled("429"), OutcomeUnknown("cut"), OutcomeUnknown("late")):
            facts = replace(facts, tries=timer(look(facts, error)).tries)
    waits = [wait_s(look(replace(facts, tries=facts.tries + n), OutcomeUnknown("reset"))) for n in range(5)]
    assert max(waits) <= 60
    for_ever = look(replace(BASE, tries=999), OutcomeUnknown("reset"))
    assert look(replace(BASE, tries=timer(for_ever).tries), saw(R.FINISHED, None)).to is S.PROCESSING
    assert timer(look(replace(BASE, tries=timer(for_ever).tries), saw(R.FINISHED, None))).tries == NO_LIST
    assert told(look(facts, saw(R.FINISHED, None))) == ["no_results", "finished"]


def test_a_missing_list_is_asked_for_again_before_it_is_believed_to_be_empty() -> None:
    facts, looks = BASE, 0
    while (change := look(facts, saw(R.FINISHED, None))).to is S.PROCESSING:
        facts = replace(facts, tries=timer(change).tries, provider_status=change.provider_status or "finished")
        looks += 1
    assert looks == NO_LIST_TRIES
    assert told(change) == ["no_results", "finished"]


def test_looks_that_failed_before_do_not_make_a_missing_list_believed_at_once() -> None:
    change = look(replace(BASE, tries=50), saw(R.FINISHED, None))
    assert (change.to, timer(change).tries, change.provider_status) == (S.PROCESSING, NO_LIST, "finished")


@pytest.mark.parametrize("files", [None, ()], ids=["no list", "an empty list"])
def test_files_that_were_offered_once_and_are_withdrawn_are_lost_after_ten_minutes_and_never_finished(
    files: tuple[OfferedFile, ...] | None,
) -> None:
    change = look(replace(FETCHING, tries=50), saw(R.FINISHED, files))
    assert (change.to, change.touches_run) == (S.DOWNLOADING, False)
    assert (timer(change).urgency, timer(change).gone_since) == (U.REFRESH, NOW)
    change = look(replace(FETCHING, gone_since=NOW - s(599)), saw(R.FINISHED, files))
    assert (change.to, timer(change).gone_since) == (S.DOWNLOADING, NOW - s(599))
    change = look(replace(FETCHING, gone_since=NOW - s(600)), saw(R.FINISHED, files))
    assert (change.to, change.results_state) == (S.RESULT_LOST, ResultsState.LOST)
    assert change.error is not None
    assert change.error.code == "result_lost"


def test_a_refresh_offers_fresh_urls_and_keeps_the_count_of_failed_rounds() -> None:
    change = look(FETCHING, saw(R.FINISHED, FILES))
    assert told(change) == ["results_refreshed"]
    assert (timer(change).kind, timer(change).tries, change.offered) == (TimerKind.DOWNLOAD, 2, FILES)


@pytest.mark.parametrize("status", [R.WAITING, R.RUNNING, R.HUMAN, R.FAILED, R.CANCELLED, R.UNKNOWN])
def test_a_word_that_goes_back_on_finished_is_told_once_asked_again_for_an_hour_and_then_the_result_is_lost(
    status: R,
) -> None:
    change = look(FETCHING, saw(status))
    assert (change.to, told(change), timer(change).urgency) == (S.DOWNLOADING, ["status_went_back"], U.REFRESH)
    assert (timer(change).gone_since, change.provider_status) == (NOW, None)
    assert wait_s(change) <= 60
    again = look(replace(FETCHING, gone_since=NOW - s(3599)), saw(status))
    assert (again.to, again.touches_run, timer(again).gone_since) == (S.DOWNLOADING, False, NOW - s(3599))
    assert wait_s(again) <= 60
    lost = look(replace(FETCHING, gone_since=NOW - s(3600)), saw(status))
    assert (lost.to, lost.results_state) == (S.RESULT_LOST, ResultsState.LOST)
    assert lost.error is not None
    assert "finished" in lost.error.message


def test_urls_that_are_had_again_end_the_hour_of_a_word_that_went_back() -> None:
    change = look(replace(FETCHING, gone_since=NOW - s(5000)), saw(R.FINISHED, FILES))
    assert (change.to, change.offered, timer(change).gone_since) == (S.DOWNLOADING, FILES, None)


def test_an_execution_that_the_provider_failed_ends_in_error_with_its_words_for_people_only() -> None:
    change = look(BASE, saw(R.FAILED, message="Jane Doe is no customer"))
    assert change.error == RunError(code="provider_error", message="Jane Doe is no customer")
    assert "Jane" not in repr(change.events)
    silent = look(BASE, saw(R.FAILED)).error
    assert silent is not None
    assert silent.message


@pytest.mark.parametrize(("gone_s", "is_lost"), [(0, False), (599, False), (600, True), (86_400, True)])
@pytest.mark.parametrize("facts", [BASE, HUMAN], ids=lambda facts: facts.status)
def test_an_execution_unknown_for_ten_minutes_is_lost_and_not_before(
    facts: LookFacts, gone_s: float, is_lost: bool
) -> None:
    change = look(replace(facts, gone_since=NOW - s(gone_s)), Gone("404"))
    assert (change.to is S.ERROR) is is_lost
    if is_lost:
        assert change.error is not None
        assert (change.error.code, change.execution) == ("provider_lost", ExecutionState.ENDED)
        assert change.closes
    else:
        assert timer(change).gone_since == NOW - s(gone_s)


def test_the_first_404_starts_the_ten_minutes_and_any_sight_of_the_execution_ends_them() -> None:
    assert timer(look(BASE, Gone("404"))).gone_since == NOW
    assert timer(look(replace(BASE, gone_since=NOW - s(500)), saw(R.RUNNING))).gone_since is None


@pytest.mark.parametrize("kind", [kind for kind in ERRORS if kind is not Gone])
def test_a_failed_look_between_two_404s_neither_ends_the_ten_minutes_nor_the_run(kind: type[ProviderError]) -> None:
    change = look(replace(BASE, gone_since=NOW - s(5000)), kind("no"))
    assert (change.to, timer(change).gone_since) == (S.PROCESSING, NOW - s(5000))


def test_results_whose_execution_is_gone_for_ten_minutes_are_lost_and_not_an_error() -> None:
    change = look(replace(FETCHING, gone_since=NOW - s(600)), Gone("404"))
    assert (change.to, change.results_state) == (S.RESULT_LOST, ResultsState.LOST)


def aged(seconds: float, stage: int = OverdueStage.NONE) -> LookFacts:
    return replace(BASE, began_at=NOW - s(seconds), launched_at=NOW - s(seconds), stage=stage)


@pytest.mark.parametrize("seen", [saw(R.RUNNING), OutcomeUnknown("500"), Misbehaved("drift")], ids=["seen", "5xx", "?"])
def test_after_twenty_minutes_a_run_is_overdue_once_and_looked_at_more_slowly(
    seen: Observation | ProviderError,
) -> None:
    assert told(look(aged(1200), seen)) == []
    change = look(aged(1201), seen)
    assert (told(change), timer(change).stage, change.opens) == (["overdue"], OverdueStage.SLOWER, None)
    assert wait_s(change) >= OVERDUE_LOOKS_S
    again = look(aged(1800, stage=OverdueStage.SLOWER), seen)
    assert (told(again), timer(again).stage) == ([], OverdueStage.SLOWER)
    assert wait_s(again) >= OVERDUE_LOOKS_S


@pytest.mark.parametrize("seen", [saw(R.RUNNING), OutcomeUnknown("500"), Misbehaved("drift")], ids=["seen", "5xx", "?"])
@pytest.mark.parametrize("stage", [OverdueStage.NONE, OverdueStage.SLOWER])
def test_after_a_day_a_person_is_told_once(seen: Observation | ProviderError, stage: int) -> None:
    assert look(aged(86_400, stage=stage), seen).opens is None
    change = look(aged(86_401, stage=stage), seen)
    assert (change.opens, timer(change).stage) == (InboxKind.OVERDUE, OverdueStage.TOLD_A_PERSON)
    again = look(aged(90_000, stage=OverdueStage.TOLD_A_PERSON), seen)
    assert (again.opens, told(again)) == (None, [])


def test_time_that_an_item_waited_for_its_turn_in_a_wave_does_not_make_it_overdue() -> None:
    assert told(look(replace(BASE, launched_at=NOW - s(7200), began_at=NOW - s(60)), saw(R.RUNNING))) == []


def test_time_spent_waiting_for_a_person_does_not_make_a_run_overdue_when_it_goes_on() -> None:
    change = look(replace(HUMAN, launched_at=NOW - s(200_000), began_at=NOW - s(200_000)), saw(R.RUNNING))
    assert (told(change), change.opens, timer(change).stage) == (["human_done"], None, OverdueStage.NONE)


@pytest.mark.parametrize("status", [R.FINISHED, R.FAILED, R.CANCELLED, R.HUMAN])
@pytest.mark.parametrize("files", [FILES, ()])
def test_what_was_asked_about_an_overdue_run_is_closed_when_it_goes_on(
    status: R, files: tuple[OfferedFile, ...]
) -> None:
    change = look(aged(90_000, stage=OverdueStage.TOLD_A_PERSON), saw(status, files))
    assert change.closes


def test_a_human_step_asks_a_person_once() -> None:
    change = look(BASE, saw(R.HUMAN))
    assert (change.to, change.opens, told(change)) == (S.HUMAN_IN_THE_LOOP, InboxKind.HUMAN, ["waits_for_human"])
    assert wait_s(change) == 60
    assert not look(HUMAN, saw(R.HUMAN)).touches_run


@few
@given(st.floats(0, 1e7))
def test_looks_at_a_human_step_slow_down_to_at_most_three_quarters_of_an_hour(waited_s: float) -> None:
    change = look(replace(HUMAN, human_since=NOW - s(waited_s)), saw(R.HUMAN))
    assert 60 <= wait_s(change) <= 45 * 60
    assert waited_s < 5000 or wait_s(change) > 40 * 60


@pytest.mark.parametrize("status", [R.RUNNING, R.WAITING, R.UNKNOWN, R.FINISHED, R.FAILED, R.CANCELLED])
@pytest.mark.parametrize("files", [FILES, ()])
def test_the_question_about_a_human_step_is_closed_whatever_the_provider_says_next(
    status: R, files: tuple[OfferedFile, ...]
) -> None:
    assert look(HUMAN, saw(status, files)).closes


def test_an_unknown_word_is_still_running_and_told_once() -> None:
    change = look(BASE, saw(R.UNKNOWN))
    assert (change.to, told(change), change.provider_status) == (S.PROCESSING, ["unknown_status"], "thinking")
    again = look(replace(BASE, provider_status="thinking"), saw(R.UNKNOWN))
    assert not again.touches_run


def test_a_look_that_sees_nothing_new_follows_the_schedule_and_leaves_the_run_alone() -> None:
    change = look(replace(BASE, began_at=NOW - s(1), tries=4), saw(R.RUNNING))
    assert (change.touches_run, wait_s(change), timer(change).tries) == (False, 2, 0)


facts_of_any_kind = st.builds(
    LookFacts,
    run_id=st.just(RUN),
    status=st.sampled_from([S.PROCESSING, S.HUMAN_IN_THE_LOOP, S.DOWNLOADING]),
    attempt=st.integers(1, 9),
    provider_status=st.sampled_from([None, "initial", "processing", "finished", "odd"]),
    began_at=st.floats(-100, 1e6).map(lambda ago: NOW - s(ago)),
    launched_at=st.floats(-100, 1e6).map(lambda ago: NOW - s(ago)),
    policy=st.builds(PollPolicy, initial_s=st.floats(0.05, 30), cap_s=st.floats(30, 300)),
    tries=st.integers(0, 1000),
    gone_since=st.one_of(st.none(), st.floats(0, 1e4).map(lambda ago: NOW - s(ago))),
    stage=st.integers(0, 2),
    human_since=st.one_of(st.none(), st.floats(0, 1e6).map(lambda ago: NOW - s(ago))),
    position=st.one_of(st.none(), st.integers(0, 999)),
    url_life_s=st.floats(1, 3600),
)


@few
@given(facts_of_any_kind, st.one_of(observations, errors), units)
def test_whatever_is_seen_the_run_ends_or_is_looked_at_again(
    facts: LookFacts, seen: Observation | ProviderError, unit: float
) -> None:
    change = after_look(facts, seen, now=NOW, unit=unit)
    assert_sound(change)
    assert change.was is facts.status
    if change.timer is None:
        assert change.to in {S.FINISHED, S.ERROR, S.RESULT_LOST, S.CANCELLED}
        assert change.execution is ExecutionState.ENDED or facts.status is S.DOWNLOADING
        return
    assert change.timer.due_at is not None
    assert NOW <= change.timer.due_at <= NOW + s(45 * 60)
    assert (change.timer.kind is TimerKind.DOWNLOAD) is (change.offered is not None)


@few
@given(facts_of_any_kind, st.one_of(observations, errors), units)
def test_a_run_whose_results_are_being_stored_never_finishes_by_a_look(
    facts: LookFacts, seen: Observation | ProviderError, unit: float
) -> None:
    change = after_look(replace(facts, status=S.DOWNLOADING), seen, now=NOW, unit=unit)
    assert change.to in {S.DOWNLOADING, S.RESULT_LOST}


def test_a_refusal_or_an_unreachable_provider_is_not_the_runs_end() -> None:
    for error in (Refused("400"), NotSent("refused")):
        assert look(BASE, error).to is S.PROCESSING
