"""Checkpoints: signed roots over the heads of all streams, so that a rewritten history shows."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# By time, for the streams that moved lately and for exports of a period. Events are written in the order of time, so
# that a summary of each range of pages is all it takes: nothing is added to what an event costs to write.
EVENTS_BY_TIME = "CREATE INDEX events_at ON events USING brin (at) WITH (pages_per_range = 32, autosummarize = on)"

# Nothing happens by nobody: what the product does by itself is done by `orchestrator`.
ACTOR = "ALTER TABLE events ADD CONSTRAINT events_actor CHECK (actor <> '')"

CHECKPOINTS = """
-- Every key that ever signed: checkpoints of long ago must still be read.
CREATE TABLE signing_keys (
    id text PRIMARY KEY,
    public_key bytea NOT NULL,
    first_used_at timestamptz NOT NULL DEFAULT orch_now()
);

CREATE TABLE checkpoints (
    -- No foreign key: its check would wait for whoever writes the workspace's own history just now.
    workspace_id uuid NOT NULL,
    number bigint NOT NULL,
    -- Exactly what is signed.
    body text NOT NULL,
    signature bytea NOT NULL,
    -- The heads under its root, 56 bytes each: stream, seq, hash; in the order of the root.
    heads bytea NOT NULL,
    at timestamptz NOT NULL,
    -- Events before it are anchored: the next checkpoint looks from here on.
    settled_until timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, number)
);
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON checkpoints FOR EACH ROW EXECUTE FUNCTION events_refuse();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON checkpoints EXECUTE FUNCTION events_refuse();
ALTER TABLE checkpoints ENABLE ALWAYS TRIGGER no_change;
ALTER TABLE checkpoints ENABLE ALWAYS TRIGGER no_truncate;

-- How far each stream was anchored by the last checkpoint that held it.
CREATE TABLE anchored_heads (
    stream uuid PRIMARY KEY,
    seq bigint NOT NULL
) WITH (fillfactor = 70);
"""


def upgrade() -> None:
    """Make the tables, and the index by which the streams that moved are found."""
    op.execute(EVENTS_BY_TIME)
    op.execute(ACTOR)
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "an online migration has a connection"
    driver.execute(CHECKPOINTS)


def downgrade() -> None:
    """Remove them."""
    for table in ("anchored_heads", "checkpoints", "signing_keys"):
        op.execute(f"DROP TABLE {table}")
    op.execute("ALTER TABLE events DROP CONSTRAINT events_actor")
    op.execute("DROP INDEX events_at")
