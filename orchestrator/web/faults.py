"""Errors as pages: what happened, what to do, the code, and the request's id. The API's own stay as they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.api.app import MACHINE_PATHS
from orchestrator.api.problems import headers_of, status_of
from orchestrator.domain.error_codes.catalogue import found as catalogued
from orchestrator.domain.error_codes.entry import REPEAT_WORDS, Entry
from orchestrator.errors import BadInput, NotFound, OrchestratorError
from orchestrator.runtime import system_sources
from orchestrator.telemetry import get_logger, redact
from orchestrator.web.rendering import HEADERS, HTML, render
from orchestrator.web.visits import COOKIE, SAFE, SignInFirst, came_from, is_page, own_path, to_sign_in
from orchestrator.web.wording import spoken

MOST_PROBLEMS = 50

#: What a person reads first.
_TITLES = {
    400: "This cannot be read",
    401: "Sign in first",
    403: "Not allowed",
    404: "There is nothing here",
    405: "This is not done here",
    409: "It could not be done",
    413: "That is too much",
    414: "That is too much",
    422: "Something is not right yet",
    429: "Too many tries",
    503: "Not available just now",
}

Handler = Callable[[Request, Exception], Awaitable[Response]]

log = get_logger("web")


def install(app: FastAPI) -> None:
    """Answer errors outside the paths of programs as pages."""
    for kind in (OrchestratorError, HTTPException):
        app.add_exception_handler(kind, _either(cast(Handler, app.exception_handlers[kind])))


def _either(machines: Handler) -> Handler:
    async def answer(request: Request, error: Exception) -> Response:
        if request.url.path.startswith(MACHINE_PATHS):
            return await machines(request, error)
        if isinstance(error, SignInFirst):
            return to_sign_in(request, error.back)
        return fault(request, _ours(request, error))

    return answer


def _ours(request: Request, error: Exception) -> OrchestratorError:
    if isinstance(error, OrchestratorError):
        return error
    assert isinstance(error, HTTPException)
    path = request.url.path[:200]
    if error.status_code == 405:
        return _NotDoneHere(f"{path} does not take {request.method}")
    return NotFound(f"there is no page {path}", hint="the overview leads everywhere")


class _NotDoneHere(OrchestratorError):
    """A path that is there, asked in a way that it does not take."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="method_not_allowed")


def fault(request: Request, error: OrchestratorError) -> Response:
    """Return the page of an error."""
    status = 405 if isinstance(error, _NotDoneHere) else status_of(error)
    if status >= 500:
        log.warning("refused", code=error.code, status=status, error=error)
    entry = _entry(error)
    return _page(
        request,
        status,
        code=error.code,
        message=redact(error.message),
        hint=error.hint,
        cure=entry.cure if entry else None,
        repeat=REPEAT_WORDS[entry.repeat] if entry else None,
        problems=error.problems[:MOST_PROBLEMS] if isinstance(error, BadInput) else (),
        headers={k: v for k, v in headers_of(error, status).items() if k != "WWW-Authenticate"},
    )


def bug_page(request_id: str) -> Response:
    """Return the page of our own bug. It is made of nothing that could have a bug too."""
    return _bare(
        500,
        "A bug of ours",
        "What you sent may or may not have been done: look before you send it again.",
        Markup("The server's log has the reason, under request id <code>{}</code>.").format(request_id),
        Markup('<a href="/">Overview</a>'),
    )


def refused_page(error: OrchestratorError, request_id: str) -> Response:
    """Return the page of a request that was not let in. It asks for no styles: they would be refused alike."""
    status = status_of(error)
    entry = _entry(error)
    return _bare(
        status,
        _title(status),
        redact(error.message),
        error.hint or (spoken(entry.cure) if entry else ""),
        f"Safe to repeat? {REPEAT_WORDS[entry.repeat]}." if entry else "",
        Markup("<code>{}</code>, request id <code>{}</code>").format(error.code, request_id),
        headers=headers_of(error, status),
    )


def _bare(status: int, title: str, *said: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a page without a template; what is not markup is escaped."""
    head = Markup('<!doctype html><html lang="en"><meta charset="utf-8"><title>{0}</title><h1>{0}</h1>').format(title)
    text = head + Markup().join(Markup("<p>{}</p>").format(one) for one in said if one)
    return Response(text.encode(), status_code=status, media_type=HTML, headers={**HEADERS, **(headers or {})})


def _entry(error: OrchestratorError) -> Entry | None:
    return next((entry for _, entry in catalogued(error.code)), None)


def _title(status: int) -> str:
    return _TITLES.get(status, HTTPStatus(status).phrase)


def _page(request: Request, status: int, *, headers: dict[str, str], **shown: Any) -> Response:
    text = render(
        request,
        "fault.html",
        title=_title(status),
        room="",
        now=system_sources().utc_now(),
        status=status,
        request_id=request.state.request_id,
        is_signed_in=COOKIE in request.cookies,
        back=_back(request),
        **shown,
    )
    return Response(text.encode(), status_code=status, media_type=HTML, headers={**HEADERS, **headers})


def _back(request: Request) -> str:
    """Return the page of ours where whoever meets an error was; without one, that of what an act was done to."""
    came = came_from(request)
    query = f"?{request.url.query}" if request.url.query else ""
    if came is not None and came != request.url.path + query and is_page(request, came):
        return came
    path = "" if request.method in SAFE else request.url.path
    while path := path.rpartition("/")[0]:
        if is_page(request, path):
            return own_path(path)
    return "/"
