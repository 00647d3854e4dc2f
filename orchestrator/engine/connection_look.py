"""What is shown of connections: how each does, its last hour, what waits for it, what its provider can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import connection_story
from orchestrator.domain.answers import Capabilities
from orchestrator.domain.durations import Durations
from orchestrator.engine import connection_words
from orchestrator.engine.deps import Deps
from orchestrator.engine.shown import shown
from orchestrator.engine.who import Who
from orchestrator.engine.workflows import brief, find_connection, not_found
from orchestrator.storage import connection_look, connections, lane_minutes, workflows

#: Workflows that a page names; the rest are found by their provider's id.
MOST_WORKFLOWS = 500


async def look_at_connections(deps: Deps, who: Who) -> list[dict[str, Any]]:
    """Return the workspace's connections, each with its health in words and its budget of the last 60 s."""

    async def read(session: AsyncConnection) -> list[dict[str, Any]]:
        standing = {row["name"]: row for row in await connection_look.lanes(session, who.workspace_id)}
        found = await connections.page(session, who.workspace_id)
        # Two statements of one transaction may see a connection that came between them: it is there the next time.
        both = ((row, standing[row.name]) for row in found if row.name in standing)
        return [connection_words.view(row) | _standing(lane) for row, lane in both]

    return await deps.db.run(read)


async def look_at_connection(deps: Deps, who: Who, name: str) -> dict[str, Any]:
    """Return one connection with its lane's last hour, what waits there, and what its provider can do.

    `capabilities` says that in facts, `abilities` in words.

    Raises:
        NotFound: there is none of that name.
    """
    found = await find_connection(deps, who, name)
    capabilities = deps.provider(found.provider).capabilities

    async def read(session: AsyncConnection) -> dict[str, Any]:
        lane = await connection_look.lane(session, who.workspace_id, name)
        if lane is None:
            raise not_found(name)
        hour = await lane_minutes.hour(session, lane["lane_id"])
        return _standing(lane) | {
            "shared_with": list(lane["shared_with"]),
            "hour": [shown(minute) for minute in hour],
            "turned_away": sum(minute["turned_away"] for minute in hour),
            "most_used": max(minute["used"] for minute in hour),
            "queue": await connection_look.queue(session, found.id),
            "due": await connection_look.due(session, lane["lane_id"]),
        }

    told = connection_words.view(found) | await deps.db.run(read)
    can = {"capabilities": _facts(capabilities), "abilities": _capable(capabilities)}
    return told | can | {"plan": connection_words.plan(found)}


async def known_workflows(deps: Deps, who: Who, name: str) -> list[dict[str, Any]]:
    """Return the workflows that are known of a connection, with what was learned of them. Asks nobody."""
    found = await find_connection(deps, who, name)

    async def read(session: AsyncConnection) -> list[workflows.WorkflowRow]:
        return await workflows.page(session, found.id)

    rows = (await deps.db.run(read))[:MOST_WORKFLOWS]
    return [brief(row, found) | _learned(row) for row in rows]


def _learned(row: workflows.WorkflowRow) -> dict[str, Any]:
    known = Durations(count=row.durations_count, log_mean=row.durations_log_mean, log_var=row.durations_log_var)
    return shown(
        {
            "on_doubt": row.on_doubt,
            "durations": {"count": known.count, "mean_s": round(known.mean_s, 2) if known.count else None},
            "launches_blocked_until": row.launches_blocked_until,
        }
    )


def _standing(lane: Mapping[str, Any]) -> dict[str, Any]:
    told = [
        {"tone": h.tone, "word": h.word, "sentence": h.sentence, "cure": h.cure, "code": h.reason, "until": h.until}
        for h in connection_story.health(lane)
    ]
    names = ("limit", "used", "breaker", "breaker_trips", "probe_at", "launches_stopped", "launches_stopped_at")
    return shown({"health": told, **{name: lane[name] for name in names}})


def _facts(known: Capabilities) -> dict[str, Any]:
    """Return what a provider can do, for programs."""
    keys = known.launch_key
    own = {field.name: getattr(known, field.name) for field in fields(known)}
    return shown(own | {"launch_key": None if keys is None else asdict(keys)})


def _capable(known: Capabilities) -> list[tuple[str, str]]:
    """Return what a provider can do, in words."""
    waves = f"{known.wave_max_items:,} items in one request" if known.wave_max_items else "no, one launch a request"
    keys = known.launch_key
    asks = "asked again under its key" if keys is not None else "a doubt, until a person or the policy decides"
    url = "in the answer itself" if known.url_life_s is None else f"by URLs that live {known.url_life_s / 60:,.0f} min"
    return [
        ("Requests", f"{known.requests_per_minute:,} a minute for each {known.limit_scope}"),
        ("Executions at once", f"{known.concurrent_per_workflow:,} of a workflow"),
        ("Batches", waves),
        ("A launch whose answer is lost", asks),
        ("Cancels what waits", "yes" if known.cancel else "no"),
        ("Shows many in one list", f"{known.bulk_observe:,} executions a page" if known.bulk_observe else "no"),
        ("Tells progress", "yes" if known.progress else "no"),
        ("Waits for people", "yes, in its own console" if known.human_step else "no"),
        ("Results", url),
        ("Largest launch", f"{known.max_body_bytes / 1024 / 1024:,.0f} MiB"),
        ("An execution may last", f"{known.execution_timeout_s / 60:,.0f} min"),
        ("Version asked for", known.version or "none"),
    ]
