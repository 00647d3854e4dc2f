"""Minutes of lanes: the most that was seen of a minute stands, 429s add up, and what is old is forgotten."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from sqlalchemy import text

from orchestrator.bootstrap import build
from orchestrator.engine.look_results import news_of
from orchestrator.errors import KeyRefused, Throttled
from orchestrator.settings import Settings
from orchestrator.storage import lane_minutes

pytestmark = pytest.mark.anyio

LANE = text(
    "INSERT INTO lanes (id, limit_key, requests_per_minute, spent) VALUES (:id, 'x', 100, CAST(:spent AS jsonb))"
)
SPENT = text("UPDATE lanes SET spent = CAST(:spent AS jsonb) WHERE id = :id")
OLD = text("INSERT INTO lane_minutes (lane_id, minute, used) VALUES (:id, orch_now() - interval '3 hours', 7)")


def spent(count: int) -> str:
    """Return the row of a lane with so many requests in the last 60 s, and some that are spent no more."""
    now_ms = time.time_ns() // 1_000_000
    return json.dumps([[now_ms + 30_000, "look", count], [now_ms - 5_000, "look", 50]])


async def test_the_most_of_a_minute_stands_and_429s_are_counted_beside_it(settings: Settings) -> None:
    lane = uuid4()
    async with build(settings, program="test") as deps, deps.db.transaction() as connection:
        await connection.execute(LANE, {"id": lane, "spent": spent(40)})
        await connection.execute(OLD, {"id": lane})
        await lane_minutes.sample(connection)
        await connection.execute(SPENT, {"id": lane, "spent": spent(60)})
        await lane_minutes.sample(connection)  # one that comes a moment later leaves it
        await connection.execute(text("UPDATE lane_minutes SET sampled_at = orch_now() - interval '10 s'"))
        await connection.execute(SPENT, {"id": lane, "spent": spent(12)})
        await lane_minutes.sample(connection)
        for times in (1, 0, 2):
            await lane_minutes.turned_away(connection, lane, times)
        hour = await lane_minutes.hour(connection, lane)
        kept = (await connection.execute(text("SELECT count(*) FROM lane_minutes"))).scalar_one()
    assert len(hour) == 60
    assert [(m["used"], m["turned_away"]) for m in hour if m["used"]] == [(40, 3)]
    assert kept == 1, "what is three hours old is gone"


def test_of_the_answers_to_looks_those_that_were_turned_away_are_counted() -> None:
    seen = [Throttled("wait", retry_after_s=3.0), KeyRefused("no"), Throttled("wait", retry_after_s=None)]
    assert news_of(seen, now=datetime(2026, 11, 30, tzinfo=UTC), rate=None).turned_away == 2
