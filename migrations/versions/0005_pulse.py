"""Since when some worker or other was heard without a gap: what lets a young worker call a silent one dead."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the one row that every heartbeat touches."""
    op.execute(
        "CREATE TABLE pulse (is_the_one boolean PRIMARY KEY DEFAULT true CONSTRAINT pulse_one CHECK (is_the_one),"
        " since timestamptz NOT NULL, last timestamptz NOT NULL) WITH (fillfactor = 50)"
    )
    op.execute("INSERT INTO pulse (since, last) VALUES (orch_now(), orch_now())")


def downgrade() -> None:
    """Remove it."""
    op.execute("DROP TABLE pulse")
