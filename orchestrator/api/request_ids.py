"""The outermost layer: an id for each request, its log line, security headers, who is let in, and the last catch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import uuid4

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api.hosts import Hosts
from orchestrator.api.problems import RequestRefused, answer, bug
from orchestrator.errors import OrchestratorError, Unavailable
from orchestrator.telemetry import get_logger

HEADER = b"request-id"
MAX_PATH_CHARS = 4_096
MAX_TARGET_BYTES = 8_192
#: Requests whose answer is not sent to its end. Connections without a request cost little, and are not counted.
MAX_UNDER_WAY = 1_000
BUSY_RETRY_S = 5

#: The answers are data, never a page: a browser that is tricked into opening one must not run or frame it. What
#: sets its own (a page, a download) keeps its own.
SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)

#: Asked every few seconds by machines. Never refused for being too many: a busy server is not a dead one.
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})

log = get_logger("api")


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """How the edge itself answers below a path.

    Args:
        refused: an error, and the request's id.
        bug: a bug of ours, by the request's id.
        are_pages: `refused` is for who asks for a page; who does not gets a problem document.
    """

    refused: Callable[[OrchestratorError, str], Response]
    bug: Callable[[str], Response]
    are_pages: bool = False


OURS = Words(refused=answer, bug=bug)


class Edge:
    """Wraps the app. What a client sends as request id is ignored: an id of its choice could forge log lines.

    Args:
        words: by the beginning of a path, the first that fits; where none does, our own documents.
    """

    def __init__(self, app: ASGIApp, *, hosts: Hosts, words: Mapping[str, Words] | None = None) -> None:
        self._app = app
        self._hosts = hosts
        self._words = words or {}
        self._under_way = 0

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
            await self._answered(scope, receive, watched, request_id)
        except Exception:  # a process boundary: one request's bug must not be another's, nor be shown
            log.exception("bug", method=scope["method"], path=scope["path"])
            if not status:
                await self._told(scope).bug(request_id)(scope, receive, watched)
            else:  # half an answer is out; the server closes the connection, so that it is seen to be half
                raise
        finally:
            took_ms = round((time.monotonic() - started) * 1000, 1)
            level = log.debug if scope["path"] in _QUIET else log.info
            level("request", method=scope["method"], path=scope["path"][:200], status=status, took_ms=took_ms)

    async def _answered(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        """Let a request in, or refuse it. It counts until its answer is sent, which of a download takes a while."""
        refusal = self._refusal(scope)
        if refusal is not None:
            words = self._told(scope)
            refused = words.refused if not words.are_pages or _wants_page(scope) else OURS.refused
            await refused(refusal, request_id)(scope, receive, send)
            return
        self._under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= 1

    def _refusal(self, scope: Scope) -> OrchestratorError | None:
        """Say why a request reaches no route; None for one that may."""
        if len(scope["path"]) + len(scope["query_string"]) > MAX_TARGET_BYTES:
            return RequestRefused(414, "the URL is too long", code="url.too_long")
        if not _is_sane(scope["path"]):
            return RequestRefused(404, "no such path", code="not_found")
        if not self._hosts.know(scope["headers"]):
            return RequestRefused(
                400,
                "this server does not answer under the name in the Host header",
                code="host.unknown",
                hint="Use its address, or list the name in ORCH_ALLOWED_HOSTS.",
            )
        if self._under_way >= MAX_UNDER_WAY and scope["path"] not in _QUIET:
            return Unavailable("too many requests are under way", code="busy", retry_after_s=BUSY_RETRY_S)
        return None

    def _told(self, scope: Scope) -> Words:
        return next((words for below, words in self._words.items() if scope["path"].startswith(below)), OURS)


def _wants_page(scope: Scope) -> bool:
    return any(name == b"accept" and b"text/html" in value.lower() for name, value in scope["headers"])


def _is_sane(path: str) -> bool:
    return len(path) <= MAX_PATH_CHARS and path.isprintable()


def _with_ours(headers: list[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    set_already = {name.lower() for name, _ in headers}
    extra = [(name, value) for name, value in SECURITY if name not in set_already]
    return [*headers, *extra, (HEADER, request_id.encode())]
