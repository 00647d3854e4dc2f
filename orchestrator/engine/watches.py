"""Watch what other programs run at a connection's provider: their executions become runs, tracked to their end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.engine import connections
from orchestrator.engine.deps import Deps
from orchestrator.engine.who import Who
from orchestrator.engine.workflows import find_connection
from orchestrator.errors import BadInput, Conflict
from orchestrator.storage import events, lanes, watches
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.lanes import Turn

MAX_TYPES = 100
MAX_TYPE_CHARS = 200

#: How far back a watch may begin: a list is walked from its newest end.
LONGEST_AGO = timedelta(days=90)


async def watch_connection(
    deps: Deps,
    who: Who,
    name: str,
    *,
    workflow_ids: Sequence[str] = (),
    since: datetime | None = None,
    reason: str | None = None,
) -> dict[str, Any]:
    """Track what others start there, from a time on; said again, with other types or from another time.

    Raises:
        Conflict: the provider has no list of its executions (`watch_unsupported`).
    """
    found = await find_connection(deps, who, name)
    if not deps.provider(found.provider).capabilities.bulk_observe:
        raise Conflict(
            f"the provider of {name!r} has no list of its executions: what others start there cannot be seen",
            code="watch_unsupported",
            hint="docs/providers.md says which providers have one (bulk_observe)",
        )
    types = _checked(workflow_ids)

    async def save(session: AsyncConnection) -> None:
        at = await transaction_now(session)
        if since is not None and not at - LONGEST_AGO <= since <= at:
            raise BadInput(f"since lies within the last {LONGEST_AGO.days} days", code="field.range")
        await lanes.lock(session, found.lane_id)
        await watches.save(session, found.id, workflow_ids=types, since=since, by=who.actor)
        await lanes.wake(session, found.lane_id, Turn.POLL)
        told = who.act("connection watch", reason).event(
            "connection_watched",
            connection=name,
            types=types or None,
            since=since.isoformat() if since is not None else None,
        )
        await events.append_to_workspace(session, who.workspace_id, [told], at=at)

    await deps.db.run(save)
    return await connections.show_connection(deps, who, name)


async def stop_watching(deps: Deps, who: Who, name: str, *, reason: str | None = None) -> dict[str, Any]:
    """Look for nothing new there; what was found is tracked to its end. Harmless where nothing is watched."""
    found = await find_connection(deps, who, name)

    async def stop(session: AsyncConnection) -> None:
        await lanes.lock(session, found.lane_id)
        if await watches.stop(session, found.id):
            told = who.act("connection watch --stop", reason).event("connection_unwatched", connection=name)
            at = await transaction_now(session)
            await events.append_to_workspace(session, who.workspace_id, [told], at=at)

    await deps.db.run(stop)
    return await connections.show_connection(deps, who, name)


def _checked(workflow_ids: Sequence[str]) -> list[str]:
    """Return the types once each, in order; a comma would be two of them in a query."""
    if len(workflow_ids) > MAX_TYPES or any(
        not 0 < len(type) <= MAX_TYPE_CHARS or not type.isprintable() or set(type) & set(", ") for type in workflow_ids
    ):
        raise BadInput(
            f"types are at most {MAX_TYPES} words without commas or spaces, such as POST_GENERATION", code="field.value"
        )
    return sorted(set(workflow_ids))
