"""Poll: look at the most urgent executions of a lane, and write down what that means."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import look_decisions, progress
from orchestrator.domain.answers import Access, Observation, RemoteStatus
from orchestrator.domain.changes import Urgency
from orchestrator.domain.heard import RateSaid
from orchestrator.domain.look_facts import LookFacts
from orchestrator.domain.look_timing import Timing
from orchestrator.domain.statuses import ENDINGS
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.domain.windows import WaveLook
from orchestrator.engine import heard, poison, settle, watch
from orchestrator.engine.deps import Deps
from orchestrator.engine.ports import Claimed, unheard
from orchestrator.errors import KeyRefused, Misconfigured, NotSent, OutcomeUnknown, ProviderError, Throttled
from orchestrator.faultpoints import Point, reach
from orchestrator.storage import looks
from orchestrator.storage.changes import Applied
from orchestrator.storage.database import FOR_EVER
from orchestrator.storage.lanes import Turn
from orchestrator.storage.learning import Took
from orchestrator.storage.look_claims import LaneNews, LookBatch, LookClaim, LookResult

#: Looks of one claim of a lane: its transaction locks the lane. As many go together as the client has connections.
LOOKS_AT_ONCE = 50

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


async def poll_due(deps: Deps, *, worker: UUID, claimed: Claimed = unheard) -> int | None:
    """Take one lane's turn to look. Returns how many looks it took, None when no lane is due."""
    lane: UUID | None = None

    def told(lane_id: UUID) -> None:
        nonlocal lane
        lane = lane_id

    async def claim(connection: AsyncConnection) -> LookBatch | None:
        lease_s = deps.settings.lease_s
        return await looks.claim(
            connection, worker=worker, limit=LOOKS_AT_ONCE, lease_s=lease_s, sources=deps.sources, told=told
        )

    claimed_at = deps.sources.monotonic()
    batch = await poison.caught(lambda: deps.db.run(claim))
    if isinstance(batch, poison.Poisoned):
        if lane is None:
            raise batch.failure
        await poison.put_off_lane(deps, lane, Turn.POLL, batch)
        return 0
    if batch is None:
        return None
    claimed(True)
    if not batch.claims:
        return 0
    await reach(Point.POLL_CLAIMED)
    sights = await asyncio.gather(*(_look(deps, c) for c in batch.claims))  # no transaction is open here
    await reach(Point.POLL_ANSWERED)
    await _record(deps, batch, sights, claimed_at=claimed_at)
    return len(batch.claims)


async def _record(deps: Deps, batch: LookBatch, sights: Sequence[Sight], *, claimed_at: float) -> None:
    """Write down what was seen: all of it together, or where one row breaks that, each apart."""
    said = heard.take(deps, heard.ears(batch.claims[0].provider, [claim.connection_id for claim in batch.claims]))

    async def write(seen: Sequence[Sight]) -> Applied:
        async def record(connection: AsyncConnection) -> Applied:
            ago_s = [deps.sources.monotonic() - s.at for s in sights if not _cost_nothing(s.seen)]
            # The claim's own time is the database's; what has passed since is the same on every clock.
            now = batch.now + timedelta(seconds=deps.sources.monotonic() - claimed_at)
            results = [result_of(deps, s.claim, s.seen, now=now) for s in seen]
            news = news_of([s.seen for s in sights], now=now, rate=said.rate)
            applied = await looks.record(
                connection, batch, results, ago_s, news, sources=deps.sources, sealer=deps.sealer
            )
            await reach(Point.POLL_RECORDING)
            return applied

        return await deps.db.run(record, tries=FOR_EVER)

    applied = await poison.caught(lambda: write(sights))
    if isinstance(applied, poison.Poisoned):
        # First the tokens go back and the lane's news is told, for that is nobody's row.
        await write(())
        applied = await _record_apart(deps, sights, write)
    await reach(Point.POLL_RECORDED)
    watch.tell_lost(applied.changes)
    await settle.settle_batches(deps, applied.batches_with_endings)
    await heard.tell(deps, said)


async def _record_apart(
    deps: Deps, sights: Sequence[Sight], write: Callable[[Sequence[Sight]], Awaitable[Applied]]
) -> Applied:
    """Write each look by itself, so that the one that cannot be written harms no other."""
    done = Applied.nothing()
    for sight in sights:
        applied = await poison.caught(lambda sight=sight: write([sight]))  # type: ignore[misc]
        if isinstance(applied, poison.Poisoned):
            claim = sight.claim
            await poison.put_off(deps, claim.run_id, claim.fence, tries=claim.tries, what="look", why=applied)
        else:
            done += applied
    return done


async def _look(deps: Deps, claim: LookClaim) -> Sight:
    """Look once; return what was seen, or why not, and when the answer came."""

    async def observe() -> Observation:
        access = access_of(deps, claim)
        return await deps.provider(claim.provider).observe(access, claim.remote_workflow_id, claim.execution_id)

    try:
        looked = await poison.caught(observe)
    except ProviderError as error:
        seen: Seen = error
    except Misconfigured as error:
        seen = NotSent(error.message, code=error.code)
    else:
        if isinstance(looked, poison.Poisoned):
            poison.tell("look", looked, run=str(claim.run_id))
            seen = OutcomeUnknown("our own code could not read the provider's answer", code="unreadable")
        else:
            seen = looked
    return Sight(claim=claim, seen=seen, at=deps.sources.monotonic())


def access_of(deps: Deps, claim: LookClaim) -> Access:
    """Open the way to the provider of an execution."""
    return deps.access(
        connection_id=claim.connection_id,
        base_url=claim.base_url,
        api_key=claim.api_key,
        api_version=claim.api_version,
    )


def _cost_nothing(seen: Seen) -> bool:
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


def news_of(seen: Sequence[Seen], *, now: datetime, rate: RateSaid | None) -> LaneNews:
    """Say what the answers mean for the lane: throttled, asked to come back later, or its key refused.

    Args:
        rate: how the provider's own count stands, where the answers told it.
    """
    until: datetime | None = None
    stopped: str | None = None
    for answer in seen:
        match answer:
            case Throttled(retry_after_s=wait_s):
                at = now + timedelta(seconds=THROTTLED_S if wait_s is None else wait_s)
            case OutcomeUnknown(retry_after_s=float() as wait_s):
                at = now + timedelta(seconds=wait_s)
            case KeyRefused():
                stopped = answer.code
                at = now + timedelta(seconds=KEY_REFUSED_S)
            case _:
                continue
        until = at if until is None else max(until, at)
    return LaneNews(blocked_until=until, launches_stopped=stopped, rate=rate)
