"""Lists by what went wrong, and lists of batches, by an index each."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0013"
branch_labels = None
depends_on = None

INDEXES = (
    # A run comes into these once, with an end that was not good: what goes well never writes to them.
    "CREATE INDEX runs_failed ON runs (workspace_id, error_code, id) WHERE error_code IS NOT NULL",
    "CREATE INDEX runs_failed_of_workflow ON runs (workflow_id, error_code, id) WHERE error_code IS NOT NULL",
    # One entry for each batch, written with it: the hot rows are not here.
    "CREATE INDEX batches_of_workflow ON batches (workflow_id, id)",
    # As `runs_out_of_step`: the few whose id was made more than five minutes before or after they were created.
    """CREATE INDEX batches_out_of_step ON batches (workspace_id, id)
       WHERE abs(date_part('epoch', created_at - '1970-01-01 00:00:00+00'::timestamptz) * 1000
           - ('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint) > 300000""",
)
NAMES = ("runs_failed", "runs_failed_of_workflow", "batches_of_workflow", "batches_out_of_step")


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
