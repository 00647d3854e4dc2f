"""Deliveries of messages to webhooks: what is due, claimed a webhook at a time, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.webhooks import Health, Verdict, WebhookAnswer
from orchestrator.storage.database import execute, one, rows
from orchestrator.storage.listening import ACTIVE

#: Tries that a delivery remembers.
LOGGED_TRIES = 20

#: Messages are kept for so long, with how they came through.
KEPT = "30 days"
#: So many are removed at once; the next sweep goes on.
FORGOTTEN_AT_ONCE = 1000

# A webhook that may be worked on now and has something due: few webhooks, and of each the first entry of its index.
# Neither a lease nor a rest is meant to last for hours: one that would was written by a clock that has gone back since.
_READY = f"""{ACTIVE} AND COALESCE(GREATEST(h.leased_until, h.rests_until) NOT BETWEEN orch_now() + interval '1 ms'
        AND orch_now() + interval '2 hours', true)
    AND EXISTS (SELECT FROM webhook_deliveries d WHERE d.webhook_id = h.id AND d.due_at <= orch_now())"""

#: An expression: whether any delivery is due anywhere.
DUE = f"EXISTS (SELECT FROM webhooks h WHERE {_READY})"

#: Since when deliveries wait for a worker: not for their webhook, which rests, or is at work.
DUE_SINCE = f"""SELECT min(GREATEST(d.due_at, h.turned_at, h.rests_until, h.leased_until)) FROM webhooks h, LATERAL (
    SELECT min(due_at) AS due_at FROM webhook_deliveries WHERE webhook_id = h.id AND due_at IS NOT NULL) d
    WHERE {ACTIVE} AND d.due_at IS NOT NULL"""  # noqa: S608 - our own words

# The webhook whose last turn is longest ago: one with a long backlog keeps nobody waiting.
CLAIM = text(f"""
    UPDATE webhooks w SET leased_until = orch_now() + make_interval(secs => :lease_s), fence = nextval('fences')
    WHERE w.id = (SELECT h.id FROM webhooks h WHERE {_READY}
        ORDER BY h.turned_at NULLS FIRST, h.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING w.id, w.workspace_id, w.name, w.url, w.secret, w.fence, w.failing_since, w.failed_turns,
        CASE WHEN w.old_secret_until > orch_now() THEN w.old_secret END AS old_secret""")  # noqa: S608

CLAIMED = text("""
    SELECT d.message_id, d.tries, d.due_at, m.body
    FROM webhook_deliveries d JOIN webhook_messages m ON m.id = d.message_id
    WHERE d.webhook_id = :webhook AND d.due_at <= orch_now() ORDER BY d.due_at, d.message_id LIMIT :limit""")

HELD = text("""
    SELECT failing_since, failed_turns FROM webhooks WHERE id = :webhook AND fence = :fence AND leased_until IS NOT NULL
    FOR NO KEY UPDATE""")

# A claim leaves `due_at` as it is. If it is another one now, somebody asked for the message to be sent once more while
# this try was under way: that stands, and the try is only kept in the log.
RECORD = text(f"""
    UPDATE webhook_deliveries d SET state = CASE WHEN d.due_at = v.was_due_at THEN v.state ELSE d.state END,
        due_at = CASE WHEN d.due_at = v.was_due_at THEN v.due_at ELSE d.due_at END,
        tries = d.tries + CASE WHEN d.due_at = v.was_due_at THEN 1 ELSE 0 END,
        last_status = v.status, last_error = v.error,
        delivered_at = CASE WHEN v.state = 'delivered' THEN orch_now() ELSE d.delivered_at END,
        log = CASE WHEN jsonb_array_length(d.log) >= {LOGGED_TRIES} THEN d.log - 0 ELSE d.log END
            || jsonb_build_array(CAST(v.entry AS jsonb))
    FROM unnest(CAST(:messages AS uuid[]), CAST(:states AS text[]), CAST(:was_due_at AS timestamptz[]),
        CAST(:due_at AS timestamptz[]), CAST(:statuses AS int[]), CAST(:errors AS text[]), CAST(:entries AS text[]))
        AS v(message_id, state, was_due_at, due_at, status, error, entry)
    WHERE d.webhook_id = :webhook AND d.message_id = v.message_id""")  # noqa: S608 - our own words

TURNED = text("""
    UPDATE webhooks SET leased_until = NULL, turned_at = orch_now(), failing_since = :failing_since,
        failed_turns = :failed_turns, rests_until = :rests_until,
        delivered_at = CASE WHEN :delivered THEN orch_now() ELSE delivered_at END,
        disabled_at = CASE WHEN CAST(:because AS text) IS NOT NULL THEN orch_now() ELSE disabled_at END,
        disabled_because = COALESCE(:because, disabled_because)
    WHERE id = :webhook""")

PAGE = text("""
    SELECT d.message_id, m.type, m.at, d.state, d.tries, d.due_at, d.delivered_at, d.last_status, d.last_error, d.log,
        m.body
    FROM webhook_deliveries d JOIN webhook_messages m ON m.id = d.message_id
    WHERE d.webhook_id = :webhook AND d.state = ANY(CAST(:states AS text[]))
        AND (CAST(:before AS uuid) IS NULL OR d.message_id < :before)
    ORDER BY d.message_id DESC LIMIT :limit""")

ONE = text("""
    SELECT d.message_id, m.type, m.at, d.state, d.tries, d.due_at, d.delivered_at, d.last_status, d.last_error, d.log,
        m.body
    FROM webhook_deliveries d JOIN webhook_messages m ON m.id = d.message_id
    WHERE d.webhook_id = :webhook AND d.message_id = :message""")

# The same message, so the same id: a receiver that has it already knows it. Its tries begin anew.
RESEND = text("""
    UPDATE webhook_deliveries SET state = 'pending', due_at = orch_now(), tries = 0
    WHERE webhook_id = :webhook AND message_id = :message""")

TRIED = text("""
    WITH told AS (
        INSERT INTO webhook_messages (id, workspace_id, type, about, body, at)
        VALUES (:message, :workspace, :type, :about, :body, orch_now()))
    INSERT INTO webhook_deliveries (webhook_id, message_id, state, tries, delivered_at, last_status, last_error, log)
    VALUES (:webhook, :message, :state, 1, CASE WHEN :state = 'delivered' THEN orch_now() END, :status, :error,
        jsonb_build_array(CAST(:entry AS jsonb)))""")

#: An expression: whether any message has been kept long enough.
OLD = f"EXISTS (SELECT FROM webhook_messages WHERE at < orch_now() - interval '{KEPT}')"

FORGET = text(f"""
    DELETE FROM webhook_messages WHERE id IN (SELECT id FROM webhook_messages
        WHERE at < orch_now() - interval '{KEPT}' ORDER BY at LIMIT :limit)""")  # noqa: S608 - our own words


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A message that is to be delivered now, since when, and how often that was tried."""

    message_id: UUID
    tries: int
    due_at: datetime
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookClaim:
    """A leased right to deliver to a webhook."""

    id: UUID
    fence: int
    workspace_id: UUID
    name: str
    url: str
    secret: bytes = field(repr=False)
    old_secret: bytes | None = field(repr=False)
    due: tuple[Due, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of one delivery that was due since `due_at`, and when it was tried, on the wall clock."""

    message_id: UUID
    due_at: datetime
    answer: WebhookAnswer
    verdict: Verdict
    at: datetime


async def claim(connection: AsyncConnection, *, limit: int, lease_s: float) -> WebhookClaim | None:
    """Claim a webhook and the first of what is due for it."""
    row = await one(connection, CLAIM, {"lease_s": lease_s})
    if row is None:
        return None
    due = tuple(Due(**d._mapping) for d in await rows(connection, CLAIMED, {"webhook": row.id, "limit": limit}))
    return WebhookClaim(
        id=row.id,
        fence=row.fence,
        workspace_id=row.workspace_id,
        name=row.name,
        url=row.url,
        secret=bytes(row.secret),
        old_secret=None if row.old_secret is None else bytes(row.old_secret),
        due=due,
    )


async def held(connection: AsyncConnection, claim: WebhookClaim) -> Health | None:
    """Lock a claimed webhook; return how it did before, or None when the claim is void."""
    row = await one(connection, HELD, {"webhook": claim.id, "fence": claim.fence})
    return None if row is None else Health(failing_since=row.failing_since, failed_turns=row.failed_turns)


async def record(connection: AsyncConnection, claim: WebhookClaim, tried: Sequence[Tried], health: Health) -> None:
    """Write what came of a turn."""
    if tried:
        await connection.execute(
            RECORD,
            {
                "webhook": claim.id,
                "messages": [t.message_id for t in tried],
                "states": [t.verdict.state for t in tried],
                "was_due_at": [t.due_at for t in tried],
                "due_at": [t.verdict.due_at for t in tried],
                "statuses": [t.answer.status for t in tried],
                "errors": [t.answer.error for t in tried],
                "entries": [json.dumps(entry(t.answer, at=t.at)) for t in tried],
            },
        )
    await connection.execute(
        TURNED,
        {
            "webhook": claim.id,
            "failing_since": health.failing_since,
            "failed_turns": health.failed_turns,
            "rests_until": health.rests_until,
            "delivered": any(t.answer.error is None for t in tried),
            "because": health.disabled_because,
        },
    )


def entry(answer: WebhookAnswer, *, at: datetime) -> dict[str, object]:
    """Return what the log keeps of a try."""
    return {
        "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "status": answer.status,
        "error": answer.error,
        "response": answer.response,
        "took_s": round(answer.took_s, 3),
    }


async def page(
    connection: AsyncConnection, webhook: UUID, *, states: Sequence[str], before: UUID | None, limit: int
) -> list[RowMapping]:
    """Return deliveries to a webhook, latest first."""
    values = {"webhook": webhook, "states": list(states), "before": before, "limit": limit}
    return [row._mapping for row in await rows(connection, PAGE, values)]


async def read(connection: AsyncConnection, webhook: UUID, message: UUID) -> RowMapping | None:
    """Return one delivery."""
    row = await one(connection, ONE, {"webhook": webhook, "message": message})
    return None if row is None else row._mapping


async def resend(connection: AsyncConnection, webhook: UUID, message: UUID) -> bool:
    """Make a delivery due now, whatever became of it; False when there is none."""
    return await execute(connection, RESEND, {"webhook": webhook, "message": message}) == 1


async def forget(connection: AsyncConnection) -> None:
    """Remove messages that have been kept long enough, with how they came through: some now, more with each sweep."""
    await connection.execute(FORGET, {"limit": FORGOTTEN_AT_ONCE})


async def write_test(
    connection: AsyncConnection,
    *,
    webhook: UUID,
    workspace: UUID,
    message: UUID,
    type: str,
    body: str,
    state: str,
    answer: WebhookAnswer,
    at: datetime,
) -> None:
    """Write down a message that was sent to one webhook, once, outside of all turns."""
    values = {
        "webhook": webhook,
        "workspace": workspace,
        "message": message,
        "type": type,
        "about": f"{type}:{message}",
        "body": body,
        "state": state,
        "status": answer.status,
        "error": answer.error,
        "entry": json.dumps(entry(answer, at=at)),
    }
    await connection.execute(TRIED, values)
