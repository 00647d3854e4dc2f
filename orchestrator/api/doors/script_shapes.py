"""What the Script door answers: the shapes of the Script API's page, and `{"error": "message"}`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from uuid import UUID

from starlette.responses import Response

from orchestrator.api.answers import JSON, View
from orchestrator.api.problems import headers_of, status_of
from orchestrator.domain.doors import ScriptStatus, script_status
from orchestrator.domain.statuses import RunStatus
from orchestrator.engine.result_links import Link
from orchestrator.errors import BadInput, NotFound, OrchestratorError, Problem, Unauthorized
from orchestrator.telemetry import redact

MAX_MESSAGE_CHARS = 2_000
MAX_LISTED = 10

#: The page's own words, where it has some.
_WORDS: Mapping[str, str] = {
    "workflow_not_found": "Workflow not found",
    "execution_not_found": "Execution not found",
}

#: Nothing was stored for certain: what the page calls "slow down". Any other trouble may have come after the commit,
#: and is a 500.
_COME_AGAIN = frozenset({"schema_unavailable", "budget_used", "busy", "list_interrupted", "idempotency.in_progress"})

#: By our status; the page knows no other codes.
_STATUSES: Mapping[int, int] = {403: 401, 409: 400, 413: 400, 415: 400, 422: 400, 502: 500, 503: 500}


def workflow_summary(view: View) -> View:
    """Return a workflow as it stands in the list."""
    return {name: view[name] for name in ("id", "name", "created_at", "updated_at")}


def workflow(view: View) -> View:
    """Return a workflow with its input schema."""
    fields = ("id", "name", "description", "created_at", "updated_at", "input_schema")
    return {name: view[name] for name in fields}


def launched(view: View) -> View:
    """Return what a launch is answered with: it is accepted, and has not begun."""
    return {
        "execution_id": view["id"],
        "workflow_id": view["workflow_id"],
        "status": ScriptStatus.INITIAL,
        "created_at": view["created_at"],
    }


def batch_launched(workflow_id: str, run_ids: Sequence[UUID]) -> View:
    """Return what a batch launch is answered with: an execution for each item, by its index."""
    executions = [{"execution_id": str(id), "index": index} for index, id in enumerate(run_ids)]
    return {"workflow_id": workflow_id, "total": len(executions), "executions": executions}


def execution(view: View, links: Sequence[Link], absolute: Mapping[str, str]) -> View:
    """Return an execution; `results` is null until it has finished.

    Args:
        absolute: the URL of each link's path.
    """
    status = script_status(RunStatus(view["status"]))
    results = [{"filename": link.filename, "url": absolute[link.path]} for link in links]
    return {
        "id": view["id"],
        "workflow_id": view["workflow_id"],
        "status": status,
        "created_at": view["created_at"],
        "results": results if status is ScriptStatus.FINISHED else None,
    }


def refused(error: OrchestratorError, _: str) -> Response:
    """Return an error of ours as the Script API would tell it."""
    status = status_of(error)
    told = 429 if error.code in _COME_AGAIN else _STATUSES.get(status, status)
    headers = headers_of(error, status)
    headers.pop("WWW-Authenticate", None)  # it names another scheme
    return said(told, _message(error), headers=headers)


def unrouted(status: int, _: str) -> Response:
    """Return what a path or a method is told that the page does not have."""
    return said(status, "Method not allowed" if status == 405 else "Not found")


def bug(request_id: str) -> Response:
    """Return what a client sees of our own bug."""
    return said(500, f"Server error; the server's log has the reason, under request_id {request_id}")


def said(status: int, message: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """Return a message in the page's shape. Half a surrogate pair in it goes as an escape."""
    body = json.dumps({"error": redact(message)[:MAX_MESSAGE_CHARS]}).encode()
    return Response(body, status_code=status, headers=dict(headers or {}), media_type=JSON)


def _message(error: OrchestratorError) -> str:
    if isinstance(error, NotFound):
        return _WORDS.get(error.code, error.message)
    if isinstance(error, BadInput) and error.problems:
        listed = [_place(problem) for problem in error.problems[:MAX_LISTED]]
        more = len(error.problems) - len(listed)
        return "; ".join(listed) + (f" (and {more} more)" if more else "")
    if isinstance(error, Unauthorized) and error.code == Unauthorized.code:
        return f"Unauthorized: {error.message.removeprefix('Unauthorized: ')}"
    return error.message if error.hint is None else f"{error.message} ({error.hint})"


def _place(problem: Problem) -> str:
    """Return a problem with its place as a client of this API counts: items from 0."""
    item = "" if problem.row is None else f"items[{problem.row - 1}]"
    place = f"{item} {problem.field or ''}".strip()
    return f"{place}: {problem.message}" if place else problem.message
