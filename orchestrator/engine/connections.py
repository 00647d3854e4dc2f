"""Connections: how this workspace reaches a provider. Adding one launches nothing; testing one launches nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.operator_decisions import Act
from orchestrator.engine import connection_words as words
from orchestrator.engine.deps import API_KEY, Deps
from orchestrator.engine.who import Who
from orchestrator.engine.workflow_lists import fetch_list
from orchestrator.engine.workflows import find_connection, not_found
from orchestrator.errors import Conflict, OrchestratorError, ProviderError, Unavailable
from orchestrator.storage import connections, events, lanes, watches, workflows
from orchestrator.storage.connections import ConnectionRow
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.lanes import Turn


async def add_connection(
    deps: Deps,
    who: Who,
    *,
    name: str,
    provider: str,
    base_url: str,
    api_key: str,
    requests_per_minute: int | None = None,
    max_concurrent: int | None = None,
    limit_group: str | None = None,
    console_url: str | None = None,
    api_version: str | None = None,
) -> dict[str, Any]:
    """Add a connection. Connections with one key, or one declared limit group, share one lane and its budget."""
    words.check_name(name)
    adapter = deps.provider(provider)
    checked_url = deps.check_base_url(base_url)
    deps.check_api_key(api_key)
    words.check_console(console_url)
    rate = words.in_range("requests per minute", requests_per_minute, adapter.capabilities.requests_per_minute, 100_000)
    slots = words.in_range("max concurrent", max_concurrent, adapter.capabilities.concurrent_per_workflow, 10_000)
    version = words.version_of(adapter, api_version) or adapter.capabilities.version
    connection_id = deps.sources.new_id()

    async def insert(session: AsyncConnection) -> None:
        limit_key = _limit_key(deps, who, provider, checked_url, api_key, limit_group)
        lane, known_rate = await connections.ensure_lane(
            session, new_id=deps.sources.new_id(), limit_key=limit_key, rate=rate
        )
        if requests_per_minute is not None and known_rate != rate:
            await connections.set_rate(session, lane, rate)
        written = await connections.insert(
            session,
            id=connection_id,
            workspace=who.workspace_id,
            lane=lane,
            name=name,
            provider=provider,
            base_url=checked_url,
            api_key=deps.sealer.seal(api_key, column=API_KEY, row=connection_id),
            key_hint=api_key[-4:] if len(api_key) >= 12 else "",
            limit_group=limit_group,
            max_concurrent=slots,
            console_url=console_url,
            api_version=version,
        )
        if not written:
            raise Conflict(f"there is a connection named {name!r} already", code="connection_exists")
        told = who.act("connection add").event("connection_added", connection=name, provider=provider)
        await events.append_to_workspace(session, who.workspace_id, [told], at=await transaction_now(session))

    await deps.db.run(insert)
    return await show_connection(deps, who, name)


async def list_connections(deps: Deps, who: Who) -> list[dict[str, Any]]:
    """Return the workspace's connections."""

    async def read(session: AsyncConnection) -> list[ConnectionRow]:
        return await connections.page(session, who.workspace_id)

    return [words.view(row) for row in await deps.db.run(read)]


async def show_connection(deps: Deps, who: Who, name: str) -> dict[str, Any]:
    """Return one connection, how much of its budget is used, and whether it is watched."""
    found = await find_connection(deps, who, name)

    async def read(session: AsyncConnection) -> dict[str, Any]:
        lane = await lanes.read(session, found.lane_id)
        budget = {"free_now": lane.budget.free(lane.now), "in_flight": sum(lane.budget.in_flight.values())}
        return {"budget": budget, "watch": words.watch(await watches.show(session, found.id))}

    return {**words.view(found), **await deps.db.run(read)}


async def test_connection(deps: Deps, who: Who, name: str) -> dict[str, Any]:
    """List the provider's workflows with the connection's key. Launches nothing; wakes a lane that was stopped."""
    found = await find_connection(deps, who, name)
    error: OrchestratorError | None = None
    listed: list[dict[str, str]] = []
    try:
        listed = [{"id": s.remote_id, "name": s.name} for s in await fetch_list(deps, found)]
    except (ProviderError, Unavailable) as failure:
        error = failure

    async def record(session: AsyncConnection) -> None:
        await connections.checked(session, found.id, "ok" if error is None else error.code)
        if error is None:
            await _start_again(session, found)

    await deps.db.run(record)
    return {
        "ok": error is None,
        "connection": found.name,
        "workflows": listed,
        "limits": {"requests_per_minute": found.requests_per_minute, "max_concurrent": found.max_concurrent},
        "plan": words.plan(found),
        "error": None if error is None else {"code": error.code, "message": error.message, "hint": words.hint(error)},
    }


