"""What providers tell: how far an execution is, versions of their API that end, and how their rate stands."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE executions
    -- NULL: the provider says nothing of it, which is not the same as 0.
    ADD COLUMN progress_fraction double precision
        CONSTRAINT executions_progress CHECK (progress_fraction BETWEEN 0 AND 1),
    ADD COLUMN progress_message text,
    ADD COLUMN estimated_completion_at timestamptz;

ALTER TABLE connections
    -- The version of the provider's API that is asked for; NULL where it has none.
    ADD COLUMN api_version text,
    -- The provider has said that this version ends. All but the time is in its own words, and may be missing.
    ADD COLUMN ending_told_at timestamptz,
    ADD COLUMN ending_version text,
    ADD COLUMN ending_sunset_at timestamptz,
    ADD COLUMN ending_replacement text;
-- Connections were made when this was the only version that was asked for.
UPDATE connections SET api_version = '2026-08-01' WHERE provider = 'scripe';

-- What is sent again under its key is the same request: with the version that it was first sent with.
ALTER TABLE intents ADD COLUMN api_version text;
UPDATE intents i SET api_version = '2026-08-01' FROM workflows w JOIN connections c ON c.id = w.connection_id
    WHERE w.id = i.workflow_id AND c.provider = 'scripe' AND i.outcome IS NULL;

ALTER TABLE lanes
    -- The provider's own limit, where it tells a lower one than was declared.
    ADD COLUMN told_limit int CONSTRAINT lanes_told_limit CHECK (told_limit > 0),
    -- What others spent of the limit, by the provider's last word: [count, one comes back at, all are back at], ms.
    ADD COLUMN spent_elsewhere jsonb;
"""


def upgrade() -> None:
    """Add the columns."""
    op.execute(COLUMNS)


def downgrade() -> None:
    """Remove them; the next looks would tell again."""
    op.execute(
        "ALTER TABLE executions DROP COLUMN progress_fraction, DROP COLUMN progress_message,"
        " DROP COLUMN estimated_completion_at"
    )
    op.execute(
        "ALTER TABLE connections DROP COLUMN api_version, DROP COLUMN ending_told_at, DROP COLUMN ending_version,"
        " DROP COLUMN ending_sunset_at, DROP COLUMN ending_replacement"
    )
    op.execute("ALTER TABLE intents DROP COLUMN api_version")
    op.execute("ALTER TABLE lanes DROP COLUMN told_limit, DROP COLUMN spent_elsewhere")
