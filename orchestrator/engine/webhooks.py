"""Webhooks: who of a workspace's own programs is told what happens. Adding one sends nothing; testing one does."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.chain import NewEvent
from orchestrator.domain.webhooks import TEST, DeliveryState, WebhookAnswer
from orchestrator.engine import webhook_words as words
from orchestrator.engine.deliver import public_id, secrets_of, sender_of
from orchestrator.engine.deps import OLD_WEBHOOK_KEY, WEBHOOK_KEY, Deps
from orchestrator.engine.who import Who
from orchestrator.errors import Conflict, NotFound
from orchestrator.storage import deliveries, events, outbox, webhooks
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.webhooks import WebhookRow

#: Each message is written once for each of them.
MOST = 20

#: How long an old secret may sign beside the new one, hours.
MOST_OVERLAP_HOURS = 24 * 7

View = dict[str, Any]


async def add_webhook(
    deps: Deps, who: Who, *, name: str, url: str, types: Sequence[str] = (), reason: str | None = None
) -> tuple[str, View]:
    """Add a webhook. Returns its secret, which is never shown again, and its view."""
    words.check_name(name)
    checked_url = sender_of(deps).check(url)
    asked = words.check_types(types or ["*"])
    id, secret = deps.sources.new_id(), words.new_secret(deps)

    async def insert(session: AsyncConnection) -> None:
        if await webhooks.count(session, who.workspace_id) >= MOST:
            raise Conflict(f"a workspace has at most {MOST} webhooks", code="too_many_webhooks")
        written = await webhooks.insert(
            session,
            id=id,
            workspace=who.workspace_id,
            name=name,
            url=checked_url,
            types=asked,
            secret=deps.sealer.seal(secret, column=WEBHOOK_KEY, row=id),
            created_by=who.actor,
        )
        if not written:
            raise Conflict(f"there is a webhook named {name!r} already", code="webhook_exists")
        told = who.act("webhook add", reason).event(
            "webhook_added", webhook=name, host=words.host_of(checked_url), events=asked
        )
        await _tell(session, who, told)

    await deps.db.run(insert)
    return secret, await show_webhook(deps, who, name)


async def list_webhooks(deps: Deps, who: Who) -> list[View]:
    """Return the workspace's webhooks."""

    async def read(session: AsyncConnection) -> list[View]:
        now = await transaction_now(session)
        return [words.view(row, now=now) for row in await webhooks.page(session, who.workspace_id)]

    return await deps.db.run(read)


async def show_webhook(deps: Deps, who: Who, name: str) -> View:
    """Return one webhook."""

    async def read(session: AsyncConnection) -> View:
        return words.view(await _find(session, who, name), now=await transaction_now(session))

    return await deps.db.run(read)


async def set_webhook(
    deps: Deps,
    who: Who,
    name: str,
    *,
    url: str | None = None,
    types: Sequence[str] | None = None,
    enabled: bool | None = None,
    reason: str | None = None,
) -> View:
    """Change what is given. Enabled again, it is told what was waiting; disabled, nothing more is written for it."""
    checked_url = sender_of(deps).check(url) if url is not None else None
    asked = words.check_types(types) if types else None

    async def save(session: AsyncConnection, found: WebhookRow) -> NewEvent:
        await webhooks.change(session, found.id, url=checked_url, types=asked)
        if enabled is True:
            await webhooks.enable(session, found.id)
        elif enabled is False and found.disabled_at is None:
            await webhooks.disable(session, found.id, because=f"by {who.actor}")
        was = {
            "host": words.host_of(found.url) if checked_url is not None else None,
            "events": list(found.types) if asked is not None else None,
            "enabled": found.disabled_at is None if enabled is not None else None,
        }
        return who.act("webhook set", reason).event(
            "webhook_set",
            webhook=name,
            host=None if checked_url is None else words.host_of(checked_url),
            events=asked,
            enabled=enabled,
            was={field: value for field, value in was.items() if value is not None},
        )

    await _changed(deps, who, name, save)
    return await show_webhook(deps, who, name)


async def rotate_secret(
    deps: Deps, who: Who, name: str, *, overlap_hours: int = 24, reason: str | None = None
) -> tuple[str, View]:
    """Make another secret. Until the overlap is over every message is signed with both."""
    secret = words.new_secret(deps)

    async def save(session: AsyncConnection, found: WebhookRow) -> NewEvent:
        old = deps.sealer.open(found.secret, column=WEBHOOK_KEY, row=found.id)
        await webhooks.rotate(
            session,
            found.id,
            secret=deps.sealer.seal(secret, column=WEBHOOK_KEY, row=found.id),
            old_secret=deps.sealer.seal(old, column=OLD_WEBHOOK_KEY, row=found.id),
            overlap_s=overlap_hours * 3600.0,
        )
        return who.act("webhook rotate", reason).event("webhook_rotated", webhook=name, overlap_hours=overlap_hours)

    await _changed(deps, who, name, save)
    return secret, await show_webhook(deps, who, name)


