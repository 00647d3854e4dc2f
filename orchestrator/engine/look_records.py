"""Look records: what turns of several lanes saw is written down together, and apart where it must be.

A lane that somebody else holds just now would make the whole group wait for it, and a row that breaks our code would
break it for all: either goes by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.engine import lists, poison, settle, watch
from orchestrator.engine.deps import Deps
from orchestrator.engine.look_results import Looks, Sight, news_of, result_of
from orchestrator.faultpoints import Point, reach
from orchestrator.storage import lanes, looks
from orchestrator.storage.changes import Applied
from orchestrator.storage.database import FOR_EVER
from orchestrator.storage.look_claims import LookRecord


async def record(deps: Deps, group: Sequence[Looks]) -> None:
    """Write down what a group saw. Nothing of it is lost: what cannot be written with the others goes by itself."""
    applied = Applied.nothing()
    alone = list(group)
    if len(group) > 1:
        came = await poison.caught(lambda: _together(deps, group))
        if not isinstance(came, poison.Poisoned):
            applied, alone = came
    for one in alone:
        applied += await _by_itself(deps, one)
    await reach(Point.POLL_RECORDED)
    watch.tell_lost(applied.changes)
    await settle.settle_batches(deps, applied.batches_with_endings)


async def _together(deps: Deps, group: Sequence[Looks]) -> tuple[Applied, list[Looks]]:
    """Write what is on lanes that nobody else holds; return what was written, and what was left."""

    async def write(connection: AsyncConnection) -> tuple[Applied, list[Looks]]:
        asked_at = deps.sources.monotonic()
        held = await lanes.lock_free(connection, sorted({one.batch.lane_id for one in group}))
        left = [one for one in group if one.batch.lane_id not in held]
        if len(left) == len(group):
            return Applied.nothing(), left
        records = [
            _record(deps, one, one.looked.sights, asked_at=asked_at) for one in group if one.batch.lane_id in held
        ]
        applied = await looks.record(connection, records, held, sources=deps.sources, sealer=deps.sealer)
        await reach(Point.POLL_RECORDING)
        return applied, left

    return await deps.db.run(write, tries=FOR_EVER)


async def _by_itself(deps: Deps, one: Looks) -> Applied:
    """Write what one turn saw of its lane, waiting for the lane; where one row breaks that, each look apart."""

    async def write(sights: Sequence[Sight]) -> Applied:
        async def record(connection: AsyncConnection) -> Applied:
            asked_at = deps.sources.monotonic()
            lane = await lanes.lock(connection, one.batch.lane_id)
            seen = _record(deps, one, sights, asked_at=asked_at)
            applied = await looks.record(connection, [seen], {lane.id: lane}, sources=deps.sources, sealer=deps.sealer)
            await reach(Point.POLL_RECORDING)
            return applied

        return await deps.db.run(record, tries=FOR_EVER)

    applied = await poison.caught(lambda: write(one.looked.sights))
    if not isinstance(applied, poison.Poisoned):
        return applied
    # First the tokens go back and the lane's news is told, for that is nobody's row.
    done = await write(())
    for sight in one.looked.sights:
        applied = await poison.caught(lambda sight=sight: write([sight]))  # type: ignore[misc]
        if isinstance(applied, poison.Poisoned):
            claim = sight.claim
            await poison.put_off(deps, claim.run_id, claim.fence, tries=claim.tries, what="look", why=applied)
        else:
            done += applied
    return done


def _record(deps: Deps, one: Looks, sights: Sequence[Sight], *, asked_at: float) -> LookRecord:
    """Say what some looks of a turn mean.

    Args:
        asked_at: before the transaction's first statement, whose time is the transaction's (monotonic). How long ago an
            answer came must not count what the locks took: its token would come back early by as much.
    """
    batch, looked = one.batch, one.looked

    def at(monotonic: float) -> datetime:
        # The claim's own time is the database's; what has passed since is the same on every clock.
        return batch.now + timedelta(seconds=monotonic - one.claimed_at)

    news = news_of(looked.answers, now=at(asked_at), rate=one.rate, listed=looked.listed)
    # What was seen is judged by when it was seen: the database may have been away since.
    results = [result_of(deps, sight.claim, sight.seen, now=at(sight.at)) for sight in sights]
    return LookRecord(
        lane_id=batch.lane_id,
        grant_id=batch.grant_id,
        results=lists.held(results, news),
        answered_ago_s=[asked_at - answered for answered in looked.answered_at],
        news=news,
    )
