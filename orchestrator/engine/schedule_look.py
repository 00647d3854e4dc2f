"""What pages show of schedules beside their rhythm: how the last ticks went, what people did, where a run came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.fires import FireState
from orchestrator.domain.statuses import RunStatus, batch_status
from orchestrator.engine import schedule_words as words
from orchestrator.engine.deps import Deps
from orchestrator.engine.schedule_reading import find
from orchestrator.engine.shown import shown
from orchestrator.engine.who import Who
from orchestrator.storage import schedule_look, schedules

#: Ticks of each schedule that a list shows, and acts that a page shows.
LATELY = 10
MOST_ACTS = 50


async def list_with_outcomes(
    deps: Deps, who: Who, *, status: str = "", after: str | None = None, limit: int = 50
) -> tuple[list[dict[str, Any]], str | None]:
    """Return schedules by name, each with its last ticks, oldest first, and how many were missed; and what follows.

    Args:
        status: `active`, `paused` or `over`; empty for all.
        after: the name after which the page begins.
    """

    async def read(session: AsyncConnection) -> tuple[list[dict[str, Any]], str | None]:
        found = await schedules.page_after(session, who.workspace_id, status=status, after=after, limit=limit + 1)
        following = found[limit - 1].name if len(found) > limit else None
        found = found[:limit]
        ticks: dict[UUID, list[dict[str, Any]]] = {row.id: [] for row in found}
        for tick in await schedule_look.recent(session, list(ticks), each=LATELY):
            ticks[tick["schedule_id"]].append(tick)
        told = [
            words.view(row, None)
            | {
                "lately": [_tick(tick) for tick in ticks[row.id]],
                "missed": sum(tick["state"] == FireState.MISSED for tick in ticks[row.id]),
            }
            for row in found
        ]
        return told, following

    return await deps.db.run(read)


async def schedule_history(deps: Deps, who: Who, name: str) -> list[dict[str, Any]]:
    """Return what people did to a schedule, latest first; of a long history its latest part."""

    async def read(session: AsyncConnection) -> list[dict[str, Any]]:
        await find(session, who, name)
        return await schedule_look.history(session, who.workspace_id, name, limit=MOST_ACTS)

    return [shown(row | {"data": json.loads(row["data"])}) for row in await deps.db.run(read)]


async def schedule_of(deps: Deps, who: Who, run_id: UUID, batch_id: UUID | None) -> dict[str, Any] | None:
    """Return the schedule and the tick that a run, or its batch, came from; None for other runs."""

    async def read(session: AsyncConnection) -> dict[str, Any] | None:
        ids = [run_id] if batch_id is None else [batch_id]
        return await schedule_look.of_run(session, who.workspace_id, ids)

    found = await deps.db.run(read)
    return None if found is None else shown(found)


def _tick(tick: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tick with the status of what it submitted: a run's, a batch's, None where it submitted nothing."""
    status = None
    if tick["run_id"] is not None:
        status = tick["run_status"]
    elif tick["batch_id"] is not None:
        status = "running" if tick["batch_ended_at"] is None else _ended(tick["final_counts"] or {})
    told = {name: tick[name] for name in ("nominal_at", "state", "why", "batch_id", "run_id")}
    return shown(told | {"status": status})


def _ended(counts: Mapping[str, int]) -> str:
    known = {RunStatus(status): n for status, n in counts.items()}
    return str(batch_status(known, paused=False, cancelled=False))
