"""Bulk operations as people ask for them: a filter, a preview, and then a job whose runs are named once and for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import bulk
from orchestrator.domain.bulk import MAX_RUNS, Intention, ItemState
from orchestrator.domain.operator_decisions import RunFacts
from orchestrator.engine import views
from orchestrator.engine.deps import Deps
from orchestrator.engine.reading import run_conditions
from orchestrator.engine.shown import shown
from orchestrator.engine.who import Who
from orchestrator.errors import BadInput, Conflict, NotFound
from orchestrator.storage import events, matching, operations, runs
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.matching import Matching
from orchestrator.storage.operations import OperationRow

#: Runs that a preview shows.
SAMPLES = 10
_SHOWN = ("id", "status", "workflow_id", "connection", "batch_id", "index", "external_id", "created_at", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationSpec:
    """What is asked for.

    Args:
        filters: as `reading.run_conditions` takes them; never empty.
        kept: the filter as it is shown later.
    """

    intention: Intention
    filters: Mapping[str, Any]
    kept: Mapping[str, Any]
    reason: str | None = None


async def create_operation(deps: Deps, who: Who, spec: OperationSpec) -> dict[str, Any]:
    """Store an operation with every run that is eligible now; workers carry it out.

    Raises:
        BadInput: the filter is empty, or matches too much.
        Conflict: nothing that it matches is eligible.
    """
    id = deps.sources.new_id()

    async def write(connection: AsyncConnection) -> None:
        chosen, refused, matched = await _choose(connection, deps, who, spec)
        if not chosen:
            raise Conflict(
                f"no run of those that this filter matches ({matched:,}) can be taken by {spec.intention.verb}",
                code="nothing_eligible",
                hint="a dry run says why",
            )
        values = {
            "id": id,
            "workspace": who.workspace_id,
            "verb": spec.intention.verb,
            "how": spec.intention.how,
            "relaunch": spec.intention.relaunch,
            "filter": dict(spec.kept),
            "reason": spec.reason,
            "matched": matched,
            "total": len(chosen),
            "ineligible": refused,
            "created_by": who.actor,
        }
        await operations.insert(connection, values, [run.id for run in chosen])
        told = who.act(f"operation {spec.intention.verb}", spec.reason).event(
            "operation_started", operation=str(id), verb=str(spec.intention.verb), runs=len(chosen)
        )
        await events.append_to_workspace(connection, who.workspace_id, [told], at=await transaction_now(connection))

    # Once: a commit whose answer was lost would be done again, under the same id, and be refused for it.
    await deps.db.run(write, tries=1)
    return await get_operation(deps, who, id)


async def preview_operation(deps: Deps, who: Who, spec: OperationSpec) -> dict[str, Any]:
    """Return what an operation would take: how many, the first few, and how many not and why. Nothing is stored."""

    async def read(connection: AsyncConnection) -> dict[str, Any]:
        chosen, refused, matched = await _choose(connection, deps, who, spec)
        found = [await runs.read(connection, who.workspace_id, run.id) for run in chosen[:SAMPLES]]
        samples = await views.runs(connection, [row for row in found if row is not None])
        return {
            "id": None,
            "dry_run": True,
            **_asked(spec.intention.verb, spec.intention.how, spec.intention.relaunch, spec.kept, spec.reason),
            "matched": matched,
            "total": len(chosen),
            "ineligible": refused,
            "samples": [{name: view[name] for name in _SHOWN} for view in samples],
        }

    return shown(await deps.db.run(read))


async def list_operations(
    deps: Deps, who: Who, *, after: UUID | None = None, limit: int = 50
) -> tuple[list[dict[str, Any]], UUID | None]:
    """Return operations newest first, and where the next page begins."""

    async def read(connection: AsyncConnection) -> list[OperationRow]:
        return await operations.page(connection, who.workspace_id, before=after, limit=limit + 1)

    found = await deps.db.run(read)
    return [_view(row) for row in found[:limit]], found[limit - 1].id if len(found) > limit else None


async def get_operation(deps: Deps, who: Who, operation: UUID) -> dict[str, Any]:
    """Return one operation with its progress."""
    return _view(await _find(deps, who, operation))


async def operation_items(
    deps: Deps, who: Who, operation: UUID, *, states: Sequence[str] = (), after: int | None = None, limit: int = 50
) -> tuple[list[dict[str, Any]], int | None]:
    """Return what became of each run, in the order of the work, and after which position it goes on."""
    await _find(deps, who, operation)

    async def read(connection: AsyncConnection) -> list[dict[str, Any]]:
        wanted = states or [*ItemState]
        place = -1 if after is None else after
        return await operations.items(connection, operation, states=wanted, after=place, limit=limit + 1)

    found = await deps.db.run(read)
    return [shown(item) for item in found[:limit]], found[limit - 1]["position"] if len(found) > limit else None


async def cancel_operation(deps: Deps, who: Who, operation: UUID, *, reason: str | None = None) -> dict[str, Any]:
    """Do no more of an operation. What was done stays done."""
    act = who.act("operation cancel", reason)
    row = await _find(deps, who, operation)
    if row.finished_at is not None:
        raise Conflict("the operation has ended", code="operation_ended")

    async def write(connection: AsyncConnection) -> None:
        if await operations.cancel(connection, who.workspace_id, operation, by=who.actor):
            told = act.event("operation_cancelled", operation=str(operation))
            await events.append_to_workspace(connection, who.workspace_id, [told], at=await transaction_now(connection))

    await deps.db.run(write)
    return await get_operation(deps, who, operation)


async def _choose(
    connection: AsyncConnection, deps: Deps, who: Who, spec: OperationSpec
) -> tuple[list[Matching], list[dict[str, Any]], int]:
    """Return the eligible runs in the order of the work, oldest first; why others are not; and how many matched."""
    conditions = run_conditions(deps, who, **spec.filters)
    if not conditions:
        raise BadInput(
            "the filter is empty: it would take every run there is",
            code="filter.empty",
            hint="name a status, workflow, connection, batch, label, error code or period",
        )
    found = await matching.every(connection, who.workspace_id, conditions, most=MAX_RUNS)
    if found is None:
        raise BadInput(
            f"the filter matches more than {MAX_RUNS:,} runs, or too many to be judged",
            code="filter.too_wide",
            hint="narrow it, for instance to a period",
        )
    if "batch" not in conditions:
        found.reverse()
    refusals = _refusals(deps, spec.intention, found, now=await transaction_now(connection))
    chosen = [run for run in found if refusals[_standing(run)] is None]
    counted = Counter(
        (refused.code, refused.message) for run in found if (refused := refusals[_standing(run)]) is not None
    )
    told = [{"code": code, "message": message, "runs": n} for (code, message), n in counted.most_common()]
    return chosen, told, len(found)


def _standing(run: Matching) -> tuple[str, bool, bool, str]:
    """Return what a run's eligibility hangs on."""
    return run.status, run.is_erased, run.is_observed, run.provider


