"""Schedules and their fires: what is submitted again and again, and what became of each tick."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SCHEDULES = """
CREATE TABLE schedules (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    name text NOT NULL,
    connection_id uuid NOT NULL REFERENCES connections,
    workflow_id uuid NOT NULL REFERENCES workflows,
    -- When: a cron expression or an interval from `anchor` on, in a zone.
    cron text,
    every_s int,
    zone text NOT NULL,
    anchor timestamptz NOT NULL,
    -- What: one run with this input, or a batch from the file that this template names.
    input bytea,
    template text,
    -- How its file becomes a batch: the words of a submission.
    options jsonb NOT NULL DEFAULT '{}',
    allows_same_content boolean NOT NULL DEFAULT false,
    overlap text NOT NULL CONSTRAINT schedules_overlap CHECK (overlap IN ('skip', 'queue', 'allow')),
    catch_up text NOT NULL CONSTRAINT schedules_catch_up CHECK (catch_up IN ('none', 'latest', 'all')),
    max_catch_up int NOT NULL,
    deadline_s int NOT NULL,
    -- The first nominal time that has no row yet. NULL once removed, or when it never fires again.
    next_at timestamptz,
    paused_at timestamptz,
    paused_by text,
    paused_note text,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT orch_now(),
    removed_at timestamptz,
    CONSTRAINT schedules_one_rhythm CHECK ((cron IS NULL) <> (every_s IS NULL)),
    CONSTRAINT schedules_one_input CHECK ((input IS NULL) <> (template IS NULL))
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX schedules_name ON schedules (workspace_id, name) WHERE removed_at IS NULL;
CREATE INDEX schedules_due ON schedules (next_at) WHERE removed_at IS NULL AND next_at IS NOT NULL;
"""

FIRES = """
CREATE TABLE fires (
    -- Also the id of the run or batch that it submits: so that it is submitted once, however often it is tried.
    id uuid PRIMARY KEY,
    schedule_id uuid NOT NULL REFERENCES schedules,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    nominal_at timestamptz NOT NULL,
    state text NOT NULL CONSTRAINT fires_state CHECK (state IN
        ('due', 'waiting', 'queued', 'fired', 'skipped', 'missed', 'merged')),
    why text,
    -- Who asked for it by hand; NULL for a tick.
    asked_by text,
    reason text,
    -- When it needs a worker next; NULL once it is decided.
    due_at timestamptz,
    deadline_at timestamptz NOT NULL,
    fence bigint NOT NULL DEFAULT 0,
    tries int NOT NULL DEFAULT 0,
    path text,
    source_sha256 bytea,
    batch_id uuid REFERENCES batches,
    run_id uuid REFERENCES runs,
    created_at timestamptz NOT NULL DEFAULT orch_now(),
    decided_at timestamptz,
    CONSTRAINT fires_open_or_decided CHECK ((due_at IS NULL) = (decided_at IS NOT NULL)),
    CONSTRAINT fires_open_states CHECK ((state IN ('due', 'waiting', 'queued')) = (decided_at IS NULL)),
    CONSTRAINT fires_fired CHECK ((state = 'fired') = (batch_id IS NOT NULL OR run_id IS NOT NULL))
) WITH (fillfactor = 80);
-- One row for a tick, whoever is first: any number of schedulers is harmless.
CREATE UNIQUE INDEX fires_once ON fires (schedule_id, nominal_at);
CREATE INDEX fires_due ON fires (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX fires_in_workspace ON fires (workspace_id, nominal_at);
"""


def upgrade() -> None:
    """Add the tables."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "an online migration has a connection"
    for part in (SCHEDULES, FIRES):
        driver.execute(part)


def downgrade() -> None:
    """Remove them, and every schedule with them."""
    op.execute("DROP TABLE fires")
    op.execute("DROP TABLE schedules")
