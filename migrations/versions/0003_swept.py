"""When a worker swept last: that nobody sweeps must be seen, for nothing else finds dead workers."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; a worker of the version before leaves it empty."""
    op.execute("ALTER TABLE workers ADD COLUMN swept_at timestamptz")


def downgrade() -> None:
    """Remove it."""
    op.execute("ALTER TABLE workers DROP COLUMN swept_at")
