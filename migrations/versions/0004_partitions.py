"""A month whose first events came before its partition stays in the default one, instead of failing every sweep."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_HEAD = """
CREATE OR REPLACE FUNCTION events_partition(month timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first timestamptz := date_trunc('month', month AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
    next timestamptz := (date_trunc('month', month AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
    name text := 'events_' || to_char(month AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    IF to_regclass(name) IS NOT NULL THEN RETURN; END IF;
    -- Many sweepers come at the month's turn; one makes it, the others find it made.
    PERFORM pg_advisory_xact_lock(7205013);
    IF to_regclass(name) IS NOT NULL THEN RETURN; END IF;
"""

# An installation that stood still over a month's turn has written into the default partition. History is append-only,
# so its rows are not moved: the month stays where it began.
_STAYS = """
    IF EXISTS (SELECT FROM events_default WHERE stream >= events_bound(first) AND stream < events_bound(next)) THEN
        RETURN;
    END IF;
"""

_TAIL = """
    EXECUTE format('CREATE TABLE %I PARTITION OF events FOR VALUES FROM (%L) TO (%L)',
        name, events_bound(first), events_bound(next));
    PERFORM events_guard(name::regclass);
END $$;
"""


def upgrade() -> None:
    """Let a month that began in the default partition stay there."""
    _replace(_HEAD + _STAYS + _TAIL)


def downgrade() -> None:
    """Go back to the function of 0001."""
    _replace(_HEAD + _TAIL)


def _replace(function: str) -> None:
    # By the driver itself: what stands between the quotes is plain SQL, percent signs included.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "an online migration has a connection"
    driver.execute(function)
