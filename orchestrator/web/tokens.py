"""Tokens: who may call, since when and until when. A secret is shown in one answer, and never again."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.queries import Query
from orchestrator.engine import connections, tokens
from orchestrator.engine.who import SCOPES
from orchestrator.web import forms
from orchestrator.web.rendering import now, page
from orchestrator.web.visits import Administering

PATH = "/tokens"

#: What each scope lets its holder do.
MEANINGS = {
    "read": "see everything but tokens",
    "submit": "submit runs and batches",
    "operate": "retry, cancel, pause, test",
    "approve": "settle doubts and questions",
    "admin": "connections, keys, tokens, settings",
}
assert set(MEANINGS) == set(SCOPES), "every scope needs its words"

MOST_DAYS = 3_650

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def list_tokens(visit: Administering) -> Response:
    """Show every token, those that are good first."""
    Query(visit.request.query_params, ())
    found = await tokens.list_tokens(visit.deps, visit.who)
    at = now(visit).isoformat()
    good = [t for t in found if t["revoked_at"] is None and (t["expires_at"] is None or t["expires_at"] > at)]
    return await page(
        visit,
        "tokens.html",
        title="Tokens",
        room="system",
        good=good,
        gone=[t for t in found if t not in good],
        scopes=MEANINGS,
        connections=[c["name"] for c in await connections.list_connections(visit.deps, visit.who)],
    )


@router.post(PATH)
async def create(visit: Administering) -> Response:
    """Make a token. This answer alone shows its secret, so it is no redirect."""
    form = await forms.read(visit.request)
    days = form.whole("days", least=1, most=MOST_DAYS)
    secret, made = await tokens.create_token(
        visit.deps,
        visit.who.workspace_id,
        form.needed("name", max_chars=100),
        scopes=form.every("scope") or None,
        expires_at=None if days is None else now(visit) + timedelta(days=days),
        is_test=form.ticked("test"),
        connection=form.text("connection"),
        actor=visit.who.actor,
    )
    return await page(
        visit,
        "secret.html",
        title="A new token",
        room="system",
        secret=secret,
        what=f"the token {made['name']}",
        command="export ORCH_TOKEN=…",
        back=PATH,
    )


@router.post(PATH + "/revoke")
async def revoke(visit: Administering) -> Response:
    """Make a token useless at once."""
    form = await forms.read(visit.request)
    await tokens.revoke_token(visit.deps, visit.who, form.id("token"), reason=form.reason())
    return forms.done(visit.request, PATH, "Revoked: whoever holds it is refused from now on, and signed out here.")
