"""Poll: look at the most urgent executions of the lanes that are due, and hand on what was seen to be written down."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.answers import Observation
from orchestrator.engine import heard, lists, look_records, poison, watch_walks
from orchestrator.engine.deps import Deps
from orchestrator.engine.look_results import Looked, Looks, Seen, Sight, cost_nothing
from orchestrator.engine.ports import Claimed, unheard
from orchestrator.errors import Misconfigured, NotSent, OutcomeUnknown, ProviderError
from orchestrator.faultpoints import Point, reach
from orchestrator.storage import look_turns
from orchestrator.storage.lanes import Turn
from orchestrator.storage.look_claims import LookBatch, LookClaim


@dataclass(frozen=True, slots=True)
class _Claimed:
    """What a turn claimed: None, no lane is due. Whether more lanes may be due just now, and whether a walk is."""

    batches: list[LookBatch] | None
    leaves_work: bool
    walk_is_due: bool


async def poll_due(deps: Deps, *, worker: UUID, claimed: Claimed = unheard) -> int | None:
    """Take a turn of the lanes whose looks are due, and beside it go on with a walk that is due.

    Returns how many looks and pages it took, None when neither was due.
    """
    claimed_at = deps.sources.monotonic()
    turn = await _claim(deps, worker)
    if turn.batches is not None:
        claimed(turn.leaves_work)

    async def work() -> int | None:
        return None if turn.batches is None else await _work(deps, turn.batches, claimed_at=claimed_at)

    if not turn.walk_is_due:
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


async def _claim(deps: Deps, worker: UUID) -> _Claimed:
    """Claim a turn of looks, and hear whether a walk is due.

    Where the claim of several lanes breaks our code, the first is claimed by itself; if that one breaks it, it waits.
    """
    told: list[UUID] = []
    walk_is_due = False

    def walks() -> None:
        nonlocal walk_is_due
        walk_is_due = True

    async def claim(connection: AsyncConnection, most_lanes: int) -> list[LookBatch]:
        told.clear()
        return await look_turns.claim(
            connection,
            worker=worker,
            lease_s=deps.settings.lease_s,
            sources=deps.sources,
            most_lanes=most_lanes,
            told=told.append,
            walks=walks,
            page_items=lambda provider: lists.page_items(deps, provider),
        )

    for most_lanes in (look_turns.LANES_AT_ONCE, 1):
        batches = await poison.caught(lambda most=most_lanes: deps.db.run(lambda c: claim(c, most)))  # type: ignore[misc]
        if not isinstance(batches, poison.Poisoned):
            # As many as one turn takes, or more than it had room for: others may be due.
            leaves_work = len(told) >= most_lanes or len(told) > len(batches)
            return _Claimed(batches or None, leaves_work, walk_is_due)
        if not told:
            raise batches.failure
        if len(told) == 1:
            await poison.put_off_lane(deps, told[0], Turn.POLL, batches)
            break
    # It was due, and nothing is to be done for it.
    return _Claimed([], True, walk_is_due)


async def _work(deps: Deps, batches: Sequence[LookBatch], *, claimed_at: float) -> int:
    """Look at what was claimed, and write down what that means. Returns how many were looked at."""
    busy = [batch for batch in batches if batch.claims]
    if not busy:
        return 0
    await reach(Point.POLL_CLAIMED)
    # Each lane to its own end, whatever becomes of the others.
    came = await asyncio.gather(
        *(_work_lane(deps, batch, claimed_at=claimed_at) for batch in busy), return_exceptions=True
    )
    failures = [one for one in came if isinstance(one, BaseException)]
    if failures:
        raise failures[0]
    return sum(len(batch.claims) for batch in busy)


async def _work_lane(deps: Deps, batch: LookBatch, *, claimed_at: float) -> None:
    looked = await _looked(deps, batch)  # no transaction is open here
    await reach(Point.POLL_ANSWERED)
    said = heard.take(deps, heard.ears(batch.claims[0].provider, [claim.connection_id for claim in batch.claims]))
    seen = Looks(batch=batch, looked=looked, claimed_at=claimed_at, rate=said.rate)
    await deps.looks.add(seen, partial(look_records.record, deps), weight=len(batch.claims))
    await heard.tell(deps, said)


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
