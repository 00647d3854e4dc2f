"""Acts on many runs: all of them, and one with its progress and what became of each run."""

from __future__ import annotations

from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api import cursors
from orchestrator.api.queries import Query
from orchestrator.domain.bulk import ItemState
from orchestrator.engine import operations
from orchestrator.web import forms
from orchestrator.web.rendering import page
from orchestrator.web.visits import Operating, Reading
from orchestrator.web.wording import counted

PATH = "/operations"
ONE = PATH + "/{operation_id:uuid}"

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def list_operations(visit: Reading) -> Response:
    """Show what was done to many runs at once, the newest first."""
    query = Query(visit.request.query_params, ("limit", "cursor"))
    found, following = await operations.list_operations(
        visit.deps, visit.who, after=query.after(visit), limit=query.limit()
    )
    cursor = None if following is None else cursors.issue(visit.deps.sealer, query.bound_to(visit), following)
    return await page(
        visit,
        "operations.html",
        title="Bulk acts",
        room="operations",
        operations=found,
        next_page=None if cursor is None else f"{PATH}?{urlencode({'cursor': cursor})}",
        is_first="cursor" not in visit.request.query_params,
    )


@router.get(ONE)
async def show_operation(operation_id: UUID, visit: Reading) -> Response:
    """Show how far an act on many runs is."""
    query = Query(visit.request.query_params, ("state", "limit", "cursor"))
    states = query.among("state", ItemState)
    found = await operations.get_operation(visit.deps, visit.who, operation_id)
    items, following = await operations.operation_items(
        visit.deps, visit.who, operation_id, states=states, after=query.after(visit), limit=query.limit()
    )
    cursor = None if following is None else cursors.issue(visit.deps.sealer, query.bound_to(visit), following)
    path = f"{PATH}/{operation_id}"
    kept = [("state", ",".join(states))] if states else []
    return await page(
        visit,
        "operation.html",
        title=f"{found['verb'].capitalize()} {counted(found['total'], 'run')}",
        room="operations",
        found=found,
        items=items,
        quick=[("All", path, not states), *((str(s), f"{path}?state={s}", states == (s,)) for s in ItemState)],
        next_page=None if cursor is None else f"{path}?{urlencode([*kept, ('cursor', cursor)])}",
        is_first="cursor" not in visit.request.query_params,
    )


@router.post(ONE + "/cancel")
async def cancel(operation_id: UUID, visit: Operating) -> Response:
    """Do no more of it."""
    form = await forms.read(visit.request)
    await operations.cancel_operation(visit.deps, visit.who, operation_id, reason=form.reason())
    return forms.done(visit.request, f"{PATH}/{operation_id}", "No more of it is done. What was done stays done.")
