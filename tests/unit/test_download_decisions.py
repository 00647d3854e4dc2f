"""What became of result files: stored, tried again, asked for anew, or lost; never finished with one missing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.changes import Change, RunError, Timer, TimerKind, Urgency
from orchestrator.domain.download_decisions import (
    EMPTY_AFTER_S,
    EMPTY_REFRESHES,
    HOPELESS_AFTER_S,
    HOPELESS_REFUSALS,
    HOPELESS_TRIES,
    LONGEST_RETRY_AFTER_S,
    REFRESH_BEFORE_S,
    UNCONFIRMED,
    DownloadFacts,
    FileOutcome,
    after_download,
    checked,
)
from orchestrator.domain.file_failures import kept
from orchestrator.domain.statuses import ResultsState
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.errors import (
    Gone,
    KeyRefused,
    Misbehaved,
    NotSent,
    OrchestratorError,
    OutcomeUnknown,
    Refused,
    StoreFull,
    Throttled,
    Unavailable,
)
from tests.unit.facts import NOW, RUN, assert_sound, few, s, units

FACTS = DownloadFacts(run_id=RUN, attempt=1, tries=0, refreshes=0, offered_at=NOW - s(30), url_expires_at=NOW + s(3570))
FAILURES: tuple[type[OrchestratorError], ...] = (
    NotSent,
    Throttled,
    Refused,
    KeyRefused,
    Gone,
    Misbehaved,
    OutcomeUnknown,
    Unavailable,
    StoreFull,
)
REFUSALS = (Refused, KeyRefused, Gone)


def stored(n: int = 0) -> FileOutcome:
    return FileOutcome(number=n, filename=f"{n}.csv", sha256="ab" * 32, size_bytes=5, store_key=f"k/{n}")


def failed(kind: type[OrchestratorError], n: int = 0) -> FileOutcome:
    return FileOutcome(number=n, filename=f"{n}.csv", failure=kind("no"))


def decide(facts: DownloadFacts, *outcomes: FileOutcome, unit: float = 0.5) -> Change:
    change = after_download(facts, outcomes, now=NOW, unit=unit)
    assert_sound(change)
    return change


def timer(change: Change) -> Timer:
    assert change.timer is not None
    assert change.timer.due_at is not None
    return change.timer


def test_a_run_is_finished_when_every_file_is_stored() -> None:
    change = decide(replace(FACTS, stored_before=2), stored(2), stored(3))
    assert (change.to, change.results_state, change.clears_error) == (S.FINISHED, ResultsState.STORED, True)
    assert [e.type for e in change.events] == ["result_stored", "result_stored", "finished"]
    assert change.events[-1].data == {"files": 4, "attempt": 1}


def test_a_run_whose_files_were_all_stored_before_is_finished() -> None:
    assert decide(replace(FACTS, stored_before=2)).to is S.FINISHED


def test_an_outcome_that_is_neither_stored_nor_failed_cannot_be_told() -> None:
    with pytest.raises(AssertionError):
        FileOutcome(number=0, filename="a")
    with pytest.raises(AssertionError):
        FileOutcome(number=0, filename="a", sha256="ab", failure=Gone("404"))


@pytest.mark.parametrize("kind", FAILURES)
def test_a_first_failure_is_never_the_end(kind: type[OrchestratorError]) -> None:
    change = decide(FACTS, stored(0), failed(kind, 1))
    assert change.to is S.DOWNLOADING
    assert [e.type for e in change.events] == ["result_stored"], "what was had is written down at once"
    asks_anew = kind in REFUSALS
    assert timer(change).kind is (TimerKind.POLL if asks_anew else TimerKind.DOWNLOAD)
    assert (timer(change).urgency == Urgency.REFRESH) is asks_anew
    assert timer(change).deadline_at == FACTS.url_expires_at


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refused_url_is_asked_for_anew_at_once_and_then_ever_later(kind: type[OrchestratorError]) -> None:
    waits = [timer(decide(replace(FACTS, refreshes=n), failed(kind))).due_at for n in range(6)]
    assert waits[0] == NOW
    assert waits == sorted(waits, key=lambda at: at or NOW)


@pytest.mark.parametrize("kind", [NotSent, OutcomeUnknown, Misbehaved, Throttled])
def test_a_url_that_is_about_to_die_is_asked_for_anew_before_the_file_is_tried_again(
    kind: type[OrchestratorError],
) -> None:
    dying = replace(FACTS, url_expires_at=NOW + s(REFRESH_BEFORE_S - 1))
    assert timer(decide(dying, failed(kind))).kind is TimerKind.POLL
    living = replace(FACTS, url_expires_at=NOW + s(REFRESH_BEFORE_S))
    assert timer(decide(living, failed(kind))).kind is TimerKind.DOWNLOAD


def test_a_url_that_is_dead_already_is_asked_for_anew() -> None:
    dead = replace(FACTS, url_expires_at=NOW - s(5000))
    assert timer(decide(dead, failed(OutcomeUnknown))).kind is TimerKind.POLL


@few
@given(
    st.sampled_from([StoreFull, Unavailable]),
    st.integers(0, 10_000),
    st.integers(0, 10_000),
    st.floats(0, 1e8),
    units,
)
def test_a_store_that_is_full_or_away_is_waited_for_as_long_as_it_takes_and_nothing_is_lost(
    kind: type[OrchestratorError], tries: int, refreshes: int, known_s: float, unit: float
) -> None:
    facts = replace(FACTS, tries=tries, refreshes=refreshes, offered_at=NOW - s(known_s))
    change = decide(facts, failed(kind, 0), failed(Refused, 1), unit=unit)
    assert (change.to, timer(change).kind, timer(change).tries) == (S.DOWNLOADING, TimerKind.DOWNLOAD, tries)
    assert timer(change).due_at == NOW + s(15)


HOUR, DAY = 3600.0, 86_400.0


@pytest.mark.parametrize(
    ("kind", "tries", "refreshes", "known_s", "is_lost"),
    [
        (Refused, HOPELESS_REFUSALS, HOPELESS_REFUSALS, HOPELESS_AFTER_S, True),
        (Gone, HOPELESS_REFUSALS, HOPELESS_REFUSALS, HOPELESS_AFTER_S, True),
        (Refused, HOPELESS_REFUSALS - 1, 99, DAY, False),  # URLs died of age often, and few were refused
        (Refused, 99, HOPELESS_REFUSALS - 1, DAY, False),  # too few fresh URLs were refused
        (Refused, 99, HOPELESS_REFUSALS, HOPELESS_AFTER_S - 1, False),  # too soon to give up
        (NotSent, 999, 99, DAY - 1, False),  # nobody answers: that says nothing about the file
        (NotSent, 999, 99, DAY, True),
        (NotSent, 0, 30, 2 * DAY, False),  # our own disk was full till now: the host failed once
        (OutcomeUnknown, HOPELESS_TRIES, 1, DAY, True),
        (OutcomeUnknown, HOPELESS_TRIES - 1, 1, DAY, False),
        (OutcomeUnknown, 999, 0, DAY, False),  # never without having asked for a fresh URL
        (OutcomeUnknown, 999, 99, HOUR, False),  # a file host may be down for an hour, while fresh URLs can be had
        (OutcomeUnknown, 999, 99, DAY - 1, False),
        (Misbehaved, HOPELESS_TRIES, 1, HOUR, False),
        (Misbehaved, HOPELESS_TRIES, 1, DAY, True),
    ],
)
def test_a_result_is_lost_only_after_the_patience_that_its_failure_deserves(
    kind: type[OrchestratorError], tries: int, refreshes: int, known_s: float, is_lost: bool
) -> None:
    facts = replace(FACTS, tries=tries, refreshes=refreshes, offered_at=NOW - s(known_s))
    assert (decide(facts, failed(kind)).to is S.RESULT_LOST) is is_lost


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_url_that_died_of_age_is_asked_for_anew_however_often_that_was_done(kind: type[OrchestratorError]) -> None:
    aged = replace(FACTS, tries=99, refreshes=99, offered_at=NOW - s(DAY), url_expires_at=NOW)
    assert timer(decide(aged, failed(kind))).kind is TimerKind.POLL
    assert timer(decide(aged, failed(kind))).tries == 99, "a URL that died of age is held against nobody"
    fresh = replace(aged, url_expires_at=NOW + s(1))
    assert decide(fresh, failed(kind)).to is S.RESULT_LOST


def test_a_lost_result_keeps_what_was_had_and_names_what_was_not() -> None:
    facts = replace(FACTS, tries=9, refreshes=9, offered_at=NOW - s(DAY))
    change = decide(facts, stored(0), failed(Gone, 1), failed(Gone, 2))
    assert (change.to, change.results_state) == (S.RESULT_LOST, ResultsState.LOST)
    assert [e.type for e in change.events] == ["result_stored", "result_lost"]
    assert change.events[-1].data == {"n": [1, 2], "reason": "no"}
    assert change.error == RunError(code="result_lost", message="file 1 and 1 more could not be had: no")


def test_one_file_that_is_missing_keeps_the_run_from_finishing() -> None:
    for kind in FAILURES:
        outcomes = [stored(0), stored(1), failed(kind, 2)]
        assert decide(FACTS, *outcomes).to is not S.FINISHED


def empty(n: int = 0) -> FileOutcome:
    return FileOutcome(number=n, filename="0.csv", sha256="e3" * 32, size_bytes=0, store_key="k")


def test_an_empty_file_is_asked_for_anew_until_many_fresh_urls_gave_nothing_else() -> None:
    facts = replace(FACTS, offered_at=NOW)
    rounds, now = 0, NOW
    while (outcomes := checked(facts, [stored(), empty(1)], now=now))[1].failure is not None:
        change = after_download(facts, outcomes, now=now, unit=0.5)
        assert (change.to, timer(change).kind) == (S.DOWNLOADING, TimerKind.POLL)
        rounds, now = rounds + 1, timer(change).due_at or now
        facts = replace(facts, tries=timer(change).tries, refreshes=facts.refreshes + 1)
    assert rounds >= EMPTY_REFRESHES
    assert s(EMPTY_AFTER_S) <= now - NOW <= s(5 * EMPTY_AFTER_S), "a result may be empty, and must not wait for ever"
    assert after_download(facts, outcomes, now=now, unit=0.5).to is S.FINISHED


def test_what_our_own_full_store_cost_does_not_make_an_empty_file_believed() -> None:
    facts = replace(FACTS, tries=0, refreshes=9, offered_at=NOW - s(DAY))
    assert checked(facts, [empty()], now=NOW)[0].failure is not None


@pytest.mark.parametrize(("kind", "rare_s"), [(Misbehaved, 400), (OutcomeUnknown, 400)])
def test_a_file_that_fails_for_hours_is_asked_for_less_often_than_one_whose_hour_may_run(
    kind: type[OrchestratorError], rare_s: float
) -> None:
    young = replace(FACTS, tries=99, refreshes=3, offered_at=NOW - s(600))
    old = replace(young, offered_at=NOW - s(4 * HOUR))
    soon, late = (timer(decide(facts, failed(kind))).due_at for facts in (young, old))
    assert soon is not None
    assert late is not None
    assert soon <= NOW + s(120)
    assert late >= NOW + s(rare_s)


def test_a_hosts_retry_after_is_obeyed() -> None:
    waits = FileOutcome(number=0, filename="a", failure=Throttled("429", retry_after_s=77))
    assert timer(decide(FACTS, waits)).due_at == NOW + s(77)
    for_ever = FileOutcome(number=0, filename="a", failure=Throttled("429", retry_after_s=3600))
    assert timer(decide(FACTS, for_ever)).due_at == NOW + s(LONGEST_RETRY_AFTER_S)


some_facts = st.builds(
    DownloadFacts,
    run_id=st.just(RUN),
    attempt=st.integers(1, 9),
    tries=st.integers(0, 500),
    refreshes=st.integers(0, 500),
    offered_at=st.floats(-10, 1e6).map(lambda ago: NOW - s(ago)),
    url_expires_at=st.floats(-1e5, 3600).map(lambda ahead: NOW + s(ahead)),
    stored_before=st.integers(0, 9),
)
some_outcomes = st.lists(st.one_of(st.just(stored()), st.sampled_from(FAILURES).map(failed)), max_size=4)


@few
@given(some_facts, some_outcomes, units)
def test_a_run_finishes_exactly_when_nothing_failed_and_else_goes_on_or_is_lost(
    facts: DownloadFacts, outcomes: list[FileOutcome], unit: float
) -> None:
    change = decide(facts, *outcomes, unit=unit)
    nothing_failed = all(o.failure is None for o in outcomes)
    assert (change.to is S.FINISHED) is nothing_failed
    assert change.to in {S.FINISHED, S.DOWNLOADING, S.RESULT_LOST}
    assert sum(e.type == "result_stored" for e in change.events) == sum(o.sha256 is not None for o in outcomes)
    if change.timer is not None:
        assert change.timer.due_at is not None
        assert NOW <= change.timer.due_at <= NOW + s(1800)


def test_a_file_that_only_the_end_of_its_connection_ended_is_believed_when_two_fetches_in_a_row_are_alike() -> None:
    came = replace(stored(), is_framed=False)
    (first,) = checked(FACTS, [came], now=NOW)
    assert first.failure is not None
    assert (first.failure.code, first.sha256, first.store_key) == (UNCONFIRMED, None, None)
    assert decide(FACTS, first).to is S.DOWNLOADING
    before = kept(first.failure)
    assert checked(FACTS, [replace(came, failed_before=before)], now=NOW)[0].failure is None
    (other,) = checked(FACTS, [replace(came, sha256="cd" * 32, failed_before=before)], now=NOW)
    assert other.failure is not None
    assert kept(other.failure) != before, "the next is compared with this one"
    for between in (None, "file_cut: reset", f"file_cut: {'ab' * 32}"):
        assert checked(FACTS, [replace(came, failed_before=between)], now=NOW)[0].failure is not None
    assert checked(FACTS, [stored()], now=NOW)[0].failure is None, "a framed file is compared with nothing"
