"""Makes reports in a process of its own, when it is told to: `python -m benchmarks.report_making`, JSON on stdin.

It says `ready`, waits for a line, makes one report, and further ones until `at_least_s` are over; prints what one took.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from pydantic import SecretStr

from orchestrator.bootstrap import build
from orchestrator.engine import report
from orchestrator.engine.report_order import ReportFormat, ReportOptions
from orchestrator.engine.who import SCOPES, Who
from orchestrator.settings import Settings


async def main(asked: dict[str, Any]) -> dict[str, Any]:
    """Make reports of a period; return the figures of the last: seconds, CPU, memory in MB, bytes."""
    settings = Settings(
        database_url=SecretStr(asked["database_url"]), data_dir=Path(asked["data_dir"]), log_level="warning"
    )
    options = ReportOptions(format=ReportFormat(asked["format"]))
    who = Who(workspace_id=UUID(asked["workspace"]), actor="token:bench", scopes=frozenset(SCOPES))
    since, until = (datetime.fromisoformat(asked[name]) for name in ("since", "until"))
    async with build(settings, program="report") as deps:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        before_mb, ends_at = psutil.Process().memory_info().rss / 1e6, time.monotonic() + asked["at_least_s"]
        while True:
            began_s, used_s = time.perf_counter(), time.process_time()
            made = await report.period_report(deps, who, since=since, until=until, options=options)
            size = 0
            async for chunk in made.chunks():
                size += len(chunk)
            if time.monotonic() >= ends_at:
                break
    return {
        "s": round(time.perf_counter() - began_s, 2),
        "own_cpu_s": round(time.process_time() - used_s, 2),
        "before_mb": round(before_mb),
        "peak_mb": round(_peak_mb()),
        "bytes": size,
        "adds_up": made.adds_up,
    }


def _peak_mb() -> float:
    """Return the most memory that this process ever had."""
    # In kB on Linux, in bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.loads(sys.stdin.readline())))), flush=True)
