"""The Script door: the Script workflows API, word for word, in front of the connection that the token is bound to.

It accepts at once and queues past rate and slots; an execution's id is our run's, its results are files of our store.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api import limits
from orchestrator.api.answers import Answer, shown
from orchestrator.api.auth import Call
from orchestrator.api.bodies import member_bytes, read_object
from orchestrator.api.doors import script_shapes as shapes
from orchestrator.api.doors.callers import KeyReading, KeySubmitting, connection_of
from orchestrator.api.doors.mounts import Door
from orchestrator.api.doors.results import absolute
from orchestrator.api.idempotency import stored_once
from orchestrator.engine import reading, result_links, submit, workflow_lists, workflows
from orchestrator.engine.submit import BatchSpec, RunSpec
from orchestrator.errors import BadInput, NotFound

MAX_BODY_BYTES = 4 * limits.MIB
MAX_ITEMS = 10_000
MAX_PAGE = 100
MAX_CURSOR_CHARS = 2_000
LEVELS = ("low", "medium", "high")
#: The page names no default; this one is the product's.
DEFAULT_LEVEL = "medium"

router = APIRouter(prefix="/api/v1/workflows", redirect_slashes=False)
ONE = "/{workflow_id}"
EXECUTIONS = ONE + "/executions"


@router.get("")
async def list_workflows(call: KeyReading) -> Response:
    """List the connection's workflows, page by page as its provider does."""
    query = call.request.query_params
    cursor = query.get("cursor")
    if cursor is not None and not 0 < len(cursor) <= MAX_CURSOR_CHARS:
        raise BadInput("invalid cursor", code="cursor.invalid")
    views, following = await workflow_lists.page_of_workflows(
        call.deps, call.who, connection_of(call), cursor=cursor, limit=_limit(query.get("limit"))
    )
    return shown({"data": [shapes.workflow_summary(view) for view in views], "cursor": following})


@router.get(ONE)
async def show_workflow(workflow_id: str, call: KeyReading) -> Response:
    """Show a workflow with its input schema."""
    view = await workflows.show_workflow(call.deps, call.who, connection_of(call), workflow_id)
    return shown(shapes.workflow(view))


@router.post(EXECUTIONS)
async def run_workflow(workflow_id: str, call: KeySubmitting) -> Response:
    """Store one run. A repeat under the same Idempotency-Key, which the page does not know, is one run."""
    async with _turn(call):
        content, given = await _body(call)
        if not isinstance(given.get("input"), dict):
            raise BadInput("input must be an object" if "input" in given else "input is required")
        input_ = member_bytes(content, "input")
        spec = RunSpec(connection=connection_of(call), workflow_id=workflow_id, input=input_)

        async def store(id: UUID | None) -> Answer:
            stored = await submit.submit_run(call.deps, call.who, replace(spec, id=id))
            return Answer(view=shapes.launched(await reading.get_run(call.deps, call.who, stored.id)))

        return await stored_once(call, content, store)


@router.post(EXECUTIONS + "/batch")
async def run_batch(workflow_id: str, call: KeySubmitting) -> Response:
    """Store a batch: every item as a run, all or nothing."""
    async with _turn(call):
        content, given = await _body(call)
        spec = _batch(given, connection_of(call), workflow_id)
        items = await asyncio.to_thread(member_bytes, content, "items")

        async def store(id: UUID | None) -> Answer:
            done = await submit.submit_batch(call.deps, call.who, replace(spec, id=id), items)
            assert done.id is not None, "it was no dry run"
            ids = await reading.batch_run_ids(call.deps, call.who, done.id)
            return Answer(view=shapes.batch_launched(workflow_id, ids))

        return await stored_once(call, content, store)


@router.get(EXECUTIONS + "/{execution_id}")
async def show_execution(workflow_id: str, execution_id: str, call: KeyReading) -> Response:
    """Show an execution, and when it has finished its results, each time with fresh URLs."""
    run = await _run(call, workflow_id, execution_id)
    links = (await result_links.links(call.deps, call.who, [run])).get(run["id"], [])
    urls = {link.path: absolute(call.request, call.deps.settings, link.path) for link in links}
    return shown(shapes.execution(run, links, urls))


async def _run(call: Call, workflow_id: str, execution_id: str) -> dict[str, Any]:
    """Return the view of a run of this workflow, at the connection of the caller's key."""
    unknown = NotFound("there is no such execution", code="execution_not_found")
    try:
        run_id = UUID(execution_id)
    except ValueError:
        raise unknown from None
    try:
        run = await reading.get_run(call.deps, call.who, run_id)
    except NotFound:
        raise unknown from None
    if (run["connection"], run["workflow_id"]) != (connection_of(call), workflow_id):
        raise unknown
    return run


def _turn(call: Call) -> Any:
    return call.request.app.state.large_bodies if limits.is_large(call.request) else nullcontext()


async def _body(call: Call) -> tuple[bytes, dict[str, Any]]:
    """Return the body as it came, and as the object that it spells."""
    content = await limits.read_body(call.request, max_bytes=MAX_BODY_BYTES)
    # Half a second of work for a body of megabytes; other requests are answered meanwhile.
    return content, await asyncio.to_thread(read_object, content, max_bytes=MAX_BODY_BYTES)


def _batch(given: dict[str, Any], connection: str, workflow_id: str) -> BatchSpec:
    items, level = given.get("items"), given.get("concurrency", DEFAULT_LEVEL)
    if not isinstance(items, list) or not items:
        raise BadInput("items must be a non-empty array")
    if len(items) > MAX_ITEMS:
        raise BadInput(f"items must not hold more than {MAX_ITEMS} items")
    if level not in LEVELS:
        raise BadInput(f"concurrency must be one of {', '.join(LEVELS)}")
    return BatchSpec(connection=connection, workflow_id=workflow_id, format="json", concurrency=level)


def _limit(text: str | None) -> int:
    """Return the page size; more than the page's maximum is the maximum."""
    if text is None:
        return MAX_PAGE
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) >= 1):
        raise BadInput("limit must be a positive integer")
    return min(int(text), MAX_PAGE)


DOOR = Door(path="/script", router=router, refused=shapes.refused, unrouted=shapes.unrouted, bug=shapes.bug)
