"""Minutes of lanes: what each used of its budget, and how often it was turned away, in the last hours."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage.database import rows

#: Minutes are kept for so long.
KEPT = "2 hours"

#: Lanes are looked at so often: a little less than a sweep's pause.
EVERY_S = 4

#: An expression over a lane `l`: its requests of the last 60 s, those that are on their way with them.
USED = """((SELECT COALESCE(sum((s->>2)::int), 0)::int FROM jsonb_array_elements(l.spent) s
            WHERE (s->>0)::bigint > extract(epoch FROM orch_now()) * 1000)
            + (SELECT COALESCE(sum(g.count), 0)::int FROM grants g WHERE g.lane_id = l.id))"""

# Every worker sweeps; of those that come together one looks. By the index of minutes: the lanes of this one.
DUE = f"""NOT EXISTS (SELECT FROM lane_minutes WHERE minute >= date_trunc('minute', orch_now())
        AND sampled_at > orch_now() - interval '{EVERY_S} s')"""

# The most that was seen stands. In one order, so that two who look never wait in a circle. Beside it what is old goes,
# and what a clock that has gone back since left in the future.
SAMPLE = text(f"""
    WITH gone AS (DELETE FROM lane_minutes WHERE minute < orch_now() - interval '{KEPT}'
        OR minute > orch_now() + interval '1 hour')
    INSERT INTO lane_minutes AS m (lane_id, minute, used, sampled_at)
    SELECT u.id, date_trunc('minute', orch_now()), u.used, orch_now()
    FROM (SELECT l.id, {USED} AS used FROM lanes l WHERE l.spent <> '[]' ORDER BY l.id) u WHERE u.used > 0 AND {DUE}
    ON CONFLICT (lane_id, minute) DO UPDATE SET used = GREATEST(m.used, EXCLUDED.used),
        sampled_at = EXCLUDED.sampled_at""")  # noqa: S608 - our own words

TURNED_AWAY = text("""
    INSERT INTO lane_minutes AS m (lane_id, minute, turned_away)
    VALUES (:lane, date_trunc('minute', orch_now()), :times)
    ON CONFLICT (lane_id, minute) DO UPDATE SET turned_away = m.turned_away + EXCLUDED.turned_away""")

HOUR = text("""
    SELECT t.minute, COALESCE(m.used, 0) AS used, COALESCE(m.turned_away, 0) AS turned_away
    FROM generate_series(date_trunc('minute', orch_now()) - interval '59 minutes', date_trunc('minute', orch_now()),
        interval '1 minute') AS t(minute)
    LEFT JOIN lane_minutes m ON m.lane_id = :lane AND m.minute = t.minute ORDER BY t.minute""")


async def sample(connection: AsyncConnection) -> None:
    """Write down what lanes use now, and forget what is old; nothing where that was just done."""
    await connection.execute(SAMPLE)


async def turned_away(connection: AsyncConnection, lane: UUID, times: int) -> None:
    """Count answers 429 of a lane."""
    if times:
        await connection.execute(TURNED_AWAY, {"lane": lane, "times": times})


async def hour(connection: AsyncConnection, lane: UUID) -> list[dict[str, Any]]:
    """Return the last 60 minutes of a lane, the oldest first; a minute in which nothing was seen has zeros."""
    return [dict(row._mapping) for row in await rows(connection, HOUR, {"lane": lane})]