async def set_connection(
    deps: Deps,
    who: Who,
    name: str,
    *,
    base_url: str | None = None,
    requests_per_minute: int | None = None,
    max_concurrent: int | None = None,
    console_url: str | None = None,
    api_version: str | None = None,
    reason: str | None = None,
) -> dict[str, Any]:
    """Change a connection; a lane that was stopped starts again with what was changed."""
    checked_url = deps.check_base_url(base_url) if base_url is not None else None
    words.check_console(console_url)

    async def save(session: AsyncConnection) -> None:
        found = await _held(session, who, name)
        rate = words.in_range("requests per minute", requests_per_minute, found.requests_per_minute, 100_000)
        slots = words.in_range("max concurrent", max_concurrent, found.max_concurrent, 10_000)
        version = words.version_of(deps.provider(found.provider), api_version)
        # As a claim does: a launch is claimed before the address is changed, or after.
        await lanes.lock(session, found.lane_id)
        await connections.change(session, found, base_url=checked_url, console_url=console_url, max_concurrent=slots)
        await connections.set_rate(session, found.lane_id, rate)
        if version is not None:
            await connections.set_version(session, found.id, version)
        await _start_again(session, found)
        given = {
            "base_url": checked_url,
            "requests_per_minute": requests_per_minute,
            "max_concurrent": max_concurrent,
            "console_url": console_url,
            "api_version": version,
        }
        was = {field: getattr(found, field) for field, value in given.items() if value is not None}
        told = who.act("connection set", reason).event("connection_set", connection=name, was=was, **given)
        await events.append_to_workspace(session, who.workspace_id, [told], at=await transaction_now(session))

    await deps.db.run(save)
    return await show_connection(deps, who, name)


async def rotate_key(deps: Deps, who: Who, name: str, api_key: str, *, reason: str | None = None) -> dict[str, Any]:
    """Put another key in. What was launched with the old one is collected with the new one."""
    deps.check_api_key(api_key)

    async def save(session: AsyncConnection) -> None:
        found = await _held(session, who, name)
        limit_key = _limit_key(deps, who, found.provider, found.base_url, api_key, found.limit_group)
        lane, _ = await connections.ensure_lane(
            session, new_id=deps.sources.new_id(), limit_key=limit_key, rate=found.requests_per_minute
        )
        for lane_id in sorted({found.lane_id, lane}):
            await lanes.lock(session, lane_id)
        sealed = deps.sealer.seal(api_key, column=API_KEY, row=found.id)
        hint = api_key[-4:] if len(api_key) >= 12 else ""
        await connections.rotate(session, found.id, api_key=sealed, key_hint=hint, old_lane=found.lane_id, lane=lane)
        await _start_again(session, replace(found, lane_id=lane))
        told = who.act("connection rotate", reason).event("connection_rotated", connection=name)
        await events.append_to_workspace(session, who.workspace_id, [told], at=await transaction_now(session))

    await deps.db.run(save)
    return await show_connection(deps, who, name)


async def pause_connection(deps: Deps, who: Who, name: str, reason: str | None = None) -> dict[str, Any]:
    """Launch nothing more on a connection, and look for nothing that others start; what was launched is collected."""

    async def pause(session: AsyncConnection, found: ConnectionRow) -> None:
        await connections.pause(session, found.id, by=who.actor)

    return await _marked(deps, who, name, "connection_paused", who.act("connection pause", reason), pause)


async def resume_connection(deps: Deps, who: Who, name: str, reason: str | None = None) -> dict[str, Any]:
    """Launch again on a connection."""

    async def resume(session: AsyncConnection, found: ConnectionRow) -> None:
        await connections.resume(session, found.id)
        await lanes.wake(session, found.lane_id, Turn.LAUNCH)

    return await _marked(deps, who, name, "connection_resumed", who.act("connection resume", reason), resume)


async def remove_connection(deps: Deps, who: Who, name: str, *, reason: str | None = None) -> None:
    """Take a connection out of sight.

    Raises:
        Conflict: runs on it have not ended.
    """

    async def remove(session: AsyncConnection) -> None:
        found = await _held(session, who, name)
        # First, under the lane, so that no walk makes a run of it while it goes.
        await lanes.lock(session, found.lane_id)
        await watches.stop(session, found.id)
        if await connections.has_live_work(session, who.workspace_id, found.id):
            raise Conflict(
                "runs on this connection have not ended",
                code="connection_in_use",
                hint=f"orchestrator run list --connection {name}; pause the connection, or cancel what is left",
            )
        await connections.remove(session, found.id)
        told = who.act("connection remove", reason).event("connection_removed", connection=name)
        await events.append_to_workspace(session, who.workspace_id, [told], at=await transaction_now(session))

    await deps.db.run(remove)


async def _marked(
    deps: Deps,
    who: Who,
    name: str,
    event: str,
    act: Act,
    mark: Callable[[AsyncConnection, ConnectionRow], Awaitable[None]],
) -> dict[str, Any]:
    found = await find_connection(deps, who, name)

    async def save(session: AsyncConnection) -> None:
        await mark(session, found)
        told = act.event(event, connection=name)
        await events.append_to_workspace(session, who.workspace_id, [told], at=await transaction_now(session))

    await deps.db.run(save)
    return await show_connection(deps, who, name)


async def _held(session: AsyncConnection, who: Who, name: str) -> ConnectionRow:
    """Return a connection that nobody else changes meanwhile.

    Raises:
        NotFound: there is none of that name.
    """
    found = await connections.lock(session, who.workspace_id, name)
    if found is None:
        raise not_found(name)
    return found


async def _start_again(session: AsyncConnection, found: ConnectionRow) -> None:
    """Lift what stopped the lane's launches: somebody has looked after it."""
    lane = await lanes.lock(session, found.lane_id)
    lane = replace(lane, launches_stopped=None, breaker=lane.breaker.tested())
    await lanes.save(session, lane.pull(Turn.LAUNCH, lane.now).pull(Turn.POLL, lane.now))
    await workflows.unblock(session, found.id)


def _limit_key(deps: Deps, who: Who, provider: str, base_url: str, api_key: str, group: str | None) -> str:
    if group is not None:
        return f"{provider}/group/{who.workspace_id}/{group}"
    return f"{provider}/key/{deps.sealer.fingerprint('lane', provider, base_url, api_key)}"
