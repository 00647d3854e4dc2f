"""Each door in its place below the server's address: what goes wrong there is told in the provider's shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter, FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.errors import OrchestratorError
from orchestrator.telemetry import get_logger

log = get_logger("api")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A provider's API as we speak it.

    Args:
        path: below the server's address, where it stands.
        refused: an error of ours, and the request's id, in the provider's shape.
        unrouted: a status for a path or method that its page does not know, in that shape.
        bug: what is told of a bug of ours.
    """

    path: str
    router: APIRouter
    refused: Callable[[OrchestratorError, str], Response]
    unrouted: Callable[[int, str], Response]
    bug: Callable[[str], Response]


def mount(app: FastAPI, door: Door) -> None:
    """Put a door below the application. What nobody expected goes on to the edge, which knows the door's words."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, OrchestratorError)
        answer = door.refused(error, request.state.request_id)
        if answer.status_code >= 500:
            log.warning("refused", code=error.code, status=answer.status_code, error=error)
        return answer

    async def unrouted(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        answer = door.unrouted(error.status_code, request.state.request_id)
        answer.headers.update(error.headers or {})
        return answer

    told = {OrchestratorError: refused, HTTPException: unrouted}
    app.mount(door.path, ExceptionMiddleware(door.router, handlers=told))
