"""Access: since when a connection leads where it leads, and when a token was last told to stand in a URL."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# Nullable and without a default: no table is rewritten under a lock.
COLUMNS = (
    # NULL: never changed. What was launched before it is never sent again: the key may belong to another workspace.
    ("connections", "access_changed_at", "timestamptz"),
    ("tokens", "exposed_at", "timestamptz"),
)


def upgrade() -> None:
    """Add the columns."""
    for table, column, kind in COLUMNS:
        op.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")


def downgrade() -> None:
    """Remove them."""
    for table, column, _ in COLUMNS:
        op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
