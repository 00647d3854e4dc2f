"""How far the database has come, to be compared with a mark outside; and who holds launches because it went back."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

HIGHWATER = """
-- One row. The incarnation says which database this is: every copy of it has the same.
CREATE TABLE highwater (
    one boolean PRIMARY KEY DEFAULT true CONSTRAINT highwater_one CHECK (one),
    incarnation uuid NOT NULL DEFAULT gen_random_uuid(),
    epoch int NOT NULL DEFAULT 0,
    mark bigint NOT NULL DEFAULT 0,
    advanced_at timestamptz NOT NULL DEFAULT orch_now()
) WITH (fillfactor = 50);
INSERT INTO highwater DEFAULT VALUES;

-- While a row is here, nothing is launched. One for each folder outside that knows more than this database.
CREATE TABLE launch_holds (
    folder uuid PRIMARY KEY,
    place text NOT NULL,
    code text NOT NULL CONSTRAINT launch_holds_code CHECK (
        code IN ('older', 'foreign', 'lost_launches', 'swapped', 'copied', 'damaged')),
    because text NOT NULL,
    held_at timestamptz NOT NULL DEFAULT orch_now()
);
"""


def upgrade() -> None:
    """Make both tables, and the one row."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "an online migration has a connection"
    driver.execute(HIGHWATER)


def downgrade() -> None:
    """Remove them. A database that was held is held no more."""
    op.execute("DROP TABLE launch_holds")
    op.execute("DROP TABLE highwater")
