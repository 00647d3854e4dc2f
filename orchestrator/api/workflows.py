"""Routes of workflows: what a connection's provider can run, and our own settings for it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.acts import given
from orchestrator.api.answers import everything, shown
from orchestrator.api.auth import Administering, Reading
from orchestrator.api.bodies import Fields
from orchestrator.api.openapi import described, listed, parameter
from orchestrator.api.queries import Query
from orchestrator.engine import workflow_lists, workflows

router = APIRouter(prefix="/workflows", tags=["workflows"])
ONE = "/{workflow_id}"
BY_CONNECTION = parameter("connection", "string", "the connection's name", required=True)


@router.get("", **listed("Workflow", BY_CONNECTION, paged=False))
async def list_workflows(call: Reading) -> Response:
    """List a connection's workflows: the provider's answer, or what we knew before (`stale`) while it is away."""
    connection = Query(call.request.query_params, ("connection",)).needed("connection")
    return everything(call, await workflow_lists.list_workflows(call.deps, call.who, connection))


@router.get(ONE, **described("Workflow", parameters=(BY_CONNECTION,)))
async def show_workflow(workflow_id: str, call: Reading) -> Response:
    """Show a workflow with its input schema and our settings for it."""
    connection = Query(call.request.query_params, ("connection",)).needed("connection")
    return shown(await workflows.show_workflow(call.deps, call.who, connection, workflow_id))


@router.patch(ONE, **described("Workflow", body="WorkflowChanges", parameters=(BY_CONNECTION,)))
async def set_workflow(workflow_id: str, call: Administering) -> Response:
    """Change what is given: what becomes of a doubted launch, and how often executions are looked at."""
    connection = Query(call.request.query_params, ("connection",)).needed("connection")

    def take(fields: Fields) -> dict[str, Any]:
        return {
            "on_doubt": fields.text_or_none("on_doubt"),
            "poll": fields.text_or_none("poll"),
            "reason": fields.prose_or_none("reason"),
        }

    _, changes = await given(call, take)
    return shown(await workflows.set_workflow(call.deps, call.who, connection, workflow_id, **changes))
