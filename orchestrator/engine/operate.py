"""What people do to runs and batches: cancel, abandon, retry, refetch, pause, resume. Each act has a name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import operator_decisions
from orchestrator.domain.changes import Change
from orchestrator.domain.operator_decisions import Act, RunFacts
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.engine import reading, settle
from orchestrator.engine.deps import Deps
from orchestrator.engine.who import Who
from orchestrator.errors import Conflict, NotFound
from orchestrator.storage import batches, changes, events, lanes, runs, turns, waves
from orchestrator.storage.batches import LockedBatch, RunInBatch
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.lanes import Turn
from orchestrator.storage.runs import RunRow

#: Runs of a batch that one transaction of a bulk act takes.
BULK = 2000


async def cancel_run(deps: Deps, who: Who, run_id: UUID, *, reason: str | None = None) -> dict[str, Any]:
    """Cancel a run that was not sent; one on the wire is cancelled if it falls back."""
    return await _act(deps, who, run_id, lambda run, _: operator_decisions.cancel(run, who.act(reason)))


async def abandon_run(deps: Deps, who: Who, run_id: UUID, *, reason: str) -> dict[str, Any]:
    """Stop watching a run; it may still act at the provider."""
    return await _act(deps, who, run_id, lambda run, _: operator_decisions.abandon(run, who.act(reason)))


async def retry_run(
    deps: Deps, who: Who, run_id: UUID, *, relaunch: bool = False, reason: str | None = None
) -> dict[str, Any]:
    """Queue a run again as its next attempt."""
    act = who.act(reason)
    return await _act(
        deps, who, run_id, lambda run, now: operator_decisions.retry(run, act, relaunch=relaunch, now=now)
    )


async def refetch_run(deps: Deps, who: Who, run_id: UUID, *, reason: str | None = None) -> dict[str, Any]:
    """Ask for a run's results once more."""
    act = who.act(reason)
    return await _act(deps, who, run_id, lambda run, now: operator_decisions.refetch(run, act, now=now))


async def check_now(deps: Deps, who: Who, run_id: UUID) -> dict[str, Any]:
    """Look at a run at once instead of when its schedule says."""
    row = await _find(deps, who, run_id)

    async def look(connection: AsyncConnection) -> None:
        await lanes.lock(connection, row.lane_id)
        if await runs.look_now(connection, run_id) is None:
            raise Conflict(f"there is nothing to look at: the run is {row.status}", code="not_watched")
        await lanes.wake(connection, row.lane_id, Turn.POLL)

    await deps.db.run(look)
    return await reading.get_run(deps, who, run_id)


async def pause_batch(deps: Deps, who: Who, batch_id: UUID, *, reason: str | None = None) -> dict[str, Any]:
    """Launch nothing more of a batch; what was launched is still collected."""

    async def pause(connection: AsyncConnection, batch: LockedBatch) -> None:
        _refuse_ended(batch)
        if batch.is_paused:
            return
        await batches.mark(connection, batch_id, "pause", because=reason or f"paused by {who.actor}")
        await turns.set_turn(connection, batch_id, None)
        await _tell(connection, batch_id, who.act(reason), "batch_paused")

    return await _act_on_batch(deps, who, batch_id, pause)


async def resume_batch(deps: Deps, who: Who, batch_id: UUID, *, reason: str | None = None) -> dict[str, Any]:
    """Go on launching a paused batch."""

    async def resume(connection: AsyncConnection, batch: LockedBatch) -> None:
        _refuse_ended(batch)
        if batch.is_cancelled:
            raise Conflict("the batch was cancelled", code="batch_cancelled", hint="retry-failed queues it again")
        if not batch.is_paused:
            return
        await batches.mark(connection, batch_id, "resume")
        await turns.give_turn(connection, batch_id)
        await lanes.wake(connection, batch.lane_id, Turn.LAUNCH)
        await _tell(connection, batch_id, who.act(reason), "batch_resumed")

    return await _act_on_batch(deps, who, batch_id, resume)


async def cancel_batch(deps: Deps, who: Who, batch_id: UUID, *, reason: str | None = None) -> dict[str, Any]:
    """Cancel what of a batch was not sent; what was launched is collected."""
    act = who.act(reason)

    async def cancel(connection: AsyncConnection, batch: LockedBatch) -> None:
        _refuse_ended(batch)
        if batch.is_cancelled:
            return
        await batches.mark(connection, batch_id, "cancel")
        await turns.set_turn(connection, batch_id, None)
        await _tell(connection, batch_id, act, "batch_cancelled_by_person")

    await _act_on_batch(deps, who, batch_id, cancel)
    await _in_bulk(deps, who, batch_id, [S.QUEUED, S.LAUNCHING], lambda run, _: operator_decisions.cancel(run, act))
    return await reading.get_batch(deps, who, batch_id)


