"""What the pages of batches show beside the batches themselves: their pace in a list, and a batch's own history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.chain import Event, Head
from orchestrator.engine import forecast, run_look
from orchestrator.engine.deps import Deps
from orchestrator.engine.shown import shown
from orchestrator.engine.who import Who
from orchestrator.errors import NotFound
from orchestrator.storage import batches, events
from orchestrator.storage import run_look as looks

#: Of a list's open batches, so many are asked for rates, and for forecasts, a few statements each.
MOST_PACED = 10


async def paces(deps: Deps, who: Who, listed: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return rate and forecast of the first open ones of these views of batches, by their ids."""
    ids = [UUID(view["id"]) for view in listed if view["finished_at"] is None][:MOST_PACED]
    if not ids:
        return {}

    async def read(connection: AsyncConnection) -> dict[str, dict[str, Any]]:
        rates = await batches.rates(connection, ids)
        return {
            str(row.id): shown(
                {
                    "rate_per_minute": rates[row.id],
                    "forecast": await forecast.of_batch(deps, connection, row),
                }
            )
            for row in await batches.read_all(connection, ids)
            if row.workspace_id == who.workspace_id
        }

    return await deps.db.run(read)


async def batch_history(deps: Deps, who: Who, batch_id: UUID) -> dict[str, Any]:
    """Return a batch's own history, and whether its chain of hashes is whole; as `run_look.run_history`."""

    async def read(connection: AsyncConnection) -> tuple[Head | None, list[Event]]:
        head = await looks.batch_head(connection, who.workspace_id, batch_id)
        found = [] if head is None else await events.read(connection, batch_id, limit=run_look.MOST_EVENTS + 1)
        return head, found

    head, found = await deps.db.run(read)
    if head is None:
        raise NotFound(f"there is no batch {batch_id}", code="batch_not_found", hint="orchestrator batch list")
    return run_look.history_of(head, found)
