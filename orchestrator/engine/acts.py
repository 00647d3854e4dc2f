"""How an act of a person is carried out: lock what it hangs on, decide, write, tell wave and batch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.changes import Change
from orchestrator.domain.operator_decisions import Act, RunFacts
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.domain.windows import WaveLook
from orchestrator.engine import reading, settle
from orchestrator.engine.deps import Deps
from orchestrator.engine.who import Who
from orchestrator.errors import Conflict, NotFound
from orchestrator.faultpoints import Point, reach
from orchestrator.storage import batches, changes, events, lanes, operations, questions, runs, turns, waves
from orchestrator.storage.batches import LockedBatch, RunInBatch
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.lanes import Lane, Turn
from orchestrator.storage.runs import LockedRun, RunRow
from orchestrator.storage.waves import Lesson, Wave

#: Runs of a batch that one transaction of a bulk act takes.
BULK = 2000


async def launches_again(connection: AsyncConnection, batch: LockedBatch) -> None:
    """Give a batch its turn, and wake its lane."""
    await turns.give_turn(connection, batch.id)
    await lanes.wake(connection, batch.lane_id, Turn.LAUNCH)


Decide = Callable[[RunFacts, datetime], Change | None]


async def on_run(deps: Deps, who: Who, run_id: UUID, decide: Decide) -> dict[str, Any]:
    """Lock what a run hangs on, decide, write; then show the run."""
    row = await find_run(deps, who, run_id)

    async def write(connection: AsyncConnection) -> frozenset[UUID]:
        lane = await lanes.lock(connection, row.lane_id)
        batch = await batches.lock(connection, row.batch_id) if row.batch_id is not None else None
        held = await waves.lock(connection, [row.execution_wave_id] if row.execution_wave_id is not None else [])
        # The timer before the run, as workers do; whatever one is doing with the run comes to nothing.
        await runs.void_claims(connection, [run_id])
        locked = await runs.lock(connection, who.workspace_id, run_id)
        assert locked is not None, "runs are never removed"
        if who.operation is not None and not await operations.take(connection, who.operation, run_id):
            return frozenset()
        change = decide(locked.facts, lane.now)
        if change is None:
            return frozenset()
        _refuse_in_cancelled_batch(locked, change)
        applied = await changes.apply(
            connection, [change], now=lane.now, sources=deps.sources, sealer=deps.sealer, lane=lane.id
        )
        await _tell_wave(deps, connection, held, locked, change, lane=lane)
        await lanes.save(connection, lane.pull(Turn.POLL, lane.now).pull(Turn.LAUNCH, lane.now))
        if batch is not None and change.to in {S.QUEUED, S.PROCESSING, S.DOWNLOADING}:
            await batches.mark(connection, batch.id, "reopen")
            await turns.give_turn(connection, batch.id)
        await reach(Point.ACT_WRITTEN)
        return applied.batches_with_endings

    ended_in = await deps.db.run(write)
    await reach(Point.ACT_COMMITTED)
    await settle.settle_batches(deps, ended_in)
    return await reading.get_run(deps, who, run_id)


def _refuse_in_cancelled_batch(locked: LockedRun, change: Change) -> None:
    if locked.batch_is_cancelled and change.to is S.QUEUED:
        raise Conflict(
            "its batch was cancelled, and launches nothing more",
            code="batch_cancelled",
            hint=f"orchestrator batch retry-failed {locked.batch_id}",
        )


async def _tell_wave(
    deps: Deps,
    connection: AsyncConnection,
    held: dict[UUID, Wave],
    locked: LockedRun,
    change: Change,
    *,
    lane: Lane,
) -> None:
    """Tell a run's wave what a person did to it: its window moves, its question may be settled."""
    wave = held.get(locked.wave_id) if locked.wave_id is not None else None
    if wave is None or locked.position is None or change.was == change.to:
        return
    if change.was is S.IN_DOUBT:
        await waves.settle_doubts(connection, wave.id)
        await questions.settle_waves(connection, [wave.id])
    elif change.was in {S.PROCESSING, S.HUMAN_IN_THE_LOOP} and change.to is S.ABANDONED:
        was_human = change.was is S.HUMAN_IN_THE_LOOP
        gone = WaveLook(position=locked.position, has_started=False, has_ended=True, left_human=was_human)
        unit = deps.sources.unit()
        lesson = Lesson(wave=wave, seen=[gone], unit=unit, looks_per_minute=lane.limit)
        await waves.teach(connection, [lesson], now=lane.now)


