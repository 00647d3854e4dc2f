"""What the Scripe door answers: jobs, pages of them, and errors with code, message, request_id and docs_url."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from starlette.responses import Response

from orchestrator.api.answers import JSON, View
from orchestrator.api.doors.job_queries import BAD_PAGINATION, INVALID
from orchestrator.api.problems import headers_of, status_of
from orchestrator.domain.doors import JobStatus, job_status, job_type
from orchestrator.domain.statuses import RunStatus
from orchestrator.engine.result_links import Link
from orchestrator.errors import BadInput, Conflict, OrchestratorError
from orchestrator.telemetry import redact

DOCS_URL = "https://apidocs.scripe.io"
MAX_MESSAGE_CHARS = 2_000

VERSION_UNSUPPORTED = "version_unsupported"
NOT_CANCELLABLE = "not_cancellable"
KEY_CONFLICT = "idempotency_key_conflict"

#: By our status: the page's status and code. What is not here has the code of its family.
_CODES: Mapping[int, tuple[int, str]] = {
    401: (401, "unauthorized"),
    403: (403, "forbidden"),
    404: (404, "not_found"),
    405: (405, "method_not_allowed"),
    409: (409, "conflict"),
    413: (413, "payload_too_large"),
    502: (503, "unavailable"),
    503: (503, "unavailable"),
}
_OWN = frozenset({BAD_PAGINATION, INVALID, VERSION_UNSUPPORTED, NOT_CANCELLABLE})


def job(run: View, links: Sequence[Link], absolute: Mapping[str, str], *, now: datetime) -> View:
    """Return a run as a job.

    Args:
        absolute: the URL of each link's path.
    """
    status = job_status(RunStatus(run["status"]))
    has_failed = status is JobStatus.FAILED
    error = run["error"] or {"code": run["status"], "message": None}
    return {
        "id": run["id"],
        "type": job_type(run["provider"], run["workflow_id"]),
        "status": status,
        "projectId": None,
        "startedAt": run["launched_at"],
        "completedAt": run["finished_at"],
        "progress": _progress(run),
        "result": {"files": [_file(link, absolute) for link in links]} if status is JobStatus.DONE else None,
        "errorCode": error["code"] if has_failed else None,
        "errorMessage": (error["message"] or error["code"]) if has_failed else None,
        "attemptCount": run["attempts"],
        "estimatedCompletionMs": _left_ms(run, now),
        "createdAt": run["created_at"],
        "updatedAt": run["updated_at"],
    }


def _progress(run: View) -> View | None:
    """Return how far a run's own provider says it is, in the page's words; None where it says no share of it."""
    told = run["progress"]
    if told is None or told["fraction"] is None:
        return None
    return {"progress": told["fraction"], "updatedAt": run["last_look_at"], "message": told["message"] or ""}


def _left_ms(run: View, now: datetime) -> int | None:
    ends_at = (run["progress"] or {}).get("estimated_completion_at")
    if ends_at is None:
        return None
    return max(0, round((datetime.fromisoformat(ends_at) - now).total_seconds() * 1000))


def _file(link: Link, absolute: Mapping[str, str]) -> View:
    facts: dict[str, Any] = {"filename": link.filename, "sizeBytes": link.size_bytes, "sha256": link.sha256}
    return {**facts, "url": absolute[link.path]}


def refused(error: OrchestratorError, request_id: str) -> Response:
    """Return an error of ours as the Scripe API would tell it."""
    status, code = _status_and_code(error)
    return said(status, code, error.message, request_id, headers=headers_of(error, status_of(error)))


def unrouted(status: int, request_id: str) -> Response:
    """Return what a path or a method is told that the page does not have."""
    status, code = _CODES.get(status, (status, INVALID))
    return said(status, code, "there is no such path or method here", request_id)


def bug(request_id: str) -> Response:
    """Return what a client sees of our own bug."""
    return said(500, "internal_error", "this is a bug; the server's log has the reason", request_id)


def said(
    status: int, code: str, message: str, request_id: str, *, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an error in the page's shape."""
    error = {
        "code": code,
        "message": redact(message)[:MAX_MESSAGE_CHARS],
        "request_id": request_id,
        "docs_url": DOCS_URL,
    }
    return Response(
        json.dumps({"error": error}).encode(), status_code=status, headers=dict(headers or {}), media_type=JSON
    )


def _status_and_code(error: OrchestratorError) -> tuple[int, str]:
    if error.code.startswith("idempotency."):
        return 409, KEY_CONFLICT
    if error.code == "cursor.invalid":
        return 400, BAD_PAGINATION
    if isinstance(error, BadInput | Conflict) and error.code in _OWN:
        return (409 if isinstance(error, Conflict) else 400), error.code
    status = status_of(error)
    if status in _CODES:
        return _CODES[status]
    return (400, INVALID) if status < 500 else (500, "internal_error")
