"""Progress: how far an execution says it is, beside the attempt that it belongs to."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0016"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE executions
    -- NULL: the provider says nothing of it, which is not the same as 0.
    ADD COLUMN progress_fraction double precision
        CONSTRAINT executions_progress CHECK (progress_fraction BETWEEN 0 AND 1),
    ADD COLUMN progress_message text,
    ADD COLUMN estimated_completion_at timestamptz;
"""


def upgrade() -> None:
    """Add the columns."""
    op.execute(COLUMNS)


def downgrade() -> None:
    """Remove them; the next looks would tell again."""
    op.execute(
        "ALTER TABLE executions DROP COLUMN progress_fraction, DROP COLUMN progress_message,"
        " DROP COLUMN estimated_completion_at"
    )