async def in_bulk(
    deps: Deps,
    who: Who,
    batch_id: UUID,
    statuses: Sequence[S],
    decide: Decide,
    *,
    first: Callable[[AsyncConnection, LockedBatch], Awaitable[None]] | None = None,
) -> int:
    """Do one thing to every run of a batch that stands in some statuses, a part at a time; return to how many.

    Args:
        first: done to the batch in the transaction of each part, so that an act cut half way leaves nothing stranded.
    """
    batch = await find_batch(deps, who, batch_id)
    done = 0
    for _ in range(100):

        async def write(connection: AsyncConnection) -> tuple[int, int]:
            lane = await lanes.lock(connection, batch.lane_id)
            locked = await batches.lock(connection, batch_id)
            found = await batches.runs_in(connection, batch_id, statuses, limit=BULK)
            decided = [change for run in found if (change := decide(_facts(run), lane.now)) is not None]
            applied = await changes.apply(
                connection, decided, now=lane.now, sources=deps.sources, sealer=deps.sealer, lane=lane.id
            )
            if first is not None and found:
                await first(connection, locked)
            return len(found), sum(c.was != c.to for c in applied.changes)

        found, moved = await deps.db.run(write)
        done += moved
        # Runs that were only marked stay where they stand, and would be found again for ever.
        if found < BULK or not moved:
            break
    await settle.settle_batches(deps, [batch_id])
    return done


def _facts(run: RunInBatch) -> RunFacts:
    return RunFacts(run_id=run.id, status=run.status, attempt=run.attempt, of_batch=True, execution_id=run.execution_id)


async def on_batch(
    deps: Deps, who: Who, batch_id: UUID, do: Callable[[AsyncConnection, LockedBatch], Awaitable[None]]
) -> dict[str, Any]:
    """Lock a batch, do something to it, then show it."""
    found = await find_batch(deps, who, batch_id)

    async def write(connection: AsyncConnection) -> None:
        await lanes.lock(connection, found.lane_id)
        await do(connection, await batches.lock(connection, batch_id))

    await deps.db.run(write)
    return await reading.get_batch(deps, who, batch_id)


async def tell(connection: AsyncConnection, batch_id: UUID, act: Act, event: str) -> None:
    """Write an act into a batch's history."""
    await events.append_to_batch(connection, batch_id, [act.event(event)], at=await transaction_now(connection))


def refuse_ended(batch: LockedBatch) -> None:
    """Raise `Conflict` for a batch that has ended."""
    if batch.has_ended:
        raise Conflict("the batch has ended", code="batch_ended")


async def find_run(deps: Deps, who: Who, run_id: UUID) -> RunRow:
    """Return a run of the caller's workspace, or raise `NotFound`."""

    async def read(connection: AsyncConnection) -> RunRow | None:
        return await runs.read(connection, who.workspace_id, run_id)

    row = await deps.db.run(read)
    if row is None:
        raise NotFound(f"there is no run {run_id}", code="run_not_found", hint="orchestrator run list")
    return row


async def find_batch(deps: Deps, who: Who, batch_id: UUID) -> batches.BatchRow:
    """Return a batch of the caller's workspace, or raise `NotFound`."""

    async def read(connection: AsyncConnection) -> batches.BatchRow | None:
        return await batches.read(connection, who.workspace_id, batch_id)

    row = await deps.db.run(read)
    if row is None:
        raise NotFound(f"there is no batch {batch_id}", code="batch_not_found", hint="orchestrator batch list")
    return row
