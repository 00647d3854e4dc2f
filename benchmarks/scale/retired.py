"""Retention: a month of settled history is taken out while claims go on. What do they touch, and who waits?"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from benchmarks.costs import OBSERVER
from benchmarks.scale import claims
from benchmarks.scale.sites import Site
from orchestrator.domain.retention import Content
from orchestrator.engine.deps import Deps
from orchestrator.storage import retention

#: Claims must not notice. Each count leaves dead rows of what it took back, which the next one reads past.
BUFFERS_GOAL = 1.25
#: How long everybody waits for the catalog's change, seconds.
LOCKED_GOAL_S = 0.1

_FULLEST = """
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'events'::regclass AND c.relname <> 'events_default'
    ORDER BY pg_relation_size(c.oid) DESC, c.relname LIMIT 1"""
_WAITING = """
    SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
    WHERE NOT l.granted AND d.datname = current_database()"""


def measure(site: Site) -> dict[str, Any]:
    """Return the row. The world has a month less of its history then."""
    partition = str(site.ask(_FULLEST)[0])
    content = site.work(_content, partition)
    before = site.work(claims.count, claims.WORKER)
    with psycopg.connect(site.superuser, application_name=OBSERVER) as reader:
        reader.execute("SELECT FROM events LIMIT 1")  # somebody reads the history, and takes their time
        tried, _ = site.work(_retire, partition, content.last_at)
        waiting = site.ask(_WAITING)[0]
        during = site.work(claims.count, claims.WORKER)
    gone, took_s = site.work(_retire, partition, content.last_at)
    after = site.work(claims.count, claims.WORKER)
    ratios = {"during": claims.ratios(before, during), "after": claims.ratios(before, after)}
    worst = max(ratio for each in ratios.values() for ratio in each.values())
    held = (tried, waiting, gone) == ("busy", 0, "gone")
    return {
        "runs": site.runs,
        "events_retired": content.events,
        "last_event_at": str(content.last_at),
        "buffers_before": before,
        "buffers_during": during,
        "buffers_after": after,
        "buffers_ratio": ratios,
        "while_somebody_reads": tried,
        "locks_waited_for": waiting,
        "locked_s": round(took_s, 4),
        "goal": {"buffers_ratio": BUFFERS_GOAL, "while_somebody_reads": "busy", "locked_s": LOCKED_GOAL_S},
        "reached": held and worst <= BUFFERS_GOAL and took_s <= LOCKED_GOAL_S,
    }


async def _content(deps: Deps, partition: str) -> Content:
    """Read the month as the product does before it decides."""

    async def read(connection: AsyncConnection) -> Content:
        [month] = [month for month in await retention.months(connection) if month.name == partition]
        return await retention.content(connection, month)

    return await deps.db.run(read)


async def _retire(deps: Deps, partition: str, last_at: datetime) -> tuple[str, float]:
    """Return what came of it, and how many seconds the locks were held for at most, by the server's own clock.

    The product's own statement, with what it asks under the locks: whether an event came after the last that was read.
    """
    timed = text(f"{retention.DROP.text}, extract(epoch FROM clock_timestamp() - statement_timestamp())")

    async def drop(connection: AsyncConnection) -> tuple[str, float]:
        row = (await connection.execute(timed, {"partition": partition, "last_at": last_at})).one()
        return str(row[0]), float(row[1])

    return await deps.db.run(drop)
