"""Webhooks: who is told of what happens, the messages (an outbox), and how each came through."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

WEBHOOKS = """
CREATE TABLE webhooks (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    name text NOT NULL,
    url text NOT NULL,
    -- Types, `run.*` for a family, `*` for all.
    types text[] NOT NULL,
    -- Sealed; empty once removed. The one before signs too, until its time is over.
    secret bytea NOT NULL,
    old_secret bytea,
    old_secret_until timestamptz,
    -- One turn at a time works on a webhook; its lease and its fence.
    leased_until timestamptz,
    fence bigint NOT NULL DEFAULT 0,
    turned_at timestamptz,
    -- After turns in which nothing came through it rests; the first failure since anything did.
    rests_until timestamptz,
    failed_turns int NOT NULL DEFAULT 0,
    failing_since timestamptz,
    delivered_at timestamptz,
    disabled_at timestamptz,
    disabled_because text,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT orch_now(),
    removed_at timestamptz
) WITH (fillfactor = 60);
CREATE UNIQUE INDEX webhooks_name ON webhooks (workspace_id, name) WHERE removed_at IS NULL;
-- Asked wherever something is told: empty where nobody listens.
CREATE INDEX webhooks_active ON webhooks (workspace_id) WHERE disabled_at IS NULL AND removed_at IS NULL;
"""

MESSAGES = """
CREATE TABLE webhook_messages (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    type text NOT NULL,
    -- What it tells of, by which it is told once.
    about text NOT NULL,
    body text NOT NULL,
    at timestamptz NOT NULL
);
CREATE UNIQUE INDEX webhook_messages_about ON webhook_messages (workspace_id, about);
CREATE INDEX webhook_messages_at ON webhook_messages (at);
"""

DELIVERIES = """
CREATE TABLE webhook_deliveries (
    webhook_id uuid NOT NULL REFERENCES webhooks,
    message_id uuid NOT NULL REFERENCES webhook_messages ON DELETE CASCADE,
    state text NOT NULL CONSTRAINT webhook_deliveries_state CHECK (state IN ('pending', 'delivered', 'failed')),
    -- When it is tried next; NULL once it is delivered, or given up.
    due_at timestamptz,
    -- Since it was written, or asked for anew.
    tries int NOT NULL DEFAULT 0,
    delivered_at timestamptz,
    last_status int,
    last_error text,
    -- The latest tries, the oldest first: at, status, error, response, took_s.
    log jsonb NOT NULL DEFAULT '[]',
    PRIMARY KEY (webhook_id, message_id),
    CONSTRAINT webhook_deliveries_open CHECK ((state = 'pending') = (due_at IS NOT NULL))
) WITH (fillfactor = 70);
-- What of a webhook is due: a claim reads its first entries, however much was delivered.
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_listed ON webhook_deliveries (webhook_id, state, message_id);
CREATE INDEX webhook_deliveries_of_message ON webhook_deliveries (message_id);
"""


def upgrade() -> None:
    """Add the tables."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "an online migration has a connection"
    for part in (WEBHOOKS, MESSAGES, DELIVERIES):
        driver.execute(part)


def downgrade() -> None:
    """Remove them, and what was not delivered with them."""
    for table in ("webhook_deliveries", "webhook_messages", "webhooks"):
        op.execute(f"DROP TABLE {table}")
