"""Fills a database with a world: lanes through the product's own words, then rows by SQL into the real tables.

Secondary indexes are dropped and built again afterwards: five times as fast. Nothing of it waits for the disk; what is
measured later does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg

from benchmarks.costs import OBSERVER
from benchmarks.scale import live_rows, settled_rows
from orchestrator.engine.deps import API_KEY, Deps

#: What a constraint stands on is left alone, and so are tables that get few rows.
_INDEXES = """
    SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS definition
    FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
    WHERE t.relname IN ('runs', 'executions', 'timers', 'intents', 'labels')
        AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)"""

_OWNER = "SELECT relowner::regrole::text FROM pg_class WHERE oid = 'events'::regclass"
_MONTHS = "SELECT events_partition(now() - n * interval '1 month') FROM generate_series(0, 3) n"


def lanes_of(runs: int) -> int:
    """Return how many lanes so many runs are spread over."""
    return max(10, runs // live_rows.RUNS_A_LANE)


async def add_lanes(deps: Deps, workspace: UUID, base_url: str, superuser: str, runs: int) -> None:
    """Make the lanes of a world: each with a key, a connection and a workflow of its own."""
    connections, lanes, workflows = [], [], []
    for number in range(lanes_of(runs)):
        connection, lane = uuid4(), uuid4()
        key = deps.sealer.seal(f"sk-lane-{number}", column=API_KEY, row=connection)
        lanes.append((lane, f"lane-{number}", 10_000))
        connections.append((connection, workspace, lane, f"lane-{number:06}", "script", base_url, key, "", 10_000))
        workflows.append((uuid4(), workspace, connection, lane, f"workflow-{number}", "Free form"))
    with _connected(superuser) as connection_, connection_.cursor() as cursor:
        for table, lines in (
            ("lanes (id, limit_key, requests_per_minute)", lanes),
            ("connections (id, workspace_id, lane_id, name, provider, base_url, api_key, key_hint, max_concurrent)",
             connections),
            ("workflows (id, workspace_id, connection_id, lane_id, remote_id, name)", workflows),
        ):  # fmt: skip
            with cursor.copy(f"COPY {table} FROM STDIN".encode()) as copy:
                for line in lines:
                    copy.write_row(line)


def fill_live(superuser: str, runs: int) -> None:
    """Make the runs that live. The world's lanes are there."""
    _run(superuser, live_rows.STEPS, {"runs": runs})


def fill_settled(superuser: str, runs: int) -> None:
    """Make as many that have ended."""
    words = {"runs": runs, "batches": -(-runs // settled_rows.BATCH_SIZE), "lanes": lanes_of(runs)}
    _run(superuser, (live_rows.PLACE, *settled_rows.STEPS), words)


def _run(superuser: str, steps: tuple[str, ...], words: dict[str, Any]) -> None:
    with _connected(superuser) as connection, _without_autovacuum(connection):
        with _without_indexes(connection):
            for step in steps:
                connection.execute(step.encode(), words)
        # As a database that has lived: else autovacuum would do it while something is measured.
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")


@contextmanager
def _connected(superuser: str) -> Iterator[psycopg.Connection]:
    # The client binds: several statements go in one, and none is prepared.
    with psycopg.connect(
        superuser, autocommit=True, cursor_factory=psycopg.ClientCursor, application_name=OBSERVER
    ) as connection:
        # A superuser may leave out the checks of references, which would take most of the time.
        connection.execute(
            "SET session_replication_role = replica; SET synchronous_commit = off; SET maintenance_work_mem = '256MB';"
            " SET work_mem = '128MB'; SET idle_in_transaction_session_timeout = 0; SET temp_buffers = '64MB'"
        )
        yield connection


@contextmanager
def _without_autovacuum(connection: psycopg.Connection) -> Iterator[None]:
    # It would read all of it while it is being made, and once more when the indexes are there.
    connection.execute("ALTER SYSTEM SET autovacuum = off")
    connection.execute("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        connection.execute("ALTER SYSTEM RESET autovacuum")
        connection.execute("SELECT pg_reload_conf()")


def _make_months(connection: psycopg.Connection) -> None:
    # As who owns the history, or the product could not take out a month that was made here.
    [[owner]] = connection.execute(_OWNER).fetchall()
    connection.execute(f"SET ROLE {owner}".encode())
    connection.execute(_MONTHS)
    connection.execute("RESET ROLE")


@contextmanager
def _without_indexes(connection: psycopg.Connection) -> Iterator[None]:
    _make_months(connection)
    dropped = connection.execute(_INDEXES).fetchall()
    for name, _ in dropped:
        connection.execute(f"DROP INDEX {name}".encode())
    yield
    for _, definition in dropped:
        connection.execute(definition.encode())
