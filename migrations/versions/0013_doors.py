"""Drop-in doors: the connection that a token speaks for, and a workflow's own dates, as its provider tells them."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# Nullable and without a default: no table is rewritten under a lock.
COLUMNS = (
    ("tokens", "connection_id", "uuid REFERENCES connections"),
    ("workflows", "remote_created_at", "timestamptz"),
    ("workflows", "remote_updated_at", "timestamptz"),
)


def upgrade() -> None:
    """Add the columns."""
    for table, column, kind in COLUMNS:
        op.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")


def downgrade() -> None:
    """Remove them."""
    for table, column, _ in COLUMNS:
        op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
