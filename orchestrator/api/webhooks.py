"""Routes of webhooks: who is told what happens, and how that came through. A secret is shown once."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.acts import act, given
from orchestrator.api.answers import Answer, View, everything, nothing, page, shown
from orchestrator.api.auth import Administering, Reading
from orchestrator.api.bodies import Fields
from orchestrator.api.openapi import REASON, described, listed, parameter
from orchestrator.api.queries import Query
from orchestrator.domain.webhooks import DeliveryState
from orchestrator.engine import webhooks

MAX_URL_CHARS = 2_000

router = APIRouter(prefix="/webhooks", tags=["webhooks"])
ONE = "/{name}"


def _once(secret: str, view: View, *, status: int = 200) -> Answer:
    """Return an answer whose secret a repeat of the request does not show."""
    return Answer(view=view | {"secret": secret}, status=status, kept=view | {"secret": None})


@router.post("", status_code=201, **described("WebhookWithSecret", body="NewWebhook", status=201))
async def add_webhook(call: Administering) -> Response:
    """Add a webhook. `secret` is shown in this answer only; a repeat of the request shows null. Nothing is sent yet."""

    def take(fields: Fields) -> dict[str, Any]:
        return {
            "name": fields.text("name"),
            "url": fields.text("url", max_chars=MAX_URL_CHARS),
            "types": fields.texts("events"),
            "reason": fields.prose_or_none("reason"),
        }

    async def add(asked: dict[str, Any]) -> Answer:
        secret, view = await webhooks.add_webhook(call.deps, call.who, **asked)
        return _once(secret, view, status=201)

    return await act(call, take, add)


@router.get("", **listed("Webhook", paged=False))
async def list_webhooks(call: Reading) -> Response:
    """List every webhook, without its secret."""
    Query(call.request.query_params, ())
    return everything(call, await webhooks.list_webhooks(call.deps, call.who))


@router.post(ONE + ":test", **described("WebhookTest", body="Nothing"))
async def test_webhook(name: str, call: Administering) -> Response:
    """Send one `webhook.test` now, and say what came of it."""

    async def test(_: None) -> Answer:
        return Answer(view=await webhooks.test_webhook(call.deps, call.who, name))

    return await act(call, lambda _: None, test)


@router.post(ONE + ":rotate", **described("WebhookWithSecret", body="RotateWebhook"))
async def rotate_webhook(name: str, call: Administering) -> Response:
    """Make another secret. The old one signs too, for `overlap_hours`."""

    def take(fields: Fields) -> tuple[int, str | None]:
        hours = fields.whole_or_none("overlap_hours", least=0, most=webhooks.MOST_OVERLAP_HOURS)
        return 24 if hours is None else hours, fields.prose_or_none("reason")

    async def rotate(asked: tuple[int, str | None]) -> Answer:
        hours, reason = asked
        found = await webhooks.rotate_secret(call.deps, call.who, name, overlap_hours=hours, reason=reason)
        return _once(*found)

    return await act(call, take, rotate)


@router.get(ONE, **described("Webhook"))
async def show_webhook(name: str, call: Reading) -> Response:
    """Show one webhook."""
    Query(call.request.query_params, ())
    return shown(await webhooks.show_webhook(call.deps, call.who, name))


@router.patch(ONE, **described("Webhook", body="WebhookChanges"))
async def set_webhook(name: str, call: Administering) -> Response:
    """Change what is given. Enabled again, it is told what was waiting."""
    Query(call.request.query_params, ())

    def take(fields: Fields) -> dict[str, Any]:
        return {
            "url": fields.text_or_none("url", max_chars=MAX_URL_CHARS),
            "types": fields.texts("events") or None,
            "enabled": fields.flag_or_none("enabled"),
            "reason": fields.prose_or_none("reason"),
        }

    _, changes = await given(call, take)
    return shown(await webhooks.set_webhook(call.deps, call.who, name, **changes))


@router.delete(ONE, status_code=204, **described(None, status=204, parameters=(REASON,)))
async def remove_webhook(name: str, call: Administering) -> Response:
    """Remove a webhook, and what waits for it."""
    reason = Query(call.request.query_params, ("reason",)).reason()
    await webhooks.remove_webhook(call.deps, call.who, name, reason=reason)
    return nothing()


@router.get(
    ONE + "/deliveries",
    **listed("WebhookDelivery", parameter("state", "string", "a comma list of pending, delivered, failed")),
)
async def list_deliveries(name: str, call: Reading) -> Response:
    """List what a webhook was told in the last 30 days, latest first, each with its latest tries."""
    query = Query(call.request.query_params, ("state", "limit", "cursor"))
    states = query.among("state", DeliveryState) or None
    views, following = await webhooks.list_deliveries(
        call.deps, call.who, name, states=states, before=query.after(call), limit=query.limit()
    )
    return page(call, query, views, following)


@router.post(ONE + "/deliveries/{delivery:uuid}:resend", **described("WebhookDelivery", body="Reason"))
async def resend(name: str, delivery: UUID, call: Administering) -> Response:
    """Send a message once more, now, under the same id."""

    async def again(reason: str | None) -> Answer:
        return Answer(view=await webhooks.resend(call.deps, call.who, name, delivery, reason=reason))

    return await act(call, lambda fields: fields.prose_or_none("reason"), again)
