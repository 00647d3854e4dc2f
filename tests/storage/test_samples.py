"""Postgres keeps no samples of content: neither of what is stored from now on, nor of what an older version stored."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.storage.migrate import migrate

MARKER = "ada-lovelace-1815"

#: A table of keys and answers stands alone, so that a row of it needs no others but its workspace.
STORE = """
    INSERT INTO workspaces (id, name) VALUES (gen_random_uuid(), 'w');
    INSERT INTO idempotency_keys (workspace_id, key, fingerprint, body)
        SELECT w.id, 'k' || n, '', 'ada-lovelace-1815 ' || n FROM workspaces w, generate_series(1, 50) n;
    ANALYZE"""

SAMPLED = """
    SELECT attname FROM pg_stats WHERE tablename = 'idempotency_keys'
        AND concat(most_common_vals::text, histogram_bounds::text) LIKE %s"""


@pytest.fixture
def older(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database of the version before, with something stored and sampled; gives its name."""
    postgres.create_database("samples")
    migrate(postgres.dsn("samples"), revision="0007")
    with psycopg.connect(postgres.libpq("samples"), autocommit=True) as connection:
        connection.execute(STORE)
    yield "samples"
    postgres.drop_database("samples")


def test_samples_of_an_older_version_are_dropped_and_no_new_ones_are_taken(
    postgres: EmbeddedPostgres, older: str
) -> None:
    with psycopg.connect(postgres.libpq(older), autocommit=True) as connection:
        assert connection.execute(SAMPLED, (f"%{MARKER}%",)).fetchall() == [("body",)]
        assert migrate(postgres.dsn(older)).is_current
        assert connection.execute(SAMPLED, (f"%{MARKER}%",)).fetchall() == []
        connection.execute("ANALYZE")
        assert connection.execute(SAMPLED, (f"%{MARKER}%",)).fetchall() == []
        assert connection.execute("SELECT count(*) FROM idempotency_keys").fetchall() == [(50,)]
