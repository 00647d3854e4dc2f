"""The schema: it comes, goes and comes again, by any number of migrators at once, and its history cannot be changed."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from sqlalchemy import NullPool, create_engine, text

from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.runtime import system_sources, uuid7
from orchestrator.storage.migrate import current_state, migrate

#: The number that `migrations/env.py` locks; a test that holds it makes every migrator wait.
MIGRATORS_LOCK = 7_205_011
PATIENCE_S = 60.0

_numbers = itertools.count()

#: Everything that a migration can make or leave behind, as comparable lines.
CATALOGUE = """
    SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable
        || COALESCE(' ' || column_default, '')
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT 'trigger ' || tgrelid::regclass || ' ' || tgname || ' ' || tgenabled::text
        FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'routine ' || p.oid::regprocedure FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'sequence ' || sequencename FROM pg_sequences WHERE schemaname = 'public'
    ORDER BY 1"""

INSERT_EVENT = """
    INSERT INTO events (stream, seq, at, type, actor, data, hash)
    VALUES (%s, %s, now(), 'submitted', 'test', '{}', %s)"""


@pytest.fixture
def empty(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database without a schema; gives its name."""
    name = f"empty_{next(_numbers)}"
    postgres.create_database(name)
    yield name
    postgres.drop_database(name)