async def retry_failed(deps: Deps, who: Who, batch_id: UUID, *, reason: str | None = None) -> dict[str, Any]:
    """Queue again what of a batch ended in `error` or was cancelled; it is launched like the rest."""
    act = who.act(reason)
    await _find_batch(deps, who, batch_id)
    retried = await _in_bulk(
        deps,
        who,
        batch_id,
        [S.ERROR, S.CANCELLED],
        lambda run, now: operator_decisions.retry(run, act, relaunch=False, now=now),
    )
    if not retried:
        raise Conflict("nothing of this batch failed or was cancelled", code="nothing_to_retry")

    async def reopen(connection: AsyncConnection, batch: LockedBatch) -> None:
        for mark in ("uncancel", "resume", "reopen"):
            await batches.mark(connection, batch_id, mark)
        await turns.give_turn(connection, batch_id)
        await lanes.wake(connection, batch.lane_id, Turn.LAUNCH)
        await events.append_to_batch(
            connection, batch_id, [act.event("batch_reopened", runs=retried)], at=await transaction_now(connection)
        )

    return await _act_on_batch(deps, who, batch_id, reopen)


Decide = Callable[[RunFacts, datetime], Change | None]


async def _act(deps: Deps, who: Who, run_id: UUID, decide: Decide) -> dict[str, Any]:
    """Lock what a run hangs on, decide, write; then show the run."""
    row = await _find(deps, who, run_id)

    async def write(connection: AsyncConnection) -> frozenset[UUID]:
        lane = await lanes.lock(connection, row.lane_id)
        batch = await batches.lock(connection, row.batch_id) if row.batch_id is not None else None
        locked = await runs.lock(connection, who.workspace_id, run_id)
        assert locked is not None, "runs are never removed"
        change = decide(locked.facts, lane.now)
        if change is None:
            return frozenset()
        await runs.void_claims(connection, [] if change.keeps_timer else [run_id])
        applied = await changes.apply(connection, [change], now=lane.now, sources=deps.sources, sealer=deps.sealer)
        await waves.count_ended(connection, _left_their_wave([change], {run_id: locked.facts.attempt}))
        await lanes.save(connection, lane.pull(Turn.POLL, lane.now).pull(Turn.LAUNCH, lane.now))
        if batch is not None and change.to in {S.QUEUED, S.PROCESSING, S.DOWNLOADING}:
            await batches.mark(connection, batch.id, "reopen")
            await turns.give_turn(connection, batch.id)
        return applied.batches_with_endings

    await settle.settle_batches(deps, await deps.db.run(write))
    return await reading.get_run(deps, who, run_id)


def _left_their_wave(applied: Sequence[Change], attempts: dict[UUID, int]) -> list[tuple[UUID, int]]:
    """Return the attempts that a person ended while their wave was still counting on them."""
    at_provider = {S.PROCESSING, S.HUMAN_IN_THE_LOOP}
    return [(c.run_id, attempts[c.run_id]) for c in applied if c.was in at_provider and c.to is S.ABANDONED]


async def _in_bulk(deps: Deps, who: Who, batch_id: UUID, statuses: Sequence[S], decide: Decide) -> int:
    """Do one thing to every run of a batch that stands in some statuses, a part at a time; return to how many."""
    batch = await _find_batch(deps, who, batch_id)
    done = 0
    for _ in range(100):

        async def write(connection: AsyncConnection) -> int:
            lane = await lanes.lock(connection, batch.lane_id)
            await batches.lock(connection, batch_id)
            found = await batches.runs_in(connection, batch_id, statuses, limit=BULK)
            decided = [decide(_facts(run), lane.now) for run in found]
            wanted = [c for c in decided if c is not None and c.was != c.to]
            marked = [c for c in decided if c is not None and c.was == c.to]
            applied = await changes.apply(
                connection, [*wanted, *marked], now=lane.now, sources=deps.sources, sealer=deps.sealer
            )
            return sum(c.was != c.to for c in applied.changes)

        moved = await deps.db.run(write)
        done += moved
        if moved < BULK:
            break
    await settle.settle_batches(deps, [batch_id])
    return done


def _facts(run: RunInBatch) -> RunFacts:
    return RunFacts(run_id=run.id, status=run.status, attempt=run.attempt, of_batch=True, execution_id=run.execution_id)


async def _act_on_batch(
    deps: Deps, who: Who, batch_id: UUID, do: Callable[[AsyncConnection, LockedBatch], Awaitable[None]]
) -> dict[str, Any]:
    found = await _find_batch(deps, who, batch_id)

    async def write(connection: AsyncConnection) -> None:
        await lanes.lock(connection, found.lane_id)
        await do(connection, await batches.lock(connection, batch_id))

    await deps.db.run(write)
    return await reading.get_batch(deps, who, batch_id)


async def _tell(connection: AsyncConnection, batch_id: UUID, act: Act, event: str) -> None:
    await events.append_to_batch(connection, batch_id, [act.event(event)], at=await transaction_now(connection))


def _refuse_ended(batch: LockedBatch) -> None:
    if batch.has_ended:
        raise Conflict("the batch has ended", code="batch_ended")


async def _find(deps: Deps, who: Who, run_id: UUID) -> RunRow:
    async def read(connection: AsyncConnection) -> RunRow | None:
        return await runs.read(connection, who.workspace_id, run_id)

    row = await deps.db.run(read)
    if row is None:
        raise NotFound(f"there is no run {run_id}", code="run_not_found", hint="orchestrator run list")
    return row


async def _find_batch(deps: Deps, who: Who, batch_id: UUID) -> batches.BatchRow:
    async def read(connection: AsyncConnection) -> batches.BatchRow | None:
        return await batches.read(connection, who.workspace_id, batch_id)

    row = await deps.db.run(read)
    if row is None:
        raise NotFound(f"there is no batch {batch_id}", code="batch_not_found", hint="orchestrator batch list")
    return row
