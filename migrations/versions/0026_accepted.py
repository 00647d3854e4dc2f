"""The runs of before are checked against their workflow, while runs are read and written."""

from __future__ import annotations

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Check what 0025 left unchecked: in a transaction of its own, which keeps nobody from a run."""
    op.execute("ALTER TABLE runs VALIDATE CONSTRAINT runs_workflow")


def downgrade() -> None:
    """Nothing to take back: 0025 takes the key itself."""
