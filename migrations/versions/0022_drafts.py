"""Drafts: files that were uploaded to a page and are looked at before they become batches."""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

TABLES = """
-- A file between its preview and its start. Its id is the batch's that it becomes: so that pressed twice is one batch.
CREATE TABLE drafts (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    actor text NOT NULL,
    filename text,
    size_bytes bigint NOT NULL,
    options jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT orch_now()
);
CREATE INDEX drafts_created ON drafts (created_at);
CREATE INDEX drafts_of_workspace ON drafts (workspace_id);

-- In pieces, so that nobody holds a whole file in memory to write or read it.
CREATE TABLE draft_pieces (
    draft_id uuid NOT NULL REFERENCES drafts ON DELETE CASCADE,
    n integer NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (draft_id, n)
);
"""


def upgrade() -> None:
    """Make the tables."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "an online migration has a connection"
    driver.execute(TABLES)


def downgrade() -> None:
    """Remove them. Whoever was looking at a file uploads it again."""
    op.execute("DROP TABLE draft_pieces")
    op.execute("DROP TABLE drafts")
