"""Claims: what a look, a launch and a download touch before they may go, in a small world and in a large one."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from benchmarks.scale.explained import watched
from benchmarks.scale.sites import Site
from orchestrator.engine import launch_claims
from orchestrator.engine.deps import Deps
from orchestrator.storage import downloads, look_turns

#: Claims of each kind that are counted, and timed. Each is taken back, so that the next finds the same.
COUNTED, TIMED = 5, 30

BUFFERS_GOAL, TIME_GOAL = 1.5, 2.0

#: Who claims; no worker's row is needed for it.
WORKER = UUID(int=1)

#: Downloads of one claim.
DOWNLOADS = 4

Claim = Callable[[AsyncConnection], Awaitable[object]]


def kinds(deps: Deps, worker: UUID) -> Mapping[str, Claim]:
    """Return the three claims as a worker makes them."""
    lease_s = deps.settings.lease_s

    async def look(connection: AsyncConnection) -> object:
        found = await look_turns.claim(connection, worker=worker, lease_s=lease_s, sources=deps.sources, most_lanes=1)
        assert any(batch.claims for batch in found), "some lane may look"
        return found

    async def launch(connection: AsyncConnection) -> object:
        found = await launch_claims.claim(deps, connection, worker=worker)
        assert found is not None and found.orders, "some lane may launch"
        return found

    async def download(connection: AsyncConnection) -> object:
        found = await downloads.claim(connection, worker=worker, limit=DOWNLOADS, lease_s=lease_s, sealer=deps.sealer)
        assert found, "some file is due"
        return found

    return {"look": look, "launch": launch, "download": download}


async def count(deps: Deps, worker: UUID) -> dict[str, int]:
    """Return the buffers that a claim of each kind touches: the median of a few."""
    found = {}
    for name, claim in kinds(deps, worker).items():
        touched = []
        for _ in range(COUNTED):
            with watched() as statements:
                await _taken_back(deps, claim)
            touched.append(statements.buffers)
        found[name] = round(statistics.median(touched))
    return found


async def clock(deps: Deps, worker: UUID) -> dict[str, float]:
    """Return how long a claim of each kind takes, in ms: the quickest of many that are taken back."""
    # Whatever else the machine does only makes them longer.
    found = {}
    for name, claim in kinds(deps, worker).items():
        took = [await _taken_back(deps, claim) for _ in range(TIMED)]
        found[name] = round(min(took) * 1000, 2)
    return found


async def _taken_back(deps: Deps, claim: Claim) -> float:
    """Make a claim and undo it; return how long the claim took, in seconds."""

    async def work(connection: AsyncConnection) -> float:
        savepoint = await connection.begin_nested()
        began_s = time.perf_counter()
        await claim(connection)
        took_s = time.perf_counter() - began_s
        await savepoint.rollback()
        return took_s

    return await deps.db.run(work, tries=1)


def measure(small: Site, large: Site) -> dict[str, Any]:
    """Return the row: buffers and times of both worlds, and their ratios."""
    few, many = (site.work(count, WORKER) for site in (small, large))
    quick, slow = (site.work(clock, WORKER) for site in (small, large))
    buffers, times = ratios(few, many), ratios(quick, slow)
    return {
        "runs": large.runs,
        "runs_small": small.runs,
        "lanes": large.lanes,
        "throttled_share": 0.9,
        "buffers": many,
        "buffers_small": few,
        "buffers_ratio": buffers,
        "ms": slow,
        "time_ratio": times,
        "goal": {"buffers_ratio": BUFFERS_GOAL, "time_ratio": TIME_GOAL},
        "reached": max(buffers.values()) <= BUFFERS_GOAL and max(times.values()) <= TIME_GOAL,
    }


def ratios(small: Mapping[str, float], large: Mapping[str, float]) -> dict[str, float]:
    """Return large ÷ small for each name."""
    return {name: round(large[name] / small[name], 2) for name in small}
