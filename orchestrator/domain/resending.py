"""What the answer to a launch means where the provider knows our key: a lost one is asked for again, and is no doubt.

The same bytes under the same key come to the same execution, however often they are sent, for as long as the provider
remembers the key. So a run whose answer was lost stays `launching` and is sent again; only what no sending can clear up
is a doubt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from orchestrator.domain import backoff, launch_decisions
from orchestrator.domain.answers import Accepted, WaveAccepted
from orchestrator.domain.breaker import Breaker
from orchestrator.domain.chain import NewEvent
from orchestrator.domain.changes import Change
from orchestrator.domain.launch_decisions import IntentOutcome, LaunchDecision, LaunchFacts
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.errors import KeyRefused, OutcomeUnknown, ProviderError, Refused

#: The key stands for something else at the provider: no further sending tells what became of ours.
KEY_CONFLICT = "idempotency_key_conflict"

#: The answer came, and could not be written down; the next one would fare no better.
UNRECORDED = "unrecorded"

#: It was sent with a version of the API that its connection asks for no more, and that the provider takes no more.
VERSION_LEFT = "version_left"

#: Why a launch is a doubt although its key is remembered: somebody else would be asked now, who does not know it.
LEADS_ELSEWHERE = (
    "its answer is missing, and the connection's key or address was changed since: where it leads now, the same key may"
    " launch a second time"
)

NEVER_AGAIN = frozenset({KEY_CONFLICT, UNRECORDED, VERSION_LEFT})

FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Resend:
    """A launch that may be sent again under its key.

    Args:
        until: from then on the provider may have forgotten the key.
        sends: how often it may have been sent before, each time without an answer.
    """

    until: datetime
    sends: int = 0


def launch_key(run_id: UUID, attempt: int) -> str:
    """Return the key under which an attempt is launched: letters, digits and a dash, at most 64 characters."""
    key = f"{run_id.hex}-{attempt}"
    assert len(key) <= 64, "providers take no longer ones"
    return key


def after_launch(
    facts: LaunchFacts,
    answer: Accepted | WaveAccepted | ProviderError,
    *,
    resend: Resend | None,
    breaker: Breaker,
    now: datetime,
    unit: float,
) -> LaunchDecision:
    """Decide what an answer means. `resend` is None where the provider knows no key, or has forgotten it."""
    decision = launch_decisions.after_launch(facts, answer, breaker=breaker, now=now, unit=unit)
    if resend is None or not isinstance(answer, ProviderError):
        return decision
    is_unknown = isinstance(answer, OutcomeUnknown)
    if not is_unknown and not resend.sends:
        return decision  # this sending started nothing, and there was none before it
    pause = backoff.retry_delay(resend.sends + 1, first_s=FIRST_PAUSE_S, cap_s=LONGEST_PAUSE_S, unit=unit)
    # A good refusal says nothing about an earlier sending: the provider may have changed its mind meanwhile.
    is_refused = isinstance(answer, Refused) and not isinstance(answer, KeyRefused)
    if is_refused or answer.code in NEVER_AGAIN or now + pause >= resend.until:
        return launch_decisions.unknown_outcome(facts, answer, breaker=breaker, now=now)
    return replace(
        decision,
        outcome=IntentOutcome.UNANSWERED,
        changes=tuple(_told(run.run_id, run.attempt, answer) for run in facts.runs) if not resend.sends else (),
        # One lost answer costs nothing here; two in a row are an outage, which nobody else should run into.
        breaker=breaker.trip(now=now) if is_unknown and resend.sends else decision.breaker if not is_unknown else None,
        again_at=now + pause,
        wave_cap=None,
    )


def _told(run_id: UUID, attempt: int, error: ProviderError) -> Change:
    """Say in the history that an answer was lost; once, however often it is asked for again."""
    lost = NewEvent(type="answer_lost", data={"attempt": attempt, "code": error.code})
    return Change(run_id=run_id, was=S.LAUNCHING, to=S.LAUNCHING, keeps_timer=True, events=(lost,))
