"""Runs that others started, found without reading all that were submitted here."""

from __future__ import annotations

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

#: Small where nothing is watched: what is submitted here never writes to it.
INDEX = "CREATE INDEX runs_observed ON runs (workspace_id, id) WHERE origin = 'observed'"


def upgrade() -> None:
    """Add the index."""
    op.execute(INDEX)


def downgrade() -> None:
    """Remove it."""
    op.execute("DROP INDEX runs_observed")
