"""Settle: find out, once a run has ended, whether its batch has too, or has failed too often to go on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import webhooks
from orchestrator.domain.chain import NewEvent
from orchestrator.domain.statuses import LIVE, RunStatus, batch_status, too_many_failures
from orchestrator.domain.webhooks import Message
from orchestrator.engine.deps import Deps
from orchestrator.faultpoints import Point, reach
from orchestrator.storage import batches, events, lanes, outbox, turns
from orchestrator.storage.batches import LockedBatch
from orchestrator.storage.database import now as transaction_now
from orchestrator.telemetry import get_logger

log = get_logger(__name__)


async def settle_batches(deps: Deps, batch_ids: Iterable[UUID]) -> None:
    """Settle some batches, each in a transaction of its own, after the one in which a run ended."""
    ended_in = sorted(set(batch_ids))

    async def ask(connection: AsyncConnection) -> list[UUID]:
        return await batches.that_may_settle(connection, ended_in, sorted(LIVE))

    # Most have much left to do: one question rules them out.
    for batch_id in await deps.db.run(ask) if ended_in else ():

        async def settle(connection: AsyncConnection, batch_id: UUID = batch_id) -> None:
            await _settle(connection, batch_id)
            await reach(Point.SETTLE_WRITTEN)

        await deps.db.run(settle)
        await reach(Point.SETTLE_COMMITTED)


async def _settle(connection: AsyncConnection, batch_id: UUID) -> None:
    # The lane before the batch, as everywhere: a pause by the failure rule touches the batch's turn to launch.
    await lanes.lock(connection, await batches.lane_of(connection, batch_id))
    # Then a fresh statement: two last runs that end side by side must not each see the other as open.
    batch = await batches.lock(connection, batch_id)
    if batch.has_ended:
        return
    is_over = not await batches.has_live_runs(connection, batch_id, sorted(LIVE))
    has_rule = batch.max_failures_count is not None or batch.max_failures_percent is not None
    if not is_over and (batch.is_paused or batch.is_cancelled or not has_rule):
        return
    counted = await batches.counts(connection, batch_id)
    moment = await transaction_now(connection)
    if is_over:
        await batches.end(connection, batch_id, counted)
        status = batch_status(counted, paused=batch.is_paused, cancelled=batch.is_cancelled)
        told = NewEvent(type=f"batch_{status}", data={"counts": {str(s): n for s, n in counted.items()}})
        await events.append_to_batch(connection, batch_id, [told], at=moment)
        await _tell(connection, batch, f"batch.{status}", counted, at=moment)
        log.info("batch ended", batch=str(batch_id), status=str(status))
    elif too_many_failures(
        counted,
        max_count=batch.max_failures_count,
        max_percent=batch.max_failures_percent,
        excused_failures=batch.excused_failures,
        excused_endings=batch.excused_endings,
    ):
        because = "more runs failed than --max-failures allows"
        await batches.mark(connection, batch_id, "pause", because=because)
        await turns.set_turn(connection, batch_id, None)
        told = NewEvent(type="batch_paused", actor="policy:max_failures", data={"reason": because})
        await events.append_to_batch(connection, batch_id, [told], at=moment)
        await _tell(connection, batch, webhooks.BATCH_PAUSED, counted, at=moment)
        log.warning("batch paused by its failure rule", batch=str(batch_id))


async def _tell(
    connection: AsyncConnection, batch: LockedBatch, type: str, counted: Mapping[RunStatus, int], *, at: datetime
) -> None:
    """Tell webhooks what a batch came to, if any listens."""
    if batch.listens:
        about = f"{type}:{batch.id}:{at.isoformat()}"
        data = {"counts": {str(status): count for status, count in counted.items()}}
        told = Message(workspace_id=batch.workspace_id, type=type, about=about, data=data, batch_id=batch.id)
        await outbox.write(connection, [told], at=at)