def _refusals(
    deps: Deps, intention: Intention, found: Sequence[Matching], *, now: datetime
) -> dict[tuple[str, bool, bool, str], Conflict | None]:
    """Judge runs that stand alike once."""
    alike = {_standing(run): run for run in found}
    return {
        standing: bulk.refusal(
            intention,
            RunFacts(
                run_id=run.id,
                status=run.status,
                attempt=1,
                of_batch=False,
                execution_id=None,
                is_erased=run.is_erased,
                is_observed=run.is_observed,
            ),
            now=now,
            provider_cancels=deps.provider(run.provider).capabilities.cancel,
        )
        for standing, run in alike.items()
    }


async def _find(deps: Deps, who: Who, operation: UUID) -> OperationRow:
    async def read(connection: AsyncConnection) -> OperationRow | None:
        return await operations.read(connection, who.workspace_id, operation)

    row = await deps.db.run(read)
    if row is None:
        raise NotFound(
            f"there is no operation {operation}", code="operation_not_found", hint="orchestrator operation list"
        )
    return row


def _asked(verb: str, how: str | None, relaunch: bool, kept: Mapping[str, Any], reason: str | None) -> dict[str, Any]:
    return {"verb": verb, "how": how, "relaunch": relaunch, "filter": dict(kept), "reason": reason}


def _view(row: OperationRow) -> dict[str, Any]:
    status = bulk.status_of(is_finished=row.finished_at is not None, is_cancelled=row.cancelled_at is not None)
    return shown(
        {
            "id": row.id,
            "dry_run": False,
            "status": status,
            **_asked(row.verb, row.how, row.relaunch, row.filter, row.reason),
            "matched": row.matched,
            "total": row.total,
            "ineligible": list(row.ineligible),
            "counts": {str(state): row.counts.get(state, 0) for state in ItemState},
            "created_at": row.created_at,
            "created_by": row.created_by,
            "cancelled_at": row.cancelled_at,
            "cancelled_by": row.cancelled_by,
            "finished_at": row.finished_at,
        }
    )
