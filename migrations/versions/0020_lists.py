"""Observing by list: when a connection's list of executions is next worth asking for, and where it is not to be had."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0016"
branch_labels = None
depends_on = None

#: Nullable, without defaults: no table is rewritten under a lock.
COLUMNS = ("list_due_at", "list_off_until")


def upgrade() -> None:
    """Add the columns."""
    for column in COLUMNS:
        op.execute(f"ALTER TABLE connections ADD COLUMN {column} timestamptz")


def downgrade() -> None:
    """Remove them; what they held is found out anew."""
    for column in COLUMNS:
        op.execute(f"ALTER TABLE connections DROP COLUMN {column}")
