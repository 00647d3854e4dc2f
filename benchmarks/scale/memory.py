"""Memory: a real worker in a small world, in a large one, and while it stores one result of a gigabyte."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from uuid import UUID

from benchmarks.scale import idle
from benchmarks.scale.served import Peak, rss_mb, working
from benchmarks.scale.sites import CONNECTION, Site
from benchmarks.stage import Stuck
from orchestrator.engine import reading, submit
from orchestrator.engine.deps import Deps
from orchestrator.engine.submit import RunSpec

#: A worker has swept, signed and looked around by then.
SETTLES_S = 12.0
RESULT_BYTES = 1 << 30
LONGEST_S = 300.0

#: Flat: no more than this lies between the worlds, and between before and during.
RSS_GOAL_MB, GROWTH_GOAL_MB = 200.0, 30.0

_LET_GO = f"""
    UPDATE lanes SET blocked_until = NULL WHERE id = (SELECT lane_id FROM connections WHERE name = '{CONNECTION}')"""


def measure(
    small: Site, large: Site, *, settles_s: float = SETTLES_S, result_bytes: int = RESULT_BYTES
) -> dict[str, Any]:
    """Return the row."""
    small_mb, _ = _worker_mb(small, settles_s, None)
    large_mb, peak_mb = _worker_mb(large, settles_s, result_bytes)
    growth_mb = round(max(large_mb - small_mb, peak_mb - large_mb), 1)
    return {
        "runs": large.runs,
        "runs_small": small.runs,
        "rss_mb": round(large_mb, 1),
        "rss_small_mb": round(small_mb, 1),
        "result_bytes": result_bytes,
        "rss_storing_mb": round(peak_mb, 1),
        "rss_growth_mb": growth_mb,
        "goal": {"rss_storing_mb": RSS_GOAL_MB, "rss_growth_mb": GROWTH_GOAL_MB},
        "reached": max(large_mb, peak_mb) <= RSS_GOAL_MB and growth_mb <= GROWTH_GOAL_MB,
    }


def _worker_mb(site: Site, settles_s: float, result_bytes: int | None) -> tuple[float, float]:
    """Return what a worker holds, and the most that it holds while it stores a result of so many bytes."""
    site.execute(idle.ALL_WAIT)
    with working(site) as pid:
        time.sleep(settles_s)
        before_mb = rss_mb(pid)
        if result_bytes is None:
            return before_mb, before_mb
        site.execute(_LET_GO)
        with Peak(pid) as peak:
            site.work(_store, site, result_bytes)
    return before_mb, peak.mb


async def _store(deps: Deps, site: Site, result_bytes: int) -> None:
    """Have the worker run one execution and store its result."""
    hints = f"size_bytes={result_bytes}; duration_s=0.5"
    spec = RunSpec(
        connection=CONNECTION,
        workflow_id=site.stage.sandbox.workflows["Free form"],
        input=json.dumps({"sandbox": hints}).encode(),
    )
    run: UUID = (await submit.submit_run(deps, site.who, spec)).id
    ends_at = time.monotonic() + LONGEST_S
    while (found := await reading.get_run(deps, site.who, run))["status"] != "finished":
        if time.monotonic() > ends_at or found["finished_at"]:
            raise Stuck(f"the result was not stored: {found['status']}, {found['waiting_because']}")
        await asyncio.sleep(0.2)
    assert [file["size_bytes"] for file in found["results"]] == [result_bytes], "all of it is stored"
