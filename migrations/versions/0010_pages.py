"""Pages of runs by an index each, whatever they are filtered by, however many runs there are."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# While they are built nobody writes runs.
INDEXES = (
    # Of a workflow or a connection, in one status or in all: each status gives its newest.
    "CREATE INDEX runs_of_workflow ON runs (workflow_id, status, id)",
    # Beside `runs_live`: a run comes into it once, with its end.
    """CREATE INDEX runs_ended ON runs (workspace_id, status, id)
       WHERE status IN ('finished', 'error', 'result_lost', 'cancelled', 'abandoned')""",
    "CREATE INDEX runs_external_ids ON runs (workspace_id, external_id, id) WHERE external_id IS NOT NULL",
    # Periods are found by the time inside the id. These are the few whose id was made more than five minutes before or
    # after they were created: they waited to be submitted, or a clock was wrong.
    """CREATE INDEX runs_out_of_step ON runs (workspace_id, id)
       WHERE abs(date_part('epoch', created_at - '1970-01-01 00:00:00+00'::timestamptz) * 1000
           - ('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint) > 300000""",
    "CREATE INDEX workflows_remote ON workflows (workspace_id, remote_id)",
    "CREATE INDEX connections_named ON connections (workspace_id, name)",
)
NAMES = (
    "runs_of_workflow", "runs_ended", "runs_external_ids", "runs_out_of_step", "workflows_remote", "connections_named",
)  # fmt: skip


def upgrade() -> None:
    """Add the indexes."""
    # By the driver itself: what stands between the quotes is plain SQL, colons included.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "an online migration has a connection"
    for index in INDEXES:
        driver.execute(index)


def downgrade() -> None:
    """Remove them."""
    for name in NAMES:
        op.execute(f"DROP INDEX {name}")