async def remove_webhook(deps: Deps, who: Who, name: str, *, reason: str | None = None) -> None:
    """Remove a webhook. What waits for it is not delivered any more."""

    async def save(session: AsyncConnection, found: WebhookRow) -> NewEvent:
        await webhooks.remove(session, found.id)
        return who.act("webhook remove", reason).event("webhook_removed", webhook=name)

    await _changed(deps, who, name, save)


async def test_webhook(deps: Deps, who: Who, name: str) -> View:
    """Send one `webhook.test` now, also where it is disabled; show what came of it. It is never tried again."""

    async def read(session: AsyncConnection) -> WebhookRow:
        return await _find(session, who, name)

    found, sender = await deps.db.run(read), sender_of(deps)
    id, at = deps.sources.new_id(), deps.sources.utc_now()
    secrets = secrets_of(deps, found.id, found.secret, None)
    body = json.dumps({"type": TEST, "timestamp": outbox.stamp(at), "data": {"webhook": name}})
    answer = await sender.send(found.url, id=public_id(id), body=body, secrets=secrets)

    async def record(session: AsyncConnection) -> None:
        await deliveries.write_test(
            session,
            webhook=found.id,
            workspace=who.workspace_id,
            message=id,
            type=TEST,
            body=body,
            state=DeliveryState.DELIVERED if answer.error is None else DeliveryState.FAILED,
            answer=answer,
            at=at,
        )

    await deps.db.run(record)
    return _tested(answer, id)


async def list_deliveries(
    deps: Deps, who: Who, name: str, *, states: Sequence[str] | None, before: UUID | None, limit: int
) -> tuple[list[View], UUID | None]:
    """Return one page of what a webhook was told, latest first, and the id after which the next one begins."""
    asked = words.check_states(states)

    async def read(session: AsyncConnection) -> list[View]:
        found = await _find(session, who, name)
        page = await deliveries.page(session, found.id, states=asked, before=before, limit=limit + 1)
        return [words.delivery_view(row) for row in page]

    views = await deps.db.run(read)
    return views[:limit], UUID(views[limit - 1]["id"]) if len(views) > limit else None


async def resend(deps: Deps, who: Who, name: str, delivery: UUID, *, reason: str | None = None) -> View:
    """Send a message once more, now, under the same id; if it fails, its tries begin anew."""
    shown: list[View] = []

    async def save(session: AsyncConnection, found: WebhookRow) -> NewEvent:
        if found.disabled_at is not None:
            hint = f"orchestrator webhook set {name} --enable"
            raise Conflict("the webhook is disabled: it is told nothing", code="webhook_disabled", hint=hint)
        if not await deliveries.resend(session, found.id, delivery):
            raise NotFound("this webhook was told no such thing, or over 30 days ago", code="delivery_not_found")
        row = await deliveries.read(session, found.id, delivery)
        assert row is not None, "it was just made due"
        shown[:] = [words.delivery_view(row)]
        return who.act("webhook resend", reason).event("webhook_resent", webhook=name, delivery=str(delivery))

    await _changed(deps, who, name, save)
    return shown[0]


async def _changed(
    deps: Deps, who: Who, name: str, change: Callable[[AsyncConnection, WebhookRow], Awaitable[NewEvent]]
) -> None:
    """Change a webhook, and write down who did and why, in one transaction."""

    async def save(session: AsyncConnection) -> None:
        await _tell(session, who, await change(session, await _find(session, who, name, locked=True)))

    await deps.db.run(save)


async def _find(session: AsyncConnection, who: Who, name: str, *, locked: bool = False) -> WebhookRow:
    row = await webhooks.find(session, who.workspace_id, name, locked=locked)
    if row is None:
        raise NotFound(
            f"there is no webhook named {name!r}", code="webhook_not_found", hint="orchestrator webhook list"
        )
    return row


async def _tell(session: AsyncConnection, who: Who, told: NewEvent) -> None:
    await events.append_to_workspace(session, who.workspace_id, [told], at=await transaction_now(session))


def _tested(answer: WebhookAnswer, id: UUID) -> View:
    return {**words.answer_view(answer), "delivery": str(id)}
