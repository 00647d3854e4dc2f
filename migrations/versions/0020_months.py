"""Months: nobody queues behind whoever makes a partition; and which of those that should go could not be proven."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

# What it returns: 'there', 'made', 'stays' (its events began in the default partition) or 'busy'. An export holds the
# history for as long as it takes, and whoever queues for ACCESS EXCLUSIVE behind it makes every insert queue too.
PARTITION = """
DROP FUNCTION events_partition(timestamptz);
CREATE FUNCTION events_partition(month timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    first timestamptz := date_trunc('month', month AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
    next timestamptz := (date_trunc('month', month AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
    name text := 'events_' || to_char(month AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    IF to_regclass(name) IS NOT NULL THEN RETURN 'there'; END IF;
    -- Many sweepers come at the month's turn; one makes it, the others find it made.
    PERFORM pg_advisory_xact_lock(7205013);
    IF to_regclass(name) IS NOT NULL THEN RETURN 'there'; END IF;
    IF EXISTS (SELECT FROM events_default WHERE stream >= events_bound(first) AND stream < events_bound(next)) THEN
        RETURN 'stays';
    END IF;
    BEGIN
        LOCK TABLE ONLY events IN ACCESS EXCLUSIVE MODE NOWAIT;
        LOCK TABLE ONLY events_default IN ACCESS EXCLUSIVE MODE NOWAIT;
    EXCEPTION WHEN lock_not_available THEN
        RETURN 'busy';
    END;
    -- Again, now that nobody writes: what came meanwhile would make the next statement fail.
    IF EXISTS (SELECT FROM events_default WHERE stream >= events_bound(first) AND stream < events_bound(next)) THEN
        RETURN 'stays';
    END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF events FOR VALUES FROM (%L) TO (%L)',
        name, events_bound(first), events_bound(next));
    PERFORM events_guard(name::regclass);
    RETURN 'made';
END $$;
"""
UNPROVEN = """
-- Months of the history whose exports did not prove them when they were last tried.
ALTER TABLE retention_rounds ADD COLUMN unproven text[] NOT NULL DEFAULT '{}';
"""

BEFORE = """
DROP FUNCTION events_partition(timestamptz);
CREATE FUNCTION events_partition(month timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first timestamptz := date_trunc('month', month AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
    next timestamptz := (date_trunc('month', month AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
    name text := 'events_' || to_char(month AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    IF to_regclass(name) IS NOT NULL THEN RETURN; END IF;
    -- Many sweepers come at the month's turn; one makes it, the others find it made.
    PERFORM pg_advisory_xact_lock(7205013);
    IF to_regclass(name) IS NOT NULL THEN RETURN; END IF;
    IF EXISTS (SELECT FROM events_default WHERE stream >= events_bound(first) AND stream < events_bound(next)) THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF events FOR VALUES FROM (%L) TO (%L)',
        name, events_bound(first), events_bound(next));
    PERFORM events_guard(name::regclass);
END $$;
"""


def upgrade() -> None:
    """Replace a function, and add a column to a table of three rows."""
    _execute(PARTITION + UNPROVEN)


def downgrade() -> None:
    """Go back to the function of 0004."""
    _execute(BEFORE + "ALTER TABLE retention_rounds DROP COLUMN unproven;")


def _execute(statements: str) -> None:
    # By the driver itself: what stands between the quotes is plain SQL, percent signs included.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "an online migration has a connection"
    driver.execute(statements)
