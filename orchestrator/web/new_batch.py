"""New batch, first step: which workflow, and its rows as a file or as text. They wait as a draft to be looked at."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.queries import Query
from orchestrator.domain.intake.batch import MAX_FILE_BYTES, MAX_ROWS, detect_format
from orchestrator.engine import connections, drafts, workflow_lists
from orchestrator.engine.spool import Spool
from orchestrator.errors import BadInput, OrchestratorError, TooLarge
from orchestrator.web import batch_options, uploads
from orchestrator.web.rendering import page
from orchestrator.web.visits import Submitting

PATH = "/batches/new"
HEAD_BYTES = 4_096

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def begin(visit: Submitting) -> Response:
    """Show the form. Its workflows are those of one connection; the others are a click away."""
    query = Query(visit.request.query_params, ("connection", "workflow"))
    return await _form(visit, connection=query.text("connection"), workflow=query.text("workflow"))


@router.post(PATH)
async def upload(visit: Submitting) -> Response:
    """Keep what came as a draft, and go there."""
    async with uploads.turn(visit.request):
        with Spool() as content:
            form, came = await uploads.read(visit.request, content)
            connection, workflow = form.text("connection"), form.text("workflow")
            try:
                if came is None or not content.size_bytes:
                    raise BadInput("choose a file, or paste some rows", code="field.missing")
                if connection is None or workflow is None:
                    raise BadInput("choose a workflow", code="field.missing")
                if content.size_bytes > MAX_FILE_BYTES:
                    raise TooLarge(f"the file has more than {MAX_FILE_BYTES:,} bytes", hint="Split it.")
                format = detect_format(came.filename, came.content_type, content.head(HEAD_BYTES))
                options = batch_options.begun(connection, workflow, format)
                id = await drafts.keep(visit.deps, visit.who, content, filename=came.filename, options=options)
            except (BadInput, TooLarge) as error:
                pasted = next(iter(form.every("pasted")), "")
                return await _form(visit, connection=connection, workflow=workflow, pasted=pasted, error=error)
    return Response(status_code=303, headers={"Location": f"{PATH}/{id}"})


async def listed(visit: Submitting, connection: str | None, path: str) -> dict[str, Any]:
    """Return the connections, the one that is chosen, and its workflows; what is in the way of those is told.

    Args:
        path: of the form, which is there for each connection.
    """
    known = await connections.list_connections(visit.deps, visit.who)
    names = [row["name"] for row in known]
    if visit.who.connection is not None:
        names = [name for name in names if name == visit.who.connection]
    chosen = connection or (names[0] if names else None)
    found: list[dict[str, Any]] = []
    trouble = None
    if chosen is not None:
        try:
            found = await workflow_lists.list_workflows(visit.deps, visit.who, chosen)
        except OrchestratorError as error:
            trouble = error.message
    quick = [(name, f"{path}?{urlencode({'connection': name})}", name == chosen) for name in names]
    return {"connections": names, "connection": chosen, "workflows": found, "trouble": trouble, "quick": quick}


async def _form(
    visit: Submitting,
    *,
    connection: str | None,
    workflow: str | None,
    pasted: str = "",
    error: OrchestratorError | None = None,
) -> Response:
    shown = await listed(visit, connection, PATH)
    return await page(
        visit,
        "batch_new.html",
        title="New batch",
        room="batches",
        status=200 if error is None else 422,
        workflow=workflow,
        pasted=pasted,
        error=error,
        max_bytes=MAX_FILE_BYTES,
        max_rows=MAX_ROWS,
        **shown,
    )
