"""In by token, or by a link that `orchestrator up` printed; out; and what this browser prefers."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from orchestrator.api import auth
from orchestrator.api.problems import RequestRefused
from orchestrator.engine import sessions
from orchestrator.engine.deps import Deps
from orchestrator.errors import OrchestratorError, Unauthorized
from orchestrator.web import forms, preferences
from orchestrator.web.rendering import HEADERS, HTML, render
from orchestrator.web.visits import COOKIE, SIGN_IN, keep, own_path, refuse_foreign

SESSION_S = 7 * 86_400

router = APIRouter(include_in_schema=False)


@router.get(SIGN_IN)
async def door(request: Request) -> Response:
    """Show the door. A link's code stands behind the `#`, which a browser sends to nobody; a click posts it."""
    await auth.refuse_tokens_in_url(request)
    return _door(request, back=own_path(request.query_params.get("next", "/")))


@router.post(SIGN_IN)
async def sign_in(request: Request) -> Response:
    """Begin a session with the form's token, or with the code of a link."""
    refuse_foreign(request)
    form = await forms.read(request)
    back = own_path(form.text("next", max_chars=2_000) or "/")
    try:
        once = form.text("code", max_chars=auth.MAX_TOKEN_CHARS)
        secret = await (_by_token(request, form) if once is None else _by_link(request, once))
    except Unauthorized as error:
        return _door(request, back=back, error=error, status=401)
    except RequestRefused as error:
        if error.status != 429:
            raise
        return _door(request, back=back, error=error, status=429)
    response = Response(status_code=303, headers={"Location": back, **HEADERS})
    keep(response, request, COOKIE, secret, max_age_s=SESSION_S)
    return response


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """End the session here and in the database, and let the browser forget what it saw."""
    refuse_foreign(request)
    deps: Deps = request.app.state.deps
    await sessions.end(deps, request.cookies.get(COOKIE, ""), address=auth.address(request))
    response = Response(status_code=303, headers={"Location": SIGN_IN, "Clear-Site-Data": '"cache"'})
    response.delete_cookie(COOKIE, path="/")
    return response


@router.post("/preferences")
async def prefer(request: Request) -> Response:
    """Keep a choice of this browser: it needs no session, since it tells nothing and does nothing."""
    refuse_foreign(request)
    form = await forms.read(request)
    chosen = preferences.of(request)
    for name in preferences.CHOICES:
        value = form.text(name)
        chosen = chosen if value is None else chosen.changed(name, value)
    there = own_path(form.text("back", max_chars=2_000) or "/")
    response = Response(status_code=303, headers={"Location": there})
    keep(response, request, preferences.COOKIE, chosen.stored(), max_age_s=preferences.KEEP_S, strict=False)
    return response


async def _by_token(request: Request, form: forms.Form) -> str:
    token = form.text("token", max_chars=auth.MAX_TOKEN_CHARS) or ""
    await auth.identified(request, token)
    return await sessions.begin(request.app.state.deps, token, address=auth.address(request))


async def _by_link(request: Request, once: str) -> str:
    """Redeem a link's code. Wrong ones count as wrong tokens do."""
    try:
        return await sessions.redeem_link(request.app.state.deps, once, address=auth.address(request))
    except Unauthorized:
        auth.refuse_guessing(request)
        raise


def _door(request: Request, *, back: str, error: OrchestratorError | None = None, status: int = 200) -> Response:
    deps: Deps = request.app.state.deps
    text = render(
        request,
        "sign_in.html",
        title="Sign in",
        room="",
        now=deps.sources.utc_now(),
        back=back,
        error=error,
    )
    return Response(text.encode(), status_code=status, media_type=HTML, headers=dict(HEADERS))
