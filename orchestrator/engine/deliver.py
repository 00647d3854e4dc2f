"""Deliver: tell webhooks what is due: claim, call, record, a webhook at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import webhooks as rules
from orchestrator.domain.chain import NewEvent
from orchestrator.domain.webhooks import Health, Message, WebhookAnswer
from orchestrator.engine import poison
from orchestrator.engine.deps import OLD_WEBHOOK_KEY, WEBHOOK_KEY, Deps
from orchestrator.engine.ports import Claimed, WebhookSender, unheard
from orchestrator.errors import Unavailable
from orchestrator.storage import deliveries, events, outbox
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.deliveries import Tried, WebhookClaim
from orchestrator.telemetry import get_logger

log = get_logger(__name__)

#: Messages that one turn sends to its webhook, side by side.
SENT_AT_ONCE = 10

#: A claim that is lost with its worker is free again so soon, seconds. A turn takes as long as a receiver may take.
LEASE_S = 60.0


async def deliver_due(deps: Deps, *, worker: UUID, claimed: Claimed = unheard) -> int | None:
    """Take one webhook's turn. Returns how many messages were tried, None when nothing is due."""

    async def take(connection: AsyncConnection) -> WebhookClaim | None:
        return await deliveries.claim(connection, limit=SENT_AT_ONCE, lease_s=LEASE_S)

    claim = await deps.db.run(take)
    claimed(claim is not None)
    if claim is None:
        return None
    done = await poison.caught(lambda: _deliver(deps, claim))
    if isinstance(done, poison.Poisoned):
        # Its lease keeps it from the others, and brings it back.
        poison.tell("deliver", done, webhook=str(claim.id))
    return len(claim.due)


async def _deliver(deps: Deps, claim: WebhookClaim) -> None:
    """Send what was claimed, and write down what came of it."""
    secrets = secrets_of(deps, claim.id, claim.secret, claim.old_secret)
    sender = sender_of(deps)

    async def send(id: UUID, body: str) -> tuple[WebhookAnswer, datetime]:
        at = deps.sources.utc_now()
        return await sender.send(claim.url, id=public_id(id), body=body, secrets=secrets), at

    answered = await asyncio.gather(*(send(due.message_id, due.body) for due in claim.due))

    async def record(connection: AsyncConnection) -> Health | None:
        return await _record(deps, connection, claim, answered)

    health = await deps.db.run(record)
    if health is not None and health.disabled_because is not None:
        log.warning(
            "a webhook is disabled: it is told nothing more",
            code="webhook_disabled",
            webhook=claim.name,
            because=health.disabled_because,
            hint=f"mend the receiver, then: orchestrator webhook set {claim.name} --enable",
        )


async def _record(
    deps: Deps, connection: AsyncConnection, claim: WebhookClaim, answered: Sequence[tuple[WebhookAnswer, datetime]]
) -> Health | None:
    """Write what came of a turn; None when the claim is void: whoever holds it now sends the same under the same id."""
    before = await deliveries.held(connection, claim)
    if before is None:
        return None
    now = await transaction_now(connection)
    tried = [
        Tried(
            message_id=due.message_id,
            due_at=due.due_at,
            answer=answer,
            verdict=rules.after(answer, tries=due.tries + 1, now=now, unit=deps.sources.unit()),
            at=at,
        )
        for due, (answer, at) in zip(claim.due, answered, strict=True)
    ]
    health = rules.health_after(before, [answer for answer, _ in answered], now=now) if tried else before
    await deliveries.record(connection, claim, tried, health)
    if health.disabled_because is not None:
        data = {"webhook": claim.name, "reason": health.disabled_because}
        told = NewEvent(type="webhook_disabled", actor="orchestrator", data=data)
        await events.append_to_workspace(connection, claim.workspace_id, [told], at=now)
        about = f"{rules.DISABLED}:{claim.id}:{claim.fence}"
        message = Message(workspace_id=claim.workspace_id, type=rules.DISABLED, about=about, data=data)
        await outbox.write(connection, [message], at=now)
    return health


def sender_of(deps: Deps) -> WebhookSender:
    """Return what sends, or raise `Unavailable` in a process that tells no webhooks."""
    if deps.webhooks is None:
        raise Unavailable("this process tells no webhooks", code="no_sender")
    return deps.webhooks


def secrets_of(deps: Deps, webhook: UUID, secret: bytes, old: bytes | None) -> list[str]:
    """Open the secrets that sign now, the current one first."""
    opened = [deps.sealer.open(secret, column=WEBHOOK_KEY, row=webhook)]
    return opened if old is None else [*opened, deps.sealer.open(old, column=OLD_WEBHOOK_KEY, row=webhook)]


def public_id(message: UUID) -> str:
    """Return what stands in `webhook-id`: the same at every try of a message."""
    return f"msg_{message}"
