"""Connections: all of them, one with its last hour, and a workflow of one."""

from __future__ import annotations

import json
from urllib.parse import quote

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.queries import Query
from orchestrator.domain.launch_decisions import OnDoubt
from orchestrator.engine import connection_look, workflows
from orchestrator.web import schema_table
from orchestrator.web.rendering import page
from orchestrator.web.visits import Reading

PATH = "/connections"
ONE = PATH + "/{name}"
WORKFLOW = ONE + "/workflows/{workflow_id}"

#: What an answer to a doubt means, for people.
POLICIES = {
    OnDoubt.HOLD: "hold: a person decides",
    OnDoubt.RELAUNCH: "relaunch: it is sent again, and may act twice",
    OnDoubt.FAIL: "fail: the run ends as an error",
}
assert set(POLICIES) == set(OnDoubt), "every policy needs its words"

router = APIRouter(include_in_schema=False)


def path_of(name: str) -> str:
    """Return the path of a connection's page."""
    return f"{PATH}/{quote(name, safe='')}"


def path_of_workflow(name: str, workflow_id: str) -> str:
    """Return the path of a workflow's page."""
    return f"{path_of(name)}/workflows/{quote(workflow_id, safe='')}"


@router.get(PATH)
async def list_connections(visit: Reading) -> Response:
    """Show every connection: how it does, and what it uses."""
    Query(visit.request.query_params, ())
    found = await connection_look.look_at_connections(visit.deps, visit.who)
    return await page(
        visit,
        "connections.html",
        title="Connections",
        room="connections",
        connections=found,
        providers=visit.deps.providers,
        path_of=path_of,
    )


@router.get(ONE)
async def show_connection(name: str, visit: Reading) -> Response:
    """Show one connection. Asks the provider nothing."""
    Query(visit.request.query_params, ())
    return await page(
        visit,
        "connection.html",
        title=name,
        room="connections",
        found=await connection_look.look_at_connection(visit.deps, visit.who, name),
        workflows=await connection_look.known_workflows(visit.deps, visit.who, name),
        path_of=path_of,
        path_of_workflow=path_of_workflow,
    )


@router.get(WORKFLOW)
async def show_workflow(name: str, workflow_id: str, visit: Reading) -> Response:
    """Show a workflow: its schema as a table, what was learned of it, and our policies for it."""
    Query(visit.request.query_params, ())
    found = await workflows.show_workflow(visit.deps, visit.who, name, workflow_id)
    return await page(
        visit,
        "workflow.html",
        title=found["name"] or workflow_id,
        room="connections",
        found=found,
        fields=schema_table.rows(found["input_schema"]),
        schema_text=json.dumps(found["input_schema"], ensure_ascii=False, indent=2),
        policies=POLICIES,
        there=path_of_workflow(name, workflow_id),
        path_of=path_of,
    )
