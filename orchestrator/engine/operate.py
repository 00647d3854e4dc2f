"""What people do to runs and batches: cancel, abandon, retry, refetch, pause, resume. Each act has a name."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import operator_decisions
from orchestrator.domain.erasure import refuse_erased
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.domain.watching import refuse_observed
from orchestrator.engine import acts, cancelling, reading
from orchestrator.engine.deps import Deps
from orchestrator.engine.who import Who
from orchestrator.errors import Conflict
from orchestrator.storage import batches, events, lanes, runs, turns
from orchestrator.storage.batches import LockedBatch
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.lanes import Turn


async def cancel_run(deps: Deps, who: Who, run_id: UUID, *, reason: str | None = None) -> dict[str, Any]:
    """Cancel a run that was not sent; one on the wire if it falls back; one that waits at a provider who can cancel."""
    act = who.act("run cancel", reason)
    row = await acts.find_run(deps, who, run_id)
    cancelled = await cancelling.at_provider(deps, who, row, act)
    if cancelled is not None:
        return cancelled
    can = deps.provider(row.provider).capabilities.cancel
    late = {"why_late": "the provider can cancel nothing of it just now"} if can else {}
    return await acts.on_run(deps, who, run_id, lambda run, _: operator_decisions.cancel(run, act, **late))


async def abandon_run(deps: Deps, who: Who, run_id: UUID, *, reason: str) -> dict[str, Any]:
    """Stop watching a run; it may still act at the provider."""
    act = who.act("run abandon", reason)
    return await acts.on_run(deps, who, run_id, lambda run, _: operator_decisions.abandon(run, act))


async def retry_run(
    deps: Deps, who: Who, run_id: UUID, *, relaunch: bool = False, reason: str | None = None
) -> dict[str, Any]:
    """Queue a run again as its next attempt."""
    act = who.act("run retry", reason)
    return await acts.on_run(
        deps,
        who,
        run_id,
        lambda run, now: operator_decisions.retry(refuse_observed(refuse_erased(run)), act, relaunch=relaunch, now=now),
    )


async def refetch_run(deps: Deps, who: Who, run_id: UUID, *, reason: str | None = None) -> dict[str, Any]:
    """Ask for a run's results once more."""
    act = who.act("run refetch", reason)
    return await acts.on_run(
        deps, who, run_id, lambda run, now: operator_decisions.refetch(refuse_erased(run), act, now=now)
    )


async def check_now(deps: Deps, who: Who, run_id: UUID) -> dict[str, Any]:
    """Look at a run at once instead of when its schedule says."""
    row = await acts.find_run(deps, who, run_id)

    async def look(connection: AsyncConnection) -> None:
        await lanes.lock(connection, row.lane_id)
        if await runs.look_now(connection, run_id) is None:
            raise Conflict(f"there is nothing to look at: the run is {row.status}", code="not_watched")
        await lanes.wake(connection, row.lane_id, Turn.POLL)

    await deps.db.run(look)
    return await reading.get_run(deps, who, run_id)


async def pause_batch(deps: Deps, who: Who, batch_id: UUID, *, reason: str | None = None) -> dict[str, Any]:
    """Launch nothing more of a batch; what was launched is still collected."""
    act = who.act("batch pause", reason)

    async def pause(connection: AsyncConnection, batch: LockedBatch) -> None:
        acts.refuse_ended(batch)
        if batch.is_paused:
            return
        await batches.mark(connection, batch_id, "pause", because=reason or f"paused by {who.actor}")
        await turns.set_turn(connection, batch_id, None)
        await acts.tell(connection, batch_id, act, "batch_paused")

    return await acts.on_batch(deps, who, batch_id, pause)