@pytest.fixture
def migrated(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database with the schema; gives its name."""
    name = f"migrated_{next(_numbers)}"
    postgres.create_database(name, template="orchestrator")
    yield name
    postgres.drop_database(name)


def _catalogue(postgres: EmbeddedPostgres, database: str) -> list[str]:
    with psycopg.connect(postgres.libpq(database)) as connection:
        return [str(row[0]) for row in connection.execute(CATALOGUE) if "alembic_version" not in str(row[0])]


def test_the_schema_comes_and_goes_and_comes_again(postgres: EmbeddedPostgres, empty: str) -> None:
    url = postgres.dsn(empty)
    assert current_state(url).current is None

    assert migrate(url).is_current
    first = _catalogue(postgres, empty)
    assert any("executions_one_open" in line for line in first)

    assert migrate(url, revision="base").current is None
    assert _catalogue(postgres, empty) == []

    assert migrate(url).is_current
    assert _catalogue(postgres, empty) == first


def test_migrating_what_is_migrated_changes_nothing(postgres: EmbeddedPostgres, migrated: str) -> None:
    before = _catalogue(postgres, migrated)
    assert migrate(postgres.dsn(migrated)).is_current
    assert _catalogue(postgres, migrated) == before


def test_two_processes_that_migrate_at_once_both_succeed(postgres: EmbeddedPostgres, empty: str) -> None:
    program = "import sys; from orchestrator.storage.migrate import migrate; assert migrate(sys.argv[1]).is_current"
    with psycopg.connect(postgres.libpq(empty), autocommit=True) as guard:
        guard.execute("SELECT pg_advisory_lock(%s)", (MIGRATORS_LOCK,))
        both = [
            subprocess.Popen(
                [sys.executable, "-c", program, postgres.dsn(empty)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
            )
            for _ in range(2)
        ]
        try:
            _await_waiting(guard, 2)
            guard.execute("SELECT pg_advisory_unlock(%s)", (MIGRATORS_LOCK,))
            said = [process.communicate(timeout=PATIENCE_S)[1].decode() for process in both]
        finally:
            for process in both:
                process.kill()
    assert [process.returncode for process in both] == [0, 0], said
    assert current_state(postgres.dsn(empty)).is_current


def _await_waiting(guard: psycopg.Connection[tuple[object, ...]], count: int) -> None:
    """Return when so many migrators wait for the lock: only then are they really at it at once."""
    until = time.monotonic() + PATIENCE_S
    waiting = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    while time.monotonic() < until:
        row = guard.execute(waiting).fetchone()
        if row is not None and row[0] == count:
            return
        time.sleep(0.02)
    raise AssertionError(f"not {count} migrators wait for the lock")


def test_a_failed_migration_leaves_nothing_behind(postgres: EmbeddedPostgres, empty: str) -> None:
    with psycopg.connect(postgres.libpq(empty)) as connection:
        connection.execute("CREATE TABLE workspaces (id int)")  # in the way of the migration's second part
    before = _catalogue(postgres, empty)
    with pytest.raises(psycopg.errors.DuplicateTable, match="workspaces"):
        migrate(postgres.dsn(empty))
    assert _catalogue(postgres, empty) == before
    assert current_state(postgres.dsn(empty)).current is None


def test_runs_are_checked_against_their_workflows_while_others_write(postgres: EmbeddedPostgres, empty: str) -> None:
    is_checked = "SELECT convalidated FROM pg_constraint WHERE conname = 'runs_workflow'"
    migrate(postgres.dsn(empty), revision="0025")
    with psycopg.connect(postgres.libpq(empty)) as writer:
        assert writer.execute(is_checked).fetchone() == (False,), "the lock of the change is not held so long"
        writer.execute("LOCK TABLE runs, workflows IN ROW EXCLUSIVE MODE")
        migrate(postgres.dsn(empty), revision="0026")
        assert writer.execute(is_checked).fetchone() == (True,)


@pytest.mark.parametrize("role", ["origin", "replica", "local"])
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE {table} SET actor = 'somebody else'",
        "DELETE FROM {table}",
        "TRUNCATE {table}",
    ],
)
def test_history_refuses_every_change_even_by_the_superuser_in_any_replication_role(
    postgres: EmbeddedPostgres, migrated: str, role: str, change: str
) -> None:
    with psycopg.connect(postgres.superuser_libpq(migrated), autocommit=True) as connection:
        stream = system_sources().new_id()
        connection.execute(INSERT_EVENT, (stream, 1, bytes(32)))
        found = connection.execute("SELECT tableoid::regclass::text FROM events").fetchone()
        assert found is not None
        connection.execute(f"SET session_replication_role = {role}")
        for table in ("events", str(found[0])):
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="append-only"):
                connection.execute(change.format(table=table))
        rest = connection.execute("SELECT actor FROM events WHERE stream = %s", (stream,)).fetchall()
        assert rest == [("test",)]


def test_a_partition_that_is_made_later_is_guarded_like_the_first(postgres: EmbeddedPostgres, migrated: str) -> None:
    later = datetime(2041, 7, 15, tzinfo=UTC)
    with psycopg.connect(postgres.superuser_libpq(migrated), autocommit=True) as connection:
        for _ in range(2):  # harmless when it exists
            connection.execute("SELECT events_partition(%s)", (later,))
        stream = uuid7(int(later.timestamp() * 1000), 7)
        connection.execute(INSERT_EVENT, (stream, 1, bytes(32)))
        found = connection.execute("SELECT tableoid::regclass::text FROM events").fetchone()
        assert found == ("events_2041_07",)
        connection.execute("SET session_replication_role = replica")
        for change in ("UPDATE events_2041_07 SET data = ''", "DELETE FROM events", "TRUNCATE events_2041_07"):
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
                connection.execute(change)


def test_history_of_this_month_lies_in_this_months_partition(postgres: EmbeddedPostgres, migrated: str) -> None:
    with psycopg.connect(postgres.libpq(migrated), autocommit=True) as connection:
        now = datetime.now(UTC)
        connection.execute("SELECT events_partition(%s)", (now,))
        connection.execute(INSERT_EVENT, (uuid7(int(now.timestamp() * 1000), 1), 1, bytes(32)))
        found = connection.execute("SELECT tableoid::regclass::text FROM events").fetchone()
        assert found == (f"events_{now:%Y_%m}",)


def test_a_place_in_a_stream_can_be_taken_once(postgres: EmbeddedPostgres, migrated: str) -> None:
    with psycopg.connect(postgres.libpq(migrated), autocommit=True) as connection:
        stream = system_sources().new_id()
        connection.execute(INSERT_EVENT, (stream, 1, bytes(32)))
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute(INSERT_EVENT, (stream, 1, bytes(32)))


def test_the_one_clock_can_be_turned_for_one_session_only(postgres: EmbeddedPostgres, migrated: str) -> None:
    engine = create_engine(postgres.dsn(migrated), poolclass=NullPool)
    turned = datetime(2031, 1, 2, 3, 4, 5, tzinfo=UTC)
    with engine.connect() as one, engine.connect() as other:
        one.execute(text("SELECT set_config('orch.now', :now, false)"), {"now": turned.isoformat()})
        assert one.execute(text("SELECT orch_now()")).scalar_one() == turned
        assert other.execute(text("SELECT orch_now() = now()")).scalar_one() is True
