"""Observing by list: when a connection's list is next worth asking for; and watching what others run in its place."""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

TABLES = """
-- When a connection's list is next worth asking for, and until when it is not to be had. No columns of connections:
-- those are locked before their lane by whoever changes them, and these are written under the lane's lock.
CREATE TABLE lists (
    connection_id uuid PRIMARY KEY REFERENCES connections,
    due_at timestamptz NOT NULL,
    off_until timestamptz
) WITH (fillfactor = 50);

-- A constant default: no table is rewritten.
ALTER TABLE runs ADD COLUMN origin text NOT NULL DEFAULT 'submitted'
    CONSTRAINT runs_origin CHECK (origin IN ('submitted', 'observed'));

-- A connection whose provider's list is walked for executions that other programs started.
CREATE TABLE watches (
    connection_id uuid PRIMARY KEY REFERENCES connections,
    -- Only these workflows; empty: all.
    workflow_ids text[] NOT NULL,
    since timestamptz NOT NULL,
    -- All that was made before has been seen, by the provider's clock.
    walked_to timestamptz NOT NULL,
    -- Where a walk of many pages goes on, and the newest that it has seen; NULL between walks.
    cursor text,
    newest_at timestamptz,
    -- When a worker goes on with it: a lease while one does; NULL: it was stopped.
    due_at timestamptz,
    fence bigint NOT NULL DEFAULT 0,
    walked_at timestamptz,
    failure text,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT orch_now()
) WITH (fillfactor = 50);
CREATE INDEX watches_due ON watches (due_at) WHERE due_at IS NOT NULL;

-- What others started: once each. Without a run: seen while a launch of ours was unanswered, and perhaps its own.
CREATE TABLE observed (
    connection_id uuid NOT NULL REFERENCES connections,
    execution_id text NOT NULL,
    workflow_id text NOT NULL,
    made_at timestamptz NOT NULL,
    run_id uuid UNIQUE REFERENCES runs,
    PRIMARY KEY (connection_id, execution_id)
);
CREATE INDEX observed_held ON observed (connection_id) WHERE run_id IS NULL;
-- Launches whose execution nobody knows: a handful among all that ever were.
CREATE INDEX executions_unanswered ON executions (connection_id)
    WHERE remote_id IS NULL AND state IN ('launching', 'open', 'in_doubt', 'left');
"""


def upgrade() -> None:
    """Make the tables, and tell where runs come from."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "an online migration has a connection"
    driver.execute(TABLES)


def downgrade() -> None:
    """Remove them. Runs that were observed stay, and look as if they had been submitted."""
    op.execute("DROP INDEX executions_unanswered")
    op.execute("DROP TABLE observed")
    op.execute("DROP TABLE watches")
    op.execute("ALTER TABLE runs DROP COLUMN origin")
    op.execute("DROP TABLE lists")