async def resume_batch(deps: Deps, who: Who, batch_id: UUID, *, reason: str | None = None) -> dict[str, Any]:
    """Go on launching a paused batch."""
    act = who.act("batch resume", reason)

    async def resume(connection: AsyncConnection, batch: LockedBatch) -> None:
        acts.refuse_ended(batch)
        if batch.is_cancelled:
            raise Conflict("the batch was cancelled", code="batch_cancelled", hint="retry-failed queues it again")
        if not batch.is_paused:
            return
        await batches.mark(connection, batch_id, "resume")
        await acts.launches_again(connection, batch)
        await acts.tell(connection, batch_id, act, "batch_resumed")

    return await acts.on_batch(deps, who, batch_id, resume)


async def cancel_batch(deps: Deps, who: Who, batch_id: UUID, *, reason: str | None = None) -> dict[str, Any]:
    """Cancel what of a batch was not sent; what was launched is collected."""
    act = who.act("batch cancel", reason)

    async def cancel(connection: AsyncConnection, batch: LockedBatch) -> None:
        acts.refuse_ended(batch)
        if batch.is_cancelled:
            return
        await batches.mark(connection, batch_id, "cancel")
        await turns.set_turn(connection, batch_id, None)
        await acts.tell(connection, batch_id, act, "batch_cancelled_by_person")

    await acts.on_batch(deps, who, batch_id, cancel)
    await cancel_what_is_left(deps, who, batch_id, reason=reason)
    return await reading.get_batch(deps, who, batch_id)


async def cancel_what_is_left(deps: Deps, who: Who, batch_id: UUID, *, reason: str | None = None) -> None:
    """Cancel what of a cancelled batch is queued, and mark what is on the wire. Harmless to do again."""
    act = who.act("batch cancel", reason)
    await acts.in_bulk(deps, who, batch_id, [S.QUEUED], lambda run, _: operator_decisions.cancel(run, act))
    await acts.in_bulk(deps, who, batch_id, [S.LAUNCHING], lambda run, _: operator_decisions.cancel(run, act))


async def cancel_leftovers(deps: Deps) -> int:
    """Cancel what is queued in cancelled batches: a doubt that had not started, or a cancel cut half way."""

    async def find(connection: AsyncConnection) -> list[tuple[UUID, UUID]]:
        return await batches.queued_in_cancelled(connection)

    found = await deps.db.run(find)
    for batch_id, workspace_id in found:
        nobody = Who(workspace_id=workspace_id, actor="orchestrator", scopes=frozenset())
        await cancel_what_is_left(deps, nobody, batch_id, reason="its batch was cancelled")
    return len(found)


async def retry_failed(deps: Deps, who: Who, batch_id: UUID, *, reason: str | None = None) -> dict[str, Any]:
    """Queue again what of a batch ended in `error` or was cancelled; it is launched like the rest."""
    act = who.act("batch retry-failed", reason)
    if (await acts.find_batch(deps, who, batch_id)).erased_at is not None:
        raise Conflict("the batch was erased: the inputs of its runs are gone", code="erased")

    async def reopen(connection: AsyncConnection, batch: LockedBatch) -> None:
        for mark in ("uncancel", "resume", "reopen"):
            await batches.mark(connection, batch_id, mark)
        await acts.launches_again(connection, batch)

    retried = await acts.in_bulk(
        deps,
        who,
        batch_id,
        [S.ERROR, S.CANCELLED],
        lambda run, now: operator_decisions.retry(run, act, relaunch=False, now=now),
        first=reopen,
    )
    if not retried:
        counts = (await acts.find_batch(deps, who, batch_id)).counts
        if counts.get(S.ERROR) or counts.get(S.CANCELLED):
            raise Conflict("what failed or was cancelled of this batch was erased", code="erased")
        raise Conflict("nothing of this batch failed or was cancelled", code="nothing_to_retry")

    async def tell(connection: AsyncConnection, _: LockedBatch) -> None:
        told = act.event("batch_reopened", runs=retried)
        await events.append_to_batch(connection, batch_id, [told], at=await transaction_now(connection))

    return await acts.on_batch(deps, who, batch_id, tell)
