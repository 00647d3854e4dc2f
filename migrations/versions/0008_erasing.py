"""Erasing: which runs and batches lost their content on purpose, and whose files are still to be removed."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ENDINGS = "('finished', 'error', 'result_lost', 'cancelled', 'abandoned')"

# NOT VALID: no table is read through under a lock. Rows of before satisfy both: none of them was erased.
ERASED = f"""
ALTER TABLE batches ADD COLUMN erased_at timestamptz;

ALTER TABLE runs ADD COLUMN erased_at timestamptz;
-- Nothing brings a run back that has no input any more.
ALTER TABLE runs ADD CONSTRAINT runs_erased_is_over CHECK (erased_at IS NULL OR status IN {ENDINGS}) NOT VALID;

ALTER TABLE artifacts ADD COLUMN erased_at timestamptz;
-- The key of an erased file goes with the file.
ALTER TABLE artifacts DROP CONSTRAINT artifacts_stored_whole;
ALTER TABLE artifacts ADD CONSTRAINT artifacts_stored_whole CHECK (
    stored_at IS NULL OR (size_bytes IS NOT NULL AND sha256 IS NOT NULL
        AND (store_key IS NOT NULL OR erased_at IS NOT NULL))) NOT VALID;

-- An erased run whose files are still to be removed; the row goes with the last look at its folder.
CREATE TABLE erasures (
    run_id uuid PRIMARY KEY REFERENCES runs,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    -- Its files are removed; the folder is looked at once more for what was on its way just then.
    is_late_look boolean NOT NULL DEFAULT false,
    tries int NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT orch_now()
) WITH (fillfactor = 70);
CREATE INDEX erasures_due ON erasures (due_at);
"""

# Postgres keeps samples of what columns hold, for its planner, and keeps them long after the rows are gone. No plan
# needs the values of these; the samples of before are dropped where Postgres can (18). External ids are looked up by,
# and keep theirs: they are sampled anew after an erasing.
CONTENT = (
    ("inputs", "body"), ("labels", "key"), ("labels", "value"), ("runs", "error_message"), ("artifacts", "filename"),
    ("artifacts", "failure"), ("intents", "detail"), ("batches", "name"), ("batches", "paused_because"),
    ("fires", "path"), ("fires", "why"), ("schedules", "input"), ("idempotency_keys", "body"),
)  # fmt: skip

NOT_SAMPLED = """
ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS 0;
DO $$ BEGIN
    IF to_regproc('pg_catalog.pg_clear_attribute_stats') IS NOT NULL THEN
        PERFORM pg_catalog.pg_clear_attribute_stats(current_schema()::text, '{table}', '{column}', false);
    END IF;
END $$;
"""

SAMPLED = "ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS -1;"

# What was erased stays erased: rows without a key stand as they are.
BEFORE = """
DROP TABLE erasures;
ALTER TABLE artifacts DROP CONSTRAINT artifacts_stored_whole;
ALTER TABLE artifacts ADD CONSTRAINT artifacts_stored_whole CHECK (
    stored_at IS NULL OR (size_bytes IS NOT NULL AND sha256 IS NOT NULL AND store_key IS NOT NULL)) NOT VALID;
ALTER TABLE artifacts DROP COLUMN erased_at;
ALTER TABLE runs DROP CONSTRAINT runs_erased_is_over;
ALTER TABLE runs DROP COLUMN erased_at;
ALTER TABLE batches DROP COLUMN erased_at;
"""


def upgrade() -> None:
    """Add the columns, the rules and the list of what is still to be removed; keep no samples of content."""
    _run(ERASED)
    for table, column in CONTENT:
        _run(NOT_SAMPLED.format(table=table, column=column))


def downgrade() -> None:
    """Remove them. Files that are still to be removed then stay: let the list run empty first."""
    _run(BEFORE)
    for table, column in CONTENT:
        _run(SAMPLED.format(table=table, column=column))


def _run(statements: str) -> None:
    # By the driver itself: what stands between the quotes is plain SQL, percent signs included.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "an online migration has a connection"
    driver.execute(statements)
