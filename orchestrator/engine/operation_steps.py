"""Carries bulk operations out, in bounded steps, one run after another by the verb of the single act.

An act takes its item in its own transaction. So a worker that is killed leaves each run either done and marked, or
neither, and whoever goes on does nothing twice.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.bulk import BulkVerb, ItemState
from orchestrator.engine import doubts, operate, poison
from orchestrator.engine.deps import Deps
from orchestrator.engine.who import Who, unsaid
from orchestrator.errors import BadInput, Conflict, NotFound, Unavailable
from orchestrator.storage import operations
from orchestrator.storage.operations import OperationRow

#: A step's time, and runs of one claim: the rest of the sweep comes round again soon.
WITHIN_S = 4.0
AT_ONCE = 100

#: After so long without a word from the worker that goes on with an operation, another does.
LEASE_S = 30.0

#: An operation whose lane has no request left for it comes back after so long.
REST_S = 3.0


async def work_operations(deps: Deps, *, within_s: float = WITHIN_S) -> int:
    """Go on with what is due, for a while; return of how many runs something became."""
    ends_at = deps.sources.monotonic() + within_s
    done = 0
    while deps.sources.monotonic() < ends_at:

        async def claim(connection: AsyncConnection) -> OperationRow | None:
            return await operations.claim(connection, lease_s=LEASE_S)

        claimed = await deps.db.run(claim)
        if claimed is None:
            break
        done += await _step(deps, claimed, ends_at=ends_at)
    return done


async def _step(deps: Deps, operation: OperationRow, *, ends_at: float) -> int:
    waiting = [] if operation.cancelled_at is not None else await _waiting(deps, operation.id)
    done, rests_s = 0, 0.0
    for run_id in waiting:
        if not await _one(deps, operation, run_id):
            rests_s = REST_S
            break
        done += 1
        if deps.sources.monotonic() >= ends_at:
            break

    async def leave(connection: AsyncConnection) -> None:
        if waiting:
            await operations.release(connection, operation.id, rests_s=rests_s)
        else:
            await operations.finish(connection, operation.id, is_cancelled=operation.cancelled_at is not None)

    await deps.db.run(leave)
    return done


async def _waiting(deps: Deps, operation: UUID) -> list[UUID]:
    async def read(connection: AsyncConnection) -> list[UUID]:
        found = await operations.items(connection, operation, states=[ItemState.WAITING], after=-1, limit=AT_ONCE)
        return [item["run_id"] for item in found]

    return await deps.db.run(read)


async def _one(deps: Deps, operation: OperationRow, run_id: UUID) -> bool:
    """Do it to one run, or write down why not; return False where the lane has no request left for it now."""
    try:
        came = await poison.caught(lambda: _act(deps, operation, run_id))
    except (Conflict, NotFound, BadInput) as refused:
        await _refuse(deps, operation, run_id, ItemState.REFUSED, refused.code, refused.message)
        return True
    except Unavailable as away:
        if away.code == "budget_used":
            return False
        if away.code != "cancel_unanswered":
            raise
        await _refuse(deps, operation, run_id, ItemState.FAILED, away.code, away.message)
        return True
    if isinstance(came, poison.Poisoned):
        poison.tell("operation", came, operation=str(operation.id), run=str(run_id))
        said = "our own code broke on it; the worker's log says where"
        await _refuse(deps, operation, run_id, ItemState.FAILED, "internal", said)
    return True


async def _act(deps: Deps, operation: OperationRow, run_id: UUID) -> None:
    who = Who(
        workspace_id=operation.workspace_id, actor=operation.created_by, scopes=frozenset(), operation=operation.id
    )
    reason = operation.reason or unsaid(f"operation {operation.verb}")
    match BulkVerb(operation.verb):
        case BulkVerb.RETRY:
            await operate.retry_run(deps, who, run_id, relaunch=operation.relaunch, reason=reason)
        case BulkVerb.CANCEL:
            await operate.cancel_run(deps, who, run_id, reason=reason)
        case BulkVerb.RESOLVE:
            assert operation.how is not None, "the table says so"
            # It rests on how each stood when they were chosen, as a single one does on what was shown.
            await doubts.resolve_doubt(deps, who, run_id, how=operation.how, reason=reason, as_of=operation.created_at)


async def _refuse(deps: Deps, operation: OperationRow, run_id: UUID, state: ItemState, code: str, message: str) -> None:
    async def write(connection: AsyncConnection) -> None:
        await operations.refuse(connection, operation.id, run_id, state=state, code=code, message=message)

    await deps.db.run(write)
