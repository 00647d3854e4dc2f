"""The history's partitions over a month's turn at which nobody was there to make the next one."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import psycopg
import pytest

from orchestrator.engine.deps import Deps
from orchestrator.runtime import uuid7
from orchestrator.storage import housekeeping

pytestmark = pytest.mark.anyio

#: A month that no installation has a partition for.
FAR = datetime(2031, 5, 1, tzinfo=UTC)


def _tell(connection: psycopg.Connection[tuple[object, ...]], at: datetime) -> None:
    stream = uuid7(int(at.timestamp() * 1000), 1 << 70)
    connection.execute(
        "INSERT INTO events (stream, seq, at, type, actor, data, hash) VALUES (%s, 1, %s, 'accepted', 'x', '{}', %s)",
        (stream, at, b"\x00" * 32),
    )


def test_a_month_that_began_without_its_partition_does_not_stop_the_housekeeping(database_url: str) -> None:
    with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
        _tell(connection, FAR)
        connection.execute("SELECT events_partition(%s)", (FAR,))
        _tell(connection, FAR.replace(day=20))
        connection.execute("SELECT events_partition(%s)", (FAR.replace(month=6),))
        _tell(connection, FAR.replace(month=6, day=2))
        found = connection.execute("SELECT tableoid::regclass::text, count(*) FROM events GROUP BY 1 ORDER BY 1")
        assert found.fetchall() == [("events_2031_06", 1), ("events_default", 2)]


def test_nobody_queues_behind_whoever_makes_a_month_while_the_history_is_read(database_url: str) -> None:
    url = database_url.replace("+psycopg", "")
    with psycopg.connect(url) as export, psycopg.connect(url) as sweeper, psycopg.connect(url) as writer:
        export.execute("LOCK TABLE ONLY events IN ACCESS SHARE MODE")
        sweeper.execute("SET lock_timeout = '1s'")
        assert sweeper.execute("SELECT events_partition(%s)", (FAR,)).fetchone() == ("busy",)
        _tell(writer, FAR.replace(year=2033))  # while the sweeper's transaction is open
        writer.rollback()
        sweeper.rollback()
        export.rollback()
        assert sweeper.execute("SELECT events_partition(%s)", (FAR,)).fetchone() == ("made",)
        assert sweeper.execute("SELECT events_partition(%s)", (FAR,)).fetchone() == ("there",)


async def test_the_housekeeping_is_harmless_to_repeat(deps: Deps) -> None:
    for _ in range(2):
        await deps.db.run(partial(housekeeping.tidy, minutes=True))
