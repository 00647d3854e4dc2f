"""The outermost layer: an id of our own for each request, its log line, security headers, and the last catch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from uuid import uuid4

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api.hosts import Hosts
from orchestrator.api.problems import bug, document
from orchestrator.telemetry import get_logger

HEADER = b"request-id"
MAX_PATH_CHARS = 4_096
MAX_TARGET_BYTES = 8_192

#: The answers are data, never a page: a browser that is tricked into opening one must not run or frame it. What
#: sets its own (a page, a download) keeps its own.
SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)

#: Asked every few seconds by machines.
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})

log = get_logger("api")


class Edge:
    """Wraps the app. What a client sends as request id is ignored: an id of its choice could forge log lines.

    Args:
        bugs: how a bug is answered below a path, where that is not in our own shape.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: Hosts, bugs: Mapping[str, Callable[[str], Response]] | None = None
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._bugs = bugs or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = str(uuid4())
        scope.setdefault("state", {})["request_id"] = request_id
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._logged(scope, receive, send, request_id)

    async def _logged(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        started = time.monotonic()
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with_ours(message.get("headers", ()), request_id)
            await send(message)

        try:
            refused = self._refused(scope, request_id)
            await (refused or self._app)(scope, receive, watched)
        except Exception:  # a process boundary: one request's bug must not be another's, nor be shown
            log.exception("bug", method=scope["method"], path=scope["path"])
            if not status:
                answer = next((said for below, said in self._bugs.items() if scope["path"].startswith(below)), bug)
                await answer(request_id)(scope, receive, watched)
            else:  # half an answer is out; the server closes the connection, so that it is seen to be half
                raise
        finally:
            took_ms = round((time.monotonic() - started) * 1000, 1)
            level = log.debug if scope["path"] in _QUIET else log.info
            level("request", method=scope["method"], path=scope["path"][:200], status=status, took_ms=took_ms)

    def _refused(self, scope: Scope, request_id: str) -> Response | None:
        """Return the answer to a request that reaches no route, None for one that may."""
        if len(scope["path"]) + len(scope["query_string"]) > MAX_TARGET_BYTES:
            return document(status=414, code="url.too_long", detail="the URL is too long", request_id=request_id)
        if not _is_sane(scope["path"]):
            return document(status=404, code="not_found", detail="no such path", request_id=request_id)
        if not self._hosts.know(scope["headers"]):
            return document(
                status=400,
                code="host.unknown",
                detail="this server does not answer under the name in the Host header",
                hint="Use its address, or list the name in ORCH_ALLOWED_HOSTS.",
                request_id=request_id,
            )
        return None


def _is_sane(path: str) -> bool:
    return len(path) <= MAX_PATH_CHARS and path.isprintable()


def _with_ours(headers: list[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    set_already = {name.lower() for name, _ in headers}
    extra = [(name, value) for name, value in SECURITY if name not in set_already]
    return [*headers, *extra, (HEADER, request_id.encode())]
