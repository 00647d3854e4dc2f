"""What becomes of a launch under a key: asked for again while that can tell, a doubt as soon as it cannot."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from orchestrator.domain import resending
from orchestrator.domain.answers import Accepted, LaunchKeys
from orchestrator.domain.breaker import Breaker, BreakerState
from orchestrator.domain.launch_decisions import (
    IntentOutcome,
    LaunchDecision,
    LaunchFacts,
    LaunchingRun,
    OnDoubt,
)
from orchestrator.domain.resending import Resend, launch_key
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

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUN = UUID("018f0000-0000-7000-8000-000000000001")


def after(
    answer: Accepted | ProviderError, *, sends: int, left_s: float = 80_000, keyed: bool = True
) -> LaunchDecision:
    runs = [LaunchingRun(run_id=RUN, attempt=1, position=0)]
    facts = LaunchFacts(runs=runs, is_wave=False, of_batch=False, on_doubt=OnDoubt.HOLD, looks_first_s=1, window=1)
    resend = Resend(until=NOW + timedelta(seconds=left_s), sends=sends) if keyed else None
    return resending.after_launch(facts, answer, resend=resend, breaker=Breaker(), now=NOW, unit=0.5)


def test_a_lost_answer_is_asked_for_again_and_told_once() -> None:
    first, second = after(OutcomeUnknown("x"), sends=0), after(OutcomeUnknown("x"), sends=1)
    assert first.again_at is not None and second.again_at is not None
    assert [change.to for change in first.changes] == [S.LAUNCHING] and second.changes == ()
    assert first.breaker is None, "one lost answer doubts nobody"
    assert second.breaker is not None and second.breaker.state is BreakerState.OPEN


@pytest.mark.parametrize("kind", [NotSent, Throttled, KeyRefused, Gone, Misbehaved])
def test_what_a_later_sending_did_not_do_says_nothing_about_the_first(kind: type[ProviderError]) -> None:
    assert after(kind("x"), sends=1).outcome is IntentOutcome.UNANSWERED
    assert after(kind("x"), sends=0).changes[0].to is S.QUEUED, "nothing was sent before it"


def test_a_refusal_is_final_only_of_the_first_sending() -> None:
    assert after(Refused("x"), sends=0).changes[0].to is S.ERROR
    assert after(Refused("x"), sends=1).changes[0].to is S.IN_DOUBT


@pytest.mark.parametrize("code", sorted(resending.NEVER_AGAIN))
def test_what_no_sending_can_clear_up_is_a_doubt(code: str) -> None:
    assert after(OutcomeUnknown("x", code=code), sends=0).changes[0].to is S.IN_DOUBT


def test_a_key_that_may_be_forgotten_is_never_used_again() -> None:
    assert after(OutcomeUnknown("x"), sends=3, left_s=1).changes[0].to is S.IN_DOUBT
    assert after(OutcomeUnknown("x"), sends=0, keyed=False).changes[0].to is S.IN_DOUBT
    with pytest.raises(AssertionError):
        LaunchKeys(life_s=10, resent_for_s=10)


def test_an_answer_with_an_id_is_believed_whichever_sending_it_answers() -> None:
    accepted = after(Accepted(execution_id="e", word="QUEUED"), sends=4)
    assert (accepted.changes[0].to, accepted.changes[0].provider_status) == (S.PROCESSING, "QUEUED")


def test_the_key_has_the_shape_that_providers_take_and_another_for_each_attempt() -> None:
    keys = {launch_key(RUN, attempt) for attempt in (1, 2, 30)}
    assert len(keys) == 3 and all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", key) for key in keys)
