"""Routes of bulk operations: preview, start, follow, cancel."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.datastructures import QueryParams
from starlette.responses import Response

from orchestrator.api.acts import act
from orchestrator.api.answers import Answer, page, tagged
from orchestrator.api.auth import Operating, Reading
from orchestrator.api.bodies import Fields
from orchestrator.api.openapi import described, listed, parameter
from orchestrator.api.queries import Query
from orchestrator.domain.bulk import BULK_RESOLUTIONS, BulkVerb, Intention, ItemState
from orchestrator.domain.operator_decisions import Resolution
from orchestrator.engine import operations
from orchestrator.engine.operations import OperationSpec
from orchestrator.errors import BadInput, Problem

router = APIRouter(prefix="/operations", tags=["operations"])
OPERATION = "/{operation_id:uuid}"

#: Of a filter: those that are one text each, and those that are a list of words.
TEXTS = ("workflow", "connection", "batch", "dateFrom", "dateTo", "origin")
LISTS = ("status", "error_code")


@router.post("", status_code=201, **described("Operation", body="NewOperation", status=201, also={200: "Operation"}))
async def create_operation(call: Operating) -> Response:
    """Do one thing to every run that a filter names now; with `dry_run` only say to which, and to which not."""

    async def start(said: tuple[OperationSpec, bool]) -> Answer:
        spec, is_dry = said
        if is_dry:
            return Answer(view=await operations.preview_operation(call.deps, call.who, spec))
        return Answer(view=await operations.create_operation(call.deps, call.who, spec), status=201)

    return await act(call, _said, start)


@router.get("", **listed("Operation"))
async def list_operations(call: Reading) -> Response:
    """List bulk operations, newest first."""
    query = Query(call.request.query_params, ("limit", "cursor"))
    after, limit = query.after(call), query.limit()
    views, following = await operations.list_operations(call.deps, call.who, after=after, limit=limit)
    return page(call, query, views, following)


@router.get(OPERATION, **described("Operation"))
async def get_operation(operation_id: UUID, call: Reading) -> Response:
    """Show one bulk operation with its progress."""
    Query(call.request.query_params, ())
    return tagged(call, await operations.get_operation(call.deps, call.who, operation_id))


@router.get(
    OPERATION + "/items",
    **listed("OperationItem", parameter("state", "string", f"a comma list of {', '.join(ItemState)}")),
)
async def operation_items(operation_id: UUID, call: Reading) -> Response:
    """List what became of each run, in the order of the work."""
    query = Query(call.request.query_params, ("state", "limit", "cursor"))
    states = query.among("state", ItemState)
    views, following = await operations.operation_items(
        call.deps, call.who, operation_id, states=states, after=query.after(call), limit=query.limit()
    )
    return page(call, query, views, following)


@router.post(OPERATION + ":cancel", **described("Operation", body="Reason"))
async def cancel_operation(operation_id: UUID, call: Operating) -> Response:
    """Do no more of it. What was done stays done."""

    async def cancel(reason: str | None) -> Answer:
        return Answer(view=await operations.cancel_operation(call.deps, call.who, operation_id, reason=reason))

    return await act(call, lambda fields: fields.prose_or_none("reason"), cancel)


def _said(fields: Fields) -> tuple[OperationSpec, bool]:
    verb = fields.one_of("verb", tuple(BulkVerb))
    relaunch = fields.flag("relaunch")
    how = fields.one_of_or_none("how", BULK_RESOLUTIONS)
    reason = fields.prose_or_none("reason")
    is_dry = fields.flag("dry_run")
    given = fields.object_or_none("filter") or {}
    fields.done()
    filters, kept = _filter(given)
    intention = Intention(verb=BulkVerb(verb), relaunch=relaunch, how=Resolution(how) if how else None)
    return OperationSpec(intention=intention, filters=filters, kept=kept, reason=reason), is_dry


def _filter(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a body's filter as the engine takes it, and as it is shown later: of labels the keys alone."""
    fields = Fields(given)
    texts = {name: text for name in TEXTS if (text := fields.text_or_none(name)) is not None}
    lists = {name: words for name in LISTS if (words := fields.texts(name))}
    labels = fields.text_by_text("labels")
    fields.done()
    # Read as the parameters of a list are, so that both mean the same.
    read = Query(QueryParams([*texts.items(), *((n, ",".join(w)) for n, w in lists.items())]), (*TEXTS, *LISTS))
    filters = {
        "statuses": read.statuses(),
        "workflow": read.text("workflow"),
        "connection": read.text("connection"),
        "batch": read.id("batch"),
        "since": read.since(),
        "until": read.until(),
        "error_codes": read.words("error_code"),
        "origin": read.origin(),
        "labels": labels,
    }
    kept = texts | lists | ({"labels": sorted(labels)} if labels else {})
    return filters, kept


def _wrong(name: str, message: str) -> BadInput:
    problem = Problem(message=message, code="field.value", field=name)
    return BadInput(str(problem), code=problem.code, problems=(problem,))
