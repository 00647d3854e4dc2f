"""Minutes of lanes: how much of its budget each has used lately, and how often it was turned away. For people."""

from __future__ import annotations

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

TABLES = """
-- Kept for two hours. No foreign key: a sample must not wait for a lane that is locked by a claim.
CREATE TABLE lane_minutes (
    lane_id uuid NOT NULL,
    minute timestamptz NOT NULL,
    -- The most requests in any 60 s that ended in this minute, as it was seen every few seconds.
    used int NOT NULL DEFAULT 0,
    -- Answers 429 of this minute.
    turned_away int NOT NULL DEFAULT 0,
    -- When `used` was looked at last; whoever comes a moment later leaves it.
    sampled_at timestamptz,
    PRIMARY KEY (lane_id, minute)
) WITH (fillfactor = 70);
CREATE INDEX lane_minutes_by_time ON lane_minutes (minute);
"""


def upgrade() -> None:
    """Make the table."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "an online migration has a connection"
    driver.execute(TABLES)


def downgrade() -> None:
    """Remove it."""
    op.execute("DROP TABLE lane_minutes")
