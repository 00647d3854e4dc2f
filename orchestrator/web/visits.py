"""Who looks at a page: the session behind a cookie, what its token may, and that a POST came from a page of ours."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote, urlsplit

from fastapi import Depends, Request
from starlette.responses import Response
from starlette.routing import Match

from orchestrator.api.app import MACHINE_PATHS
from orchestrator.api.auth import Call, Scope, refuse_tokens_in_url, scope_missing
from orchestrator.api.problems import RequestRefused
from orchestrator.engine import sessions
from orchestrator.engine.deps import Deps
from orchestrator.errors import OrchestratorError

COOKIE = "orch_session"
SIGN_IN = "/sign-in"
SAFE = frozenset({"GET", "HEAD"})
MAX_PATH_CHARS = 2_000


class SignInFirst(OrchestratorError):
    """Nobody is signed in here. Not a fault: the browser is sent to the door."""

    def __init__(self, back: str) -> None:
        super().__init__("sign in first", code="unauthorized")
        self.back = back


class Visits:
    """Gives the visit to a page's handler, if somebody is signed in whose token has the scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> Call:
        await refuse_tokens_in_url(request)
        refuse_foreign(request)
        deps: Deps = request.app.state.deps
        who = await sessions.resume(deps, request.cookies.get(COOKIE, ""))
        if who is None:
            raise SignInFirst(asked_for(request))
        if self.scope not in who.scopes:
            raise scope_missing("the token that you signed in with", who, self.scope)
        return Call(request=request, deps=deps, who=who)


Reading = Annotated[Call, Depends(Visits(Scope.READ))]
Submitting = Annotated[Call, Depends(Visits(Scope.SUBMIT))]
Operating = Annotated[Call, Depends(Visits(Scope.OPERATE))]
Approving = Annotated[Call, Depends(Visits(Scope.APPROVE))]
Administering = Annotated[Call, Depends(Visits(Scope.ADMIN))]


def refuse_foreign(request: Request) -> None:
    """Refuse an act that another site's page sent: a browser says where a POST comes from, in one of two headers.

    Raises:
        RequestRefused: 403; it came from elsewhere, or says nothing of where from.
    """
    if request.method in SAFE:
        return
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if (site is None or site == "same-origin") and _is_own(request, origin, needed=site is None):
        return
    raise RequestRefused(
        403,
        "this did not come from a page of this server, so nothing was done",
        code="origin.foreign",
        hint="Open the page here and press the button again.",
    )


def _is_own(request: Request, origin: str | None, *, needed: bool) -> bool:
    if origin is None:
        return not needed
    public = request.app.state.deps.settings.public_url
    own = {request.headers.get("host", "").lower()} | ({urlsplit(public).netloc.lower()} if public else set())
    try:
        return urlsplit(origin).netloc.lower() in own
    except ValueError:  # no URL at all, so nobody's
        return False


def asked_for(request: Request) -> str:
    """Return the path that a browser asked for, to come back to; the first page for what is no page."""
    if request.method not in SAFE:
        return "/"
    query = f"?{request.url.query}" if request.url.query else ""
    return own_path(request.url.path + query)


def own_path(path: str) -> str:
    """Return a path of this server; what may lead elsewhere becomes the first page."""
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_ours and "\\" not in path and len(path) <= MAX_PATH_CHARS else "/"


def came_from(request: Request) -> str | None:
    """Return the path on this server that a browser says it comes from; None for another site's, or none.

    Anybody can send any `Referer`: only its path and query are kept, so what is made of it stays here.
    """
    try:
        referer = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return None
    if referer.scheme not in ("http", "https") or not _is_own(request, referer.geturl(), needed=True):
        return None
    path = referer.path + (f"?{referer.query}" if referer.query else "")
    return path if own_path(path) == path else None


def is_page(request: Request, path: str) -> bool:
    """Tell whether a page answers at a path: nothing that only programs ask, the door, or what a form alone gets."""
    path = path.partition("?")[0]
    if path.startswith(MACHINE_PATHS) or path == SIGN_IN:
        return False
    asked = {**request.scope, "method": "GET", "path": path, "raw_path": path.encode()}
    met = (route.matches(asked)[0] for route in request.app.routes)
    return next((match for match in met if match is not Match.NONE), Match.NONE) is Match.FULL


def to_sign_in(request: Request, back: str) -> Response:
    """Send a browser to the door; a page's own poll is told to go there as a whole."""
    there = SIGN_IN if back == "/" else f"{SIGN_IN}?next={quote(back, safe='')}"
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"HX-Redirect": there})
    return Response(status_code=303, headers={"Location": there})


def is_secure(request: Request) -> bool:
    """Tell whether the browser speaks TLS with us, or with what stands before us."""
    public = request.app.state.deps.settings.public_url or ""
    return request.url.scheme == "https" or public.startswith("https:")


def keep(response: Response, request: Request, name: str, value: str, *, max_age_s: int, strict: bool = True) -> None:
    """Set a cookie that scripts cannot read, and that other sites' pages do not send."""
    response.set_cookie(
        name,
        value,
        max_age=max_age_s,
        path="/",
        httponly=True,
        secure=is_secure(request),
        samesite="strict" if strict else "lax",
    )
