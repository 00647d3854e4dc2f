"""Errors as RFC 9457 `application/problem+json`: a stable `code`, a hint for people, no trace, no echo of secrets."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

from orchestrator.errors import (
    BadInput,
    Conflict,
    Forbidden,
    Misconfigured,
    NotFound,
    OrchestratorError,
    Problem,
    ProviderError,
    StoreFull,
    TooLarge,
    Unauthorized,
    Unavailable,
)
from orchestrator.telemetry import get_logger, redact

MEDIA_TYPE = "application/problem+json"
#: A place of a problem document may quote what was sent, but not all of it.
MAX_MESSAGE_CHARS = 2_000
MAX_PROBLEMS = 1_000

#: In order: the first class that fits. JSON that cannot be parsed is a 400, whatever raised it.
_STATUSES: tuple[tuple[type[OrchestratorError], int], ...] = (
    (TooLarge, 413),
    (BadInput, 422),
    (Unauthorized, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (Conflict, 409),
    (Unavailable, 503),
    (StoreFull, 503),
    (Misconfigured, 500),
    (ProviderError, 502),
)

_PARAMETER = re.compile(r"\{[^}]*\}")
_CODES = {404: "not_found", 405: "method_not_allowed"}

log = get_logger("api")


class RequestRefused(OrchestratorError):
    """The request as such is not acceptable: its framing, headers, media type or timing. No verb was called."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        hint: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.status = status
        self.headers = dict(headers or {})


def status_of(error: OrchestratorError) -> int:
    """Return the HTTP status that tells a client what to do about the error."""
    if isinstance(error, RequestRefused):
        return error.status
    if isinstance(error, BadInput) and error.code.startswith("json."):
        return 400
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def answer(error: OrchestratorError, request_id: str) -> Response:
    """Return the problem document of an error."""
    status = status_of(error)
    problems = error.problems if isinstance(error, BadInput) else ()
    return document(
        status=status,
        code=error.code,
        detail=error.message,
        hint=error.hint,
        request_id=request_id,
        problems=problems,
        headers=headers_of(error, status),
        facts=error.facts if isinstance(error, BadInput) else None,
    )


def document(
    *,
    status: int,
    code: str,
    detail: str,
    request_id: str,
    hint: str | None = None,
    problems: tuple[Problem, ...] = (),
    headers: Mapping[str, str] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Response:
    """Return one problem document.

    Args:
        facts: further members.
    """
    body: dict[str, Any] = {
        **(facts or {}),
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": redact(detail)[:MAX_MESSAGE_CHARS],
        "code": code,
        "hint": hint,
        "request_id": request_id,
        "errors": [_place(problem) for problem in problems[:MAX_PROBLEMS]],
    }
    # A message may quote half a surrogate pair of a body that was refused for it; escapes carry that, UTF-8 cannot.
    return Response(json.dumps(body).encode(), status_code=status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def bug(request_id: str) -> Response:
    """Return what a client sees of our own bug: where to look it up, nothing else."""
    return document(
        status=500,
        code="internal",
        detail="this is a bug of ours; what you sent may or may not have been done",
        hint=f"the server's log has the reason, under request_id {request_id}",
        request_id=request_id,
    )


def install(app: FastAPI) -> None:
    """Make the app answer every expected error so; what is not expected is caught further out."""
    app.add_exception_handler(OrchestratorError, _ours)
    app.add_exception_handler(HTTPException, _frameworks)
    app.add_exception_handler(RequestValidationError, _validation)


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, OrchestratorError)
    status = status_of(error)
    if status >= 500:
        log.warning("refused", code=error.code, status=status, error=error)
    return answer(error, request.state.request_id)


async def _frameworks(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return document(
        status=error.status_code,
        code=_CODES.get(error.status_code, "http"),
        detail=f"{request.method} {request.url.path[:200]}: {HTTPStatus(error.status_code).phrase.lower()}",
        hint="the routes are described at /api/v1/openapi.json",
        request_id=request.state.request_id,
        headers=_allowed(request, error) if error.status_code == 405 else error.headers,
    )


def note_routes(app: FastAPI, routers: Iterable[APIRouter], prefix: str) -> None:
    """Let the app know every path and its methods: a route is one method, and knows nothing of its neighbours'."""
    app.state.methods = [
        (compile_path(prefix + route.path)[0], len(_PARAMETER.sub("", route.path)), frozenset(route.methods or ()))
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute)
    ]


def _allowed(request: Request, error: HTTPException) -> Mapping[str, str] | None:
    """Return the header that names every method of a path."""
    matching = [(words, methods) for path, words, methods in request.app.state.methods if path.match(request.url.path)]
    # `/connections/x:pause` is that act, not a connection of this name: the path with the most words of its own.
    most = max((words for words, _ in matching), default=0)
    found = {method for words, methods in matching if words == most for method in methods}
    return {"Allow": ", ".join(sorted(found))} if found else error.headers


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return document(
        status=422,
        code="field.type",
        detail="a part of the request is malformed",
        request_id=request.state.request_id,
        problems=tuple(
            Problem(message=str(e["msg"]), code="field.type", field=".".join(map(str, e["loc"])))
            for e in error.errors()
        ),
    )


def headers_of(error: OrchestratorError, status: int) -> dict[str, str]:
    """Return the headers that go with an error's status."""
    if isinstance(error, RequestRefused):
        return error.headers
    if status == 401:
        return {"WWW-Authenticate": 'Bearer realm="orchestrator"'}
    if status == 503:
        after_s = error.retry_after_s if isinstance(error, Unavailable) else 60.0
        return {"Retry-After": str(max(1, math.ceil(after_s)))}
    return {}


def _place(problem: Problem) -> dict[str, Any]:
    return {
        "row": problem.row,
        "line": problem.line,
        "field": problem.field,
        "code": problem.code,
        "message": redact(problem.message)[:MAX_MESSAGE_CHARS],
    }
