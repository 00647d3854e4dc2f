"""The overview of a workspace: what is wrong, who is waited for, what is under way. A bounded number of questions."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import overview as words
from orchestrator.domain.calendar.preview import in_words
from orchestrator.domain.calendar.rhythms import Rhythm
from orchestrator.domain.overview import CAP
from orchestrator.domain.sights import AT_RISK_S
from orchestrator.engine import forecast, health, views
from orchestrator.engine.deps import Deps
from orchestrator.engine.shown import shown
from orchestrator.engine.who import Who
from orchestrator.storage import batches, overview
from orchestrator.storage.database import now as transaction_now


async def read_overview(deps: Deps, who: Who) -> dict[str, Any]:
    """Return everything that the overview shows, with what needs somebody."""
    readiness = await health.readiness(deps)

    async def read(connection: AsyncConnection) -> dict[str, Any]:
        workspace = who.workspace_id
        now = await transaction_now(connection)
        return {
            "now": now,
            "live": await overview.live(connection, workspace),
            "inbox": await overview.inbox(connection, workspace),
            "results": await overview.results(connection, workspace, at_risk_s=AT_RISK_S),
            "lanes": await overview.lanes(connection, workspace),
            "lately": _lately(await overview.lately(connection, workspace, now)),
            "fires": [_fire(row) for row in await overview.next_fires(connection, workspace)],
            "batches": await _open_batches(deps, connection, who),
        }

    found = await deps.db.run(read) | {"health": readiness}
    points = words.points(found)
    found["batches"], found["more_batches"] = found["batches"][: overview.SHOWN], len(found["batches"]) > overview.SHOWN
    verdict = {"level": words.level(points), "sentence": words.sentence(points)}
    told = [{"about": p.about, "level": p.level, "text": p.text, "since": p.since, "until": p.until} for p in points]
    return shown(found | {"verdict": verdict, "points": told})


async def questions(deps: Deps, who: Who) -> int:
    """Return how many open questions wait for a person, up to one more than are told: the badge of every page."""

    async def read(connection: AsyncConnection) -> int:
        return await overview.asked(connection, who.workspace_id)

    return await deps.db.run(read)


async def _open_batches(deps: Deps, connection: AsyncConnection, who: Who) -> list[dict[str, Any]]:
    """Return the batches in progress; their rates by one statement, each one's forecast by a few."""
    found = await overview.open_batches(connection, who.workspace_id)
    rates = await batches.rates(connection, [row.id for row in found])
    return [
        views.batch(
            row,
            rate_per_minute=rates[row.id],
            forecast=await forecast.of_batch(deps, connection, row),
        )
        for row in found
    ]


def _fire(row: dict[str, Any]) -> dict[str, Any]:
    """Return a schedule that comes next, with its rhythm in words."""
    rhythm = Rhythm(cron=row["cron"], every_s=row["every_s"], zone=row["zone"], anchor=row["anchor"])
    return {"name": row["name"], "next_at": row["next_at"], "tz": row["zone"], "when": in_words(rhythm)}


def _lately(counted: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up what became of the last day's runs, with the causes of what failed."""
    by_status: dict[str, int] = {}
    for row in counted:
        by_status[row["status"]] = by_status.get(row["status"], 0) + row["runs"]
    causes = [
        {"code": row["error_code"], "status": row["status"], "runs": row["runs"]}
        for row in counted
        if row["error_code"]
    ]
    total = sum(by_status.values())
    return {"total": total, "is_capped": total > CAP, "counts": by_status, "causes": causes[: overview.SHOWN]}
