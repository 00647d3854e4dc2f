"""Webhooks: who of your own programs is told what happens, how that came through, and what people do with them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api import cursors
from orchestrator.api.auth import Call
from orchestrator.api.queries import Query
from orchestrator.api.webhooks import MAX_URL_CHARS
from orchestrator.domain.webhooks import PATTERNS, DeliveryState
from orchestrator.engine import webhooks
from orchestrator.errors import BadInput
from orchestrator.web import forms
from orchestrator.web.rendering import page
from orchestrator.web.visits import Administering, Reading

PATH = "/webhooks"
ONE = PATH + "/{name}"

#: Deliveries of a page: each comes with its message and its tries.
DELIVERIES = 25

router = APIRouter(include_in_schema=False)


def path_of(name: str) -> str:
    """Return the path of a webhook's page."""
    return f"{PATH}/{quote(name, safe='')}"


@router.get(PATH)
async def list_webhooks(visit: Reading) -> Response:
    """Show every webhook."""
    Query(visit.request.query_params, ())
    found = await webhooks.list_webhooks(visit.deps, visit.who)
    return await page(
        visit, "webhooks.html", title="Webhooks", room="system", webhooks=found, patterns=PATTERNS, path_of=path_of
    )


@router.get(ONE)
async def show_webhook(name: str, visit: Reading) -> Response:
    """Show a webhook and what it was told."""
    query = Query(visit.request.query_params, ("state", "limit", "cursor"))
    states = query.among("state", DeliveryState)
    found = await webhooks.show_webhook(visit.deps, visit.who, name)
    deliveries, following = await webhooks.list_deliveries(
        visit.deps,
        visit.who,
        name,
        states=states or None,
        before=query.after(visit),
        limit=query.limit() if "limit" in visit.request.query_params else DELIVERIES,
    )
    cursor = None if following is None else cursors.issue(visit.deps.sealer, query.bound_to(visit), following)
    kept = [("state", ",".join(states))] if states else []
    path = path_of(name)
    return await page(
        visit,
        "webhook.html",
        title=name,
        room="system",
        found=found,
        deliveries=deliveries,
        there=path,
        shown_json=_shown_json,
        quick=[
            ("All", path, not states),
            *((str(s).capitalize(), f"{path}?state={s}", states == (str(s),)) for s in DeliveryState),
        ],
        next_page=None if cursor is None else f"{path}?{urlencode([*kept, ('cursor', cursor)])}",
        first_page=f"{path}?{urlencode(kept)}" if kept else path,
        is_first="cursor" not in visit.request.query_params,
    )


@router.post(PATH)
async def add(visit: Administering) -> Response:
    """Add a webhook. This answer alone shows its secret."""
    form = await forms.read(visit.request)
    secret, made = await webhooks.add_webhook(
        visit.deps,
        visit.who,
        name=form.needed("name"),
        url=form.needed("url", max_chars=MAX_URL_CHARS),
        types=form.every("events"),
        reason=form.reason(),
    )
    return await _secret(visit, secret, made["name"], "A new webhook")


@router.post(ONE + "/test")
async def test(name: str, visit: Administering) -> Response:
    """Send one test message now."""
    await forms.read(visit.request)
    came = await webhooks.test_webhook(visit.deps, visit.who, name)
    if came["ok"]:
        return forms.done(visit.request, path_of(name), f"It answered {came['status']} after {came['took_s']:.1f} s.")
    return forms.done(visit.request, path_of(name), f"The test did not come through: {came['error']}", tone="bad")


@router.post(ONE + "/set")
async def change(name: str, visit: Administering) -> Response:
    """Enable it, or disable it."""
    form = await forms.read(visit.request)
    enabled = form.needed("enabled")
    if enabled not in ("yes", "no"):
        raise BadInput("enabled is yes or no", code="field.value")
    await webhooks.set_webhook(visit.deps, visit.who, name, enabled=enabled == "yes", reason=form.reason())
    text = "Enabled: it is told what waited." if enabled == "yes" else "Disabled: nothing is told to it."
    return forms.done(visit.request, path_of(name), text)


@router.post(ONE + "/rotate")
async def rotate(name: str, visit: Administering) -> Response:
    """Make another secret. The old one signs beside it for a while."""
    form = await forms.read(visit.request)
    hours = form.whole("overlap_hours", least=0, most=webhooks.MOST_OVERLAP_HOURS)
    secret, _ = await webhooks.rotate_secret(
        visit.deps, visit.who, name, overlap_hours=24 if hours is None else hours, reason=form.reason()
    )
    return await _secret(visit, secret, name, "A new secret")


@router.post(ONE + "/remove")
async def remove(name: str, visit: Administering) -> Response:
    """Remove it, and what waits for it."""
    form = await forms.read(visit.request)
    await webhooks.remove_webhook(visit.deps, visit.who, name, reason=form.reason())
    return forms.done(visit.request, PATH, f"{name} is removed. It is told nothing more.")


@router.post(ONE + "/resend")
async def resend(name: str, visit: Administering) -> Response:
    """Send a message once more, now."""
    form = await forms.read(visit.request)
    delivery = form.id("delivery")
    await webhooks.resend(visit.deps, visit.who, name, delivery, reason=form.reason())
    return forms.done(visit.request, path_of(name), "It is due again now, under the same id; its tries begin anew.")


def _shown_json(payload: Any) -> str:
    return json.dumps(payload, ensure_ascii=False, indent=2)


async def _secret(visit: Call, secret: str, name: str, title: str) -> Response:
    return await page(
        visit,
        "secret.html",
        title=title,
        room="system",
        secret=secret,
        what=f"what signs messages to {name}",
        command=None,
        back=path_of(name),
    )
