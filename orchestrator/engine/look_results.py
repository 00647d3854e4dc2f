"""What looks mean: each for its run, its wave and its workflow, all of them for their lane."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from orchestrator.domain import look_decisions, progress
from orchestrator.domain.answers import Observation, RemoteStatus
from orchestrator.domain.changes import Urgency
from orchestrator.domain.heard import RateSaid
from orchestrator.domain.look_facts import LookFacts
from orchestrator.domain.look_timing import Timing
from orchestrator.domain.statuses import ENDINGS
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.domain.windows import WaveLook
from orchestrator.engine.deps import Deps
from orchestrator.errors import KeyRefused, NotSent, OutcomeUnknown, ProviderError, Throttled
from orchestrator.storage.learning import Took
from orchestrator.storage.look_claims import LaneNews, ListNews, LookBatch, LookClaim, LookResult

#: A lane without a Retry-After, or whose key is refused, is left alone for so long.
THROTTLED_S = 10.0
KEY_REFUSED_S = 60.0

Seen = Observation | ProviderError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What one look saw, and when its answer came (monotonic)."""

    claim: LookClaim
    seen: Seen
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What a turn of looks brought.

    Args:
        answered_at: when each request that took a token was answered (monotonic).
        answers: what the calls came to, for what it says of the lane.
        listed: says at a time what became of the list that it was; None: there was none.
    """

    sights: tuple[Sight, ...]
    answered_at: tuple[float, ...]
    answers: tuple[Seen, ...]
    listed: Callable[[datetime], ListNews] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """A turn's looks at one lane, to be written down. `claimed_at` is monotonic; `rate`: what the provider told."""

    batch: LookBatch
    looked: Looked
    claimed_at: float
    rate: RateSaid | None


def cost_nothing(seen: Seen) -> bool:
    """Return whether what came of a look never left, and took no token."""
    return isinstance(seen, NotSent)


