"""Bulk operations: what was asked for by a filter, the runs that it named then, and what became of each."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TABLES = """
-- One act for many runs. Its runs are chosen once, when it is made.
CREATE TABLE operations (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    verb text NOT NULL CONSTRAINT operations_verb CHECK (verb IN ('retry', 'cancel', 'resolve')),
    -- How a doubt is resolved.
    how text CONSTRAINT operations_how CHECK (how IN ('not_started', 'relaunch', 'abandon')),
    relaunch boolean NOT NULL DEFAULT false,
    -- As it was given, but for labels, of which only the keys are kept: their values may be personal.
    filter jsonb NOT NULL,
    reason text,
    matched int NOT NULL,
    total int NOT NULL,
    -- What matched and was not eligible: a list of {code, message, runs}.
    ineligible jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT orch_now(),
    cancelled_at timestamptz,
    cancelled_by text,
    finished_at timestamptz,
    final_counts jsonb,
    -- When a worker goes on with it: a lease while one does.
    due_at timestamptz,
    CONSTRAINT operations_resolve_how CHECK ((how IS NOT NULL) = (verb = 'resolve')),
    CONSTRAINT operations_over CHECK ((finished_at IS NULL) = (due_at IS NOT NULL))
) WITH (fillfactor = 70);
CREATE INDEX operations_listed ON operations (workspace_id, id DESC);
CREATE INDEX operations_due ON operations (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE operation_items (
    operation_id uuid NOT NULL REFERENCES operations,
    position int NOT NULL,
    -- No foreign key: it would lock, and so rewrite, every one of these runs. They are read in the same transaction.
    run_id uuid NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CONSTRAINT operation_items_state CHECK (
        state IN ('waiting', 'done', 'refused', 'failed', 'cancelled')),
    code text,
    message text,
    done_at timestamptz,
    PRIMARY KEY (operation_id, position)
) WITH (fillfactor = 80);
-- An act takes its item in its own transaction, so that it happens at most once.
CREATE UNIQUE INDEX operation_items_run ON operation_items (operation_id, run_id);
CREATE INDEX operation_items_state ON operation_items (operation_id, state, position);
"""


def upgrade() -> None:
    """Make the tables."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "an online migration has a connection"
    driver.execute(TABLES)


def downgrade() -> None:
    """Remove them. What was not done yet is then not done; the history of what was stays."""
    op.execute("DROP TABLE operation_items")
    op.execute("DROP TABLE operations")
