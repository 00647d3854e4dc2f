"""The verdict: every promise checked against both sides' books, and the figures of the campaign."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.chaos.installation import Installation
from tests.chaos.monkey import Death
from tests.chaos.submitter import Submitter
from tests.guarantees import books
from tests.guarantees.books import Books

STORED = text("SELECT id::text FROM runs UNION ALL SELECT id::text FROM batches")
#: From the kill to the moment at which all that the worker held was free for others.
RECOVERY = text("""
    SELECT EXTRACT(EPOCH FROM buried_at - :died_at)::float8 AS took_s FROM workers
    WHERE pid = :pid AND started_at < :died_at AND heartbeat_at <= :died_at + interval '1 s' AND buried_at > :died_at
    ORDER BY started_at DESC LIMIT 1""")
#: A worker that died is found by its silence, and its work is free, within so long at default settings.
RECOVERED_WITHIN_S = 45.0


async def complaints(installation: Installation, client: Submitter, found: Books) -> list[str]:
    """Return everything that breaks a promise."""

    async def read(connection: AsyncConnection) -> set[str]:
        return {row.id for row in await connection.execute(STORED)}

    stored = await installation.deps.db.run(read)
    bad = [f"acknowledged and not stored: {one.id}" for one in client.acknowledged if one.id not in stored]
    bad += [f"refused: {said}" for said in client.refusals]
    for one in client.acknowledged:
        missing = [item for item in one.items if item not in found.by_item]
        bad += [f"acknowledged under {one.id}, and there is no run of it: {item}" for item in missing]
    bad += found.complaints() + found.unfinished()
    return bad + await books.damaged_files(installation.deps, found)


async def recoveries(installation: Installation, deaths: Sequence[Death]) -> dict[str, dict[str, float]]:
    """Return how long it took until what dead workers held was free: of those here, and of those elsewhere."""
    took: dict[str, list[float]] = {"here": [], "elsewhere": []}

    async def read(connection: AsyncConnection) -> None:
        for death in deaths:
            row = (await connection.execute(RECOVERY, {"pid": death.pid, "died_at": death.at})).one_or_none()
            if row is not None:
                took["here" if death.is_here else "elsewhere"].append(row.took_s)

    await installation.deps.db.run(read)
    return {where: _spread(found) for where, found in took.items()}


def _spread(took_s: Sequence[float]) -> dict[str, float]:
    ordered = sorted(took_s)
    if not ordered:
        return {"n": 0}

    def share(of: float) -> float:
        return round(ordered[min(len(ordered) - 1, math.ceil(of * len(ordered)) - 1)], 2)

    return {"n": len(ordered), "p50": share(0.5), "p99": share(0.99), "max": round(ordered[-1], 2)}


def figures(found: Books, client: Submitter) -> dict[str, Any]:
    """Return what there was, and what became of it."""
    doubts = {run.id for run in found.doubts()}
    executed = {run.id for one in found.seen for run in found.by_item.get(str(one["input"].get("item")), ())}
    return {
        "submissions": len(client.journal),
        "acknowledged": len(client.acknowledged),
        "asked_again": sum(one.tries - 1 for one in client.journal),
        "runs": len(found.runs),
        "executions": len(found.seen),
        "statuses": dict(Counter(str(run.status) for run in found.runs.values())),
        "doubts_that_were_executed": len(doubts & executed),
        "doubts_that_were_not": len(doubts - executed),
        "late_answers": sum(run.count("late_answer") for run in found.runs.values()),
        "events": sum(len(stream) for stream in found.streams.values()),
    }
