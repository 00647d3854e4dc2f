"""Retention: which months of the history were retired, on what proof, and whose turn it is to look for the next."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

RETENTION = """
-- One row for each month that was retired, written in the transaction that drops it. The same stands in the
-- workspace's own history, where it is hashed and signed: this row is for whoever asks by SQL.
CREATE TABLE retirements (
    partition text PRIMARY KEY,
    workspace_id uuid NOT NULL,
    -- The streams that were in it: [first_stream, until_stream).
    first_stream uuid NOT NULL,
    until_stream uuid NOT NULL,
    streams bigint NOT NULL,
    events bigint NOT NULL,
    last_at timestamptz NOT NULL,
    -- The last checkpoint that holds the ends of all of them.
    checkpoint bigint NOT NULL,
    export text NOT NULL,
    manifest_sha256 text NOT NULL,
    retired_at timestamptz NOT NULL DEFAULT orch_now()
);
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON retirements FOR EACH ROW EXECUTE FUNCTION events_refuse();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON retirements EXECUTE FUNCTION events_refuse();
ALTER TABLE retirements ENABLE ALWAYS TRIGGER no_change;
ALTER TABLE retirements ENABLE ALWAYS TRIGGER no_truncate;

-- Where each round has come, and when it goes on. `due_at` is the end of the lease of
-- whoever holds it: a late holder finds another one.
CREATE TABLE retention_rounds (
    kind text PRIMARY KEY CONSTRAINT retention_rounds_kind CHECK (kind IN ('history', 'batches', 'runs')),
    reached uuid,
    due_at timestamptz NOT NULL DEFAULT orch_now(),
    is_held boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);
INSERT INTO retention_rounds (kind) VALUES ('history'), ('batches'), ('runs');

-- Detaches and drops a month of the history, or leaves everything as it is: 'gone', 'busy' or 'moved'. It never queues
-- for a lock: whoever queues for this one makes everybody queue behind it. CONCURRENTLY is not to be had, because
-- there is a default partition; and it would be two transactions, with a half in between.
CREATE FUNCTION events_retire(partition text, last_at timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    has_moved boolean;
BEGIN
    PERFORM set_config('lock_timeout', '100ms', true);
    BEGIN
        LOCK TABLE ONLY events IN ACCESS EXCLUSIVE MODE NOWAIT;
        LOCK TABLE ONLY events_default IN ACCESS EXCLUSIVE MODE NOWAIT;
        EXECUTE format('LOCK TABLE ONLY %I IN ACCESS EXCLUSIVE MODE NOWAIT', partition);
        EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE at > $1)', partition) INTO has_moved USING last_at;
        IF has_moved THEN RETURN 'moved'; END IF;
        EXECUTE format('ALTER TABLE events DETACH PARTITION %I', partition);
        EXECUTE format('DROP TABLE %I', partition);
    EXCEPTION WHEN lock_not_available THEN
        RETURN 'busy';
    END;
    RETURN 'gone';
END $$;
"""


def upgrade() -> None:
    """Add two small tables and a function; nothing that is there is touched."""
    # By the driver itself: what stands between the quotes is plain SQL, percent signs included.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "an online migration has a connection"
    driver.execute(RETENTION)


def downgrade() -> None:
    """Remove them. Months that were retired stay retired: their exports are all that is left of them."""
    op.execute("DROP FUNCTION events_retire(text, timestamptz)")
    op.execute("DROP TABLE retention_rounds")
    op.execute("DROP TABLE retirements")
