"""Looks by what they are worth: a lane's price, how polite a workflow is, and whether its waves keep the order."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Constant defaults only: no table is rewritten under a lock.
COLUMNS = (
    ("lanes", "look_price_s", "double precision NOT NULL DEFAULT 0"),
    ("lanes", "looks_late_s", "double precision NOT NULL DEFAULT 0"),
    ("waves", "started_to", "int NOT NULL DEFAULT 0"),
    ("workflows", "poll_polite", "double precision"),
    ("workflows", "order_broken_at", "timestamptz"),
)

# How many batches want a workflow is asked at each claim, and must not be counted among its thousands of single runs.
BATCHES = "CREATE INDEX timers_batches ON timers (workflow_id) WHERE kind = 'launch' AND batch_id = subject_id"


def upgrade() -> None:
    """Add the columns and the index."""
    for table, column, kind in COLUMNS:
        op.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
    op.execute(BATCHES)


def downgrade() -> None:
    """Remove them."""
    op.execute("DROP INDEX timers_batches")
    for table, column, _ in COLUMNS:
        op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
