"""A template, with what every page shows: the rail, who is signed in, what an act came to; with strict headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

from orchestrator import __version__
from orchestrator.api import etags
from orchestrator.api.auth import Call
from orchestrator.domain.error_codes import catalogue
from orchestrator.domain.redaction import is_secret
from orchestrator.domain.statuses import RunStatus
from orchestrator.engine import overview
from orchestrator.engine.who import Who
from orchestrator.telemetry import redact
from orchestrator.web import preferences, wording
from orchestrator.web.assets import ASSETS
from orchestrator.web.forms import Said, take_said
from orchestrator.web.visits import SAFE

TEMPLATES = Path(__file__).parent / "templates"
HTML = "text/html; charset=utf-8"

#: Nothing inline, nothing from elsewhere. Not `no-referrer`: a form's POST would then say `Origin: null`.
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}

#: Told anew with every look, and no news: scripts keep them right.
_AGES = re.compile(r'<span class="age"[^>]*>[^<]*</span>')


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {
        "words": wording,
        "assets": ASSETS.urls,
        "version": __version__,
        "run_statuses": tuple(RunStatus),
        "run_badges": wording.RUN_BADGES,
        "batch_badges": wording.BATCH_BADGES,
        "operation_badges": wording.OPERATION_BADGES,
        "question_badges": wording.QUESTION_BADGES,
        "fire_badges": wording.FIRE_BADGES,
        "schedule_badges": wording.SCHEDULE_BADGES,
    }
    made.globals["code_is_known"] = catalogue.is_known
    made.filters |= {"number": wording.number, "capped": wording.capped, "size": wording.size}
    made.filters |= {"duration": wording.duration, "short_id": wording.short_id}
    made.tests["secret"] = is_secret
    made.filters |= {"spoken": wording.spoken, "person": wording.person, "redacted": redact}
    # Every file of macros is there as `ui.<noun>`, in each template and in each other.
    ui = SimpleNamespace()
    made.globals["ui"] = ui
    for file in sorted((TEMPLATES / "macros").glob("*.html")):
        setattr(ui, file.stem, made.get_template(f"macros/{file.name}").module)
    return made


ENVIRONMENT = _environment()


async def page(visit: Call, template: str, *, title: str, room: str, status: int = 200, **shown: Any) -> Response:
    """Return a page; for its own poll only what lives on it, or 304 where that is as it was.

    Args:
        room: the entry of the rail that it belongs to.
        shown: what the template shows beside what every page does.
    """
    request = visit.request
    asked = await overview.questions(visit.deps, visit.who)
    is_poll = "hx-request" in request.headers
    said = None if is_poll else take_said(request)
    text = render(
        request, template, title=title, room=room, who=visit.who, asked=asked, said=said, now=now(visit), **shown
    )
    if is_poll:
        return _living(request, text, status)
    response = Response(text.encode(), status_code=status, media_type=HTML, headers=dict(HEADERS))
    if said is not None:
        response.delete_cookie(Said.COOKIE, path="/")
    return response


def render(
    request: Request,
    template: str,
    *,
    title: str,
    room: str,
    now: datetime,
    who: Who | None = None,
    asked: int = 0,
    said: Said | None = None,
    **shown: Any,
) -> str:
    """Return a template's text."""
    return ENVIRONMENT.get_template(template).render(
        title=title,
        room=room,
        who=who,
        may=who.scopes if who else frozenset(),
        asked=asked,
        said=said,
        now=now,
        rooms=request.app.state.rooms,
        prefers=preferences.of(request),
        path=request.url.path,
        here=_here(request),
        base_url=(request.app.state.settings.public_url or str(request.base_url)).rstrip("/"),
        layout="living.html" if "hx-request" in request.headers else "layout.html",
        **shown,
    )


def _here(request: Request) -> str:
    """Return where a browser comes back to; what a form showed cannot be asked for, so it is what it lies below."""
    if request.method not in SAFE:
        return request.url.path.rsplit("/", 1)[0] or "/"
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def now(visit: Call) -> datetime:
    """Return the time by which ages are told."""
    return visit.deps.sources.utc_now()


def _living(request: Request, text: str, status: int) -> Response:
    tag = etags.tag(_AGES.sub("", text))
    headers = dict(HEADERS) | {"ETag": tag}
    if status == 200 and etags.is_named(tag, request.headers):
        return Response(status_code=304, headers=headers)
    return Response(text.encode(), status_code=status, media_type=HTML, headers=headers)