def result_of(deps: Deps, claim: LookClaim, seen: Seen, *, now: datetime) -> LookResult:
    """Decide what one look means for its run, its wave and its workflow."""
    timing = Timing(
        policy=deps.poll_policy(claim.poll),
        durations=claim.durations,
        price_s=claim.price_s,
        late_s=claim.late_s,
        wave=claim.wave,
    )
    can = deps.provider(claim.provider).capabilities
    life_s = can.url_life_s
    facts = LookFacts(
        run_id=claim.run_id,
        status=claim.status,
        attempt=claim.attempt,
        provider_status=claim.provider_status,
        # Sampled ahead of its wave's window, it has no beginning yet.
        began_at=claim.entered_at or (claim.launched_at if claim.wave_id is None else now),
        # Time that a person took is not the provider's: the clock of `overdue` begins anew with `processing`.
        launched_at=max(claim.launched_at, claim.status_at) if claim.status is S.PROCESSING else claim.launched_at,
        policy=timing.policy,
        tries=claim.tries,
        # A look that failed has shown nothing, and one without a list that it had ended.
        seen_alive_at=claim.looked_before if not claim.tries else None,
        gone_since=claim.gone_since,
        stage=claim.stage,
        human_since=claim.status_at if claim.status is S.HUMAN_IN_THE_LOOP else None,
        position=claim.position,
        url_life_s=life_s if life_s is not None else 3600.0,
        files=claim.files,
        timing=timing,
    )
    change = look_decisions.after_look(facts, seen, now=now, unit=deps.sources.unit())
    is_sample = claim.wave_id is not None and claim.entered_at is None
    waits_its_turn = isinstance(seen, Observation) and seen.status is RemoteStatus.WAITING
    if is_sample and waits_its_turn and change.timer is not None:
        # Looked at ahead of the window and not begun: it sleeps until the window reaches it.
        change = replace(change, timer=replace(change.timer, due_at=None, urgency=Urgency.NORMAL))
    ended = claim.status is not S.DOWNLOADING and (change.to in ENDINGS or change.to is S.DOWNLOADING)
    sighted = _Sighted.of(claim, now=now)
    # How long one lived that was cancelled says nothing of those that are not.
    lived = ended and claim.status is S.PROCESSING and change.to is not S.CANCELLED
    took = sighted.took if sighted is not None and lived else None
    return LookResult(
        claim=claim,
        change=change,
        wave_look=_wave_look(claim, seen, timing=timing, took=took, ended=ended, to=change.to),
        took=took,
        worth_s=sighted.worth_s(timing) if sighted is not None and isinstance(seen, Observation) else None,
        timing=timing,
        standing=progress.standing(seen.progress, now=now) if can.progress and isinstance(seen, Observation) else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sighted:
    """An execution between two looks: its age at the one before (0: none, or it had not begun), and at this one."""

    claim: LookClaim
    alive_at_s: float
    age_s: float
    waited: bool

    @staticmethod
    def of(claim: LookClaim, *, now: datetime) -> _Sighted | None:
        """Return it, or None where nobody knows when it can have begun."""
        began_at = claim.entered_at if claim.wave_id is not None else claim.launched_at
        if began_at is None:
            return None
        looked_before = claim.looked_before or began_at
        return _Sighted(
            claim=claim,
            alive_at_s=max((looked_before - began_at).total_seconds(), 0.0),
            age_s=max((now - began_at).total_seconds(), 0.05),
            waited=claim.looked_before is None or claim.looked_before <= began_at,
        )

    @property
    def took(self) -> Took:
        return Took(workflow_id=self.claim.workflow_id, after_s=self.alive_at_s, by_s=self.age_s)

    def worth_s(self, timing: Timing) -> float | None:
        """Return what the look was worth; None where not its price decided when it was made."""
        if self.claim.status is not S.PROCESSING or self.claim.urgency != Urgency.NORMAL or self.claim.tries:
            return None
        return timing.worth_s(self.alive_at_s, self.age_s - self.alive_at_s, waited=self.waited)


def _wave_look(
    claim: LookClaim, seen: Seen, *, timing: Timing, took: Took | None, ended: bool, to: S
) -> WaveLook | None:
    """Say what a look taught its wave; nothing if the run has ended at the provider before."""
    if claim.wave_id is None or claim.position is None or claim.status is S.DOWNLOADING:
        return None
    word = seen.status if isinstance(seen, Observation) else RemoteStatus.UNKNOWN
    was_human = claim.status is S.HUMAN_IN_THE_LOOP
    return WaveLook(
        position=claim.position,
        has_started=word not in {RemoteStatus.WAITING, RemoteStatus.UNKNOWN},
        waits=word is RemoteStatus.WAITING,
        has_ended=ended,
        became_human=to is S.HUMAN_IN_THE_LOOP and not was_human,
        left_human=was_human and to is not S.HUMAN_IN_THE_LOOP,
        ended_ago_s=took.by_s - timing.pace.expected_end_s(took.after_s, took.by_s) if took is not None else None,
    )


def news_of(
    seen: Sequence[Seen],
    *,
    now: datetime,
    rate: RateSaid | None,
    listed: Callable[[datetime], ListNews] | None = None,
) -> LaneNews:
    """Say what the answers mean for the lane: throttled, asked to come back later, or its key refused.

    Args:
        rate: how the provider's own count stands, where the answers told it.
        listed: says at a time what became of the list that it was.
    """
    until: datetime | None = None
    stopped: str | None = None
    turned_away = 0
    for answer in seen:
        match answer:
            case Throttled(retry_after_s=wait_s):
                turned_away += 1
                at = now + timedelta(seconds=THROTTLED_S if wait_s is None else wait_s)
            case OutcomeUnknown(retry_after_s=float() as wait_s):
                at = now + timedelta(seconds=wait_s)
            case KeyRefused():
                stopped = answer.code
                at = now + timedelta(seconds=KEY_REFUSED_S)
            case _:
                continue
        until = at if until is None else max(until, at)
    return LaneNews(
        blocked_until=until,
        launches_stopped=stopped,
        rate=rate,
        listed=listed(now) if listed else None,
        turned_away=turned_away,
    )
