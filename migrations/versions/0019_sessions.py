"""Sessions of the pages: a browser that somebody signed in to with a token; and links that sign in once."""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TABLES = """
-- A browser acts with a token's scopes for as long as the token is good. The cookie's secret is kept nowhere: this is
-- its keyed hash.
CREATE TABLE sessions (
    digest bytea PRIMARY KEY,
    token_id uuid NOT NULL REFERENCES tokens,
    created_at timestamptz NOT NULL DEFAULT orch_now(),
    last_used_at timestamptz NOT NULL DEFAULT orch_now()
) WITH (fillfactor = 70);
CREATE INDEX sessions_of_token ON sessions (token_id);
CREATE INDEX sessions_created ON sessions (created_at);

-- Printed by `orchestrator up`. Taken away when it is used.
CREATE TABLE sign_in_links (
    digest bytea PRIMARY KEY,
    token_id uuid NOT NULL REFERENCES tokens,
    expires_at timestamptz NOT NULL
);
"""


def upgrade() -> None:
    """Make the tables."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "an online migration has a connection"
    driver.execute(TABLES)


def downgrade() -> None:
    """Remove them. Whoever is signed in signs in again."""
    op.execute("DROP TABLE sign_in_links")
    op.execute("DROP TABLE sessions")
