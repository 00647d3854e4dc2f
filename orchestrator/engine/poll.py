"""Poll: look at the most urgent executions of a lane, and write down what that means."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.answers import Observation
from orchestrator.engine import heard, lists, poison, settle, watch, watch_walks
from orchestrator.engine.deps import Deps
from orchestrator.engine.look_results import Looked, Seen, Sight, cost_nothing, news_of, result_of
from orchestrator.engine.ports import Claimed, unheard
from orchestrator.errors import Misconfigured, NotSent, OutcomeUnknown, ProviderError
from orchestrator.faultpoints import Point, reach
from orchestrator.storage import looks
from orchestrator.storage.changes import Applied
from orchestrator.storage.database import FOR_EVER
from orchestrator.storage.lanes import Turn
from orchestrator.storage.look_claims import LookBatch, LookClaim


async def poll_due(deps: Deps, *, worker: UUID, claimed: Claimed = unheard) -> int | None:
    """Take one lane's turn to look, and beside it go on with a walk that is due.

    Returns how many looks and pages it took, None when neither was due.
    """
    claimed_at = deps.sources.monotonic()
    batch, walk_is_due = await _claim(deps, worker)
    if batch is not None:
        claimed(True)

    async def work() -> int | None:
        return None if batch is None else await _work(deps, batch, claimed_at=claimed_at)

    if not walk_is_due:
        return await work()
    # Each to its own end, whatever becomes of the other.
    came = await asyncio.gather(
        work(), watch_walks.walk_due(deps, worker=worker, claimed=claimed), return_exceptions=True
    )
    failures = [one for one in came if isinstance(one, BaseException)]
    if failures:
        raise failures[0]
    done = [one for one in came if isinstance(one, int)]
    return sum(done) if done else None


async def _claim(deps: Deps, worker: UUID) -> tuple[LookBatch | None, bool]:
    """Claim a turn of looks, and hear whether a walk is due; a lane whose claim breaks our code waits."""
    lane: UUID | None = None
    walk_is_due = False

    def told(lane_id: UUID) -> None:
        nonlocal lane
        lane = lane_id

    def walks() -> None:
        nonlocal walk_is_due
        walk_is_due = True

    async def claim(connection: AsyncConnection) -> LookBatch | None:
        return await looks.claim(
            connection,
            worker=worker,
            lease_s=deps.settings.lease_s,
            sources=deps.sources,
            told=told,
            walks=walks,
            page_items=lambda provider: lists.page_items(deps, provider),
        )

    batch = await poison.caught(lambda: deps.db.run(claim))
    if isinstance(batch, poison.Poisoned):
        if lane is None:
            raise batch.failure
        await poison.put_off_lane(deps, lane, Turn.POLL, batch)
        return LookBatch(lane_id=lane, grant_id=lane, now=deps.sources.utc_now(), claims=()), walk_is_due
    return batch, walk_is_due


async def _work(deps: Deps, batch: LookBatch, *, claimed_at: float) -> int:
    """Look at what was claimed, and write down what that means. Returns how many were looked at."""
    if not batch.claims:
        return 0
    await reach(Point.POLL_CLAIMED)
    looked = await _looked(deps, batch)  # no transaction is open here
    await reach(Point.POLL_ANSWERED)
    await _record(deps, batch, looked, claimed_at=claimed_at)
    return len(batch.claims)


async def _looked(deps: Deps, batch: LookBatch) -> Looked:
    """Look at what was claimed: at all of it by a list, or at each by itself."""
    if batch.listing is not None:
        return await lists.look(deps, batch, batch.listing, lambda claim: _look(deps, claim))
    sights = await asyncio.gather(*(_look(deps, c) for c in batch.claims))
    return Looked(
        sights=tuple(sights),
        answered_at=tuple(s.at for s in sights if not cost_nothing(s.seen)),
        answers=tuple(s.seen for s in sights),
    )


async def _record(deps: Deps, batch: LookBatch, looked: Looked, *, claimed_at: float) -> None:
    """Write down what was seen: all of it together, or where one row breaks that, each apart."""
    said = heard.take(deps, heard.ears(batch.claims[0].provider, [claim.connection_id for claim in batch.claims]))

    def at(sight: Sight) -> datetime:
        return batch.now + timedelta(seconds=sight.at - claimed_at)

    async def write(seen: Sequence[Sight]) -> Applied:
        async def record(connection: AsyncConnection) -> Applied:
            ago_s = [deps.sources.monotonic() - at for at in looked.answered_at]
            # The claim's own time is the database's; what has passed since is the same on every clock.
            now = batch.now + timedelta(seconds=deps.sources.monotonic() - claimed_at)
            news = news_of(looked.answers, now=now, rate=said.rate, listed=looked.listed)
            # What was seen is judged by when it was seen: the database may have been away since.
            results = lists.held([result_of(deps, s.claim, s.seen, now=at(s)) for s in seen], news)
            applied = await looks.record(
                connection, batch, results, ago_s, news, sources=deps.sources, sealer=deps.sealer
            )
            await reach(Point.POLL_RECORDING)
            return applied

        return await deps.db.run(record, tries=FOR_EVER)

    applied = await poison.caught(lambda: write(looked.sights))
    if isinstance(applied, poison.Poisoned):
        # First the tokens go back and the lane's news is told, for that is nobody's row.
        await write(())
        applied = await _record_apart(deps, looked.sights, write)
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
        access = lists.access_of(deps, claim)
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
