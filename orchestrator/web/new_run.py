"""New run: one input, written by hand beside the workflow's schema."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api import cursors
from orchestrator.api.limits import RUN_BYTES
from orchestrator.api.queries import Query
from orchestrator.engine import workflows
from orchestrator.engine.submit import RunSpec, submit_run
from orchestrator.errors import BadInput, Conflict, OrchestratorError
from orchestrator.web import forms, input_form
from orchestrator.web.new_batch import listed
from orchestrator.web.rendering import page
from orchestrator.web.visits import Submitting

PATH = "/runs/new"

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def begin(visit: Submitting) -> Response:
    """Show the form."""
    query = Query(visit.request.query_params, ("connection", "workflow"))
    shown = {"once": _issue(visit), "input": None, "external_id": None}
    return await _form(visit, query.text("connection"), query.text("workflow"), shown)


@router.post(PATH)
async def submit(visit: Submitting) -> Response:
    """Store the run: under the id that the form came with, so that pressed twice it is one run."""
    form = await forms.read(visit.request, max_bytes=RUN_BYTES * 3)
    connection, workflow = form.needed("connection"), form.needed("workflow")
    once, external_id = form.needed("once"), form.text("external_id", max_chars=200)
    text = next(iter(form.every("input")), "")
    id = cursors.redeem(visit.deps.sealer, _bound(visit), once)
    assert isinstance(id, UUID), "we sealed an id"
    spec = RunSpec(connection=connection, workflow_id=workflow, input=text.encode(), external_id=external_id, id=id)
    try:
        done = await submit_run(visit.deps, visit.who, spec)
    except (BadInput, Conflict) as error:
        shown = {"once": once, "input": text, "external_id": external_id}
        return await _form(visit, connection, workflow, shown, error=error)
    said = "Submitted: it is stored, and is launched as soon as it may be."
    if not done.created:
        said = "This external id and input came before: this is it."
    return forms.done(visit.request, f"/runs/{done.id}", said)


async def _form(
    visit: Submitting,
    connection: str | None,
    workflow: str | None,
    shown: dict[str, Any],
    *,
    error: OrchestratorError | None = None,
) -> Response:
    known = await listed(visit, connection, PATH)
    flow = None
    if workflow is not None and known["connection"] is not None:
        flow = await workflows.show_workflow(visit.deps, visit.who, known["connection"], workflow)
    schema = flow["input_schema"] if flow else None
    shown["input"] = input_form.beginning(schema) if shown["input"] is None else shown["input"]
    return await page(
        visit,
        "run_new.html",
        title="New run",
        room="runs",
        status=200 if error is None else 422,
        flow=flow,
        fields=input_form.fields(schema),
        error=error,
        problems=error.problems if isinstance(error, BadInput) else (),
        **known,
        **shown,
    )


def _issue(visit: Submitting) -> str:
    """Return a new id, sealed: an id says when it was made, so nobody may bring one of their own."""
    return cursors.issue(visit.deps.sealer, _bound(visit), visit.deps.sources.new_id())


def _bound(visit: Submitting) -> tuple[str, ...]:
    return (PATH, str(visit.who.workspace_id), visit.who.actor)
