"""Workflows of a connection: their schemas, fetched and cached, and the policies that their owner sets."""

from __future__ import annotations

import asyncio
import json
import math
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.backoff import PollPolicy
from orchestrator.domain.durations import Durations
from orchestrator.domain.launch_decisions import OnDoubt
from orchestrator.engine import budgeted, heard
from orchestrator.engine.deps import Deps
from orchestrator.engine.shown import shown
from orchestrator.engine.who import Who
from orchestrator.errors import BadInput, Gone, NotFound, ProviderError, Unavailable
from orchestrator.storage import connections, events, workflows
from orchestrator.storage.connections import ConnectionRow
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.workflows import WorkflowRow

#: A cached schema younger than this is not asked for again.
FRESH_S = 300.0

#: Where an older schema is known, a submission does not wait longer for a newer one: the provider may hang, or the
#: key's budget may be spent.
REFRESH_PATIENCE_S = 3.0


async def find_connection(deps: Deps, who: Who, name: str) -> ConnectionRow:
    """Return a connection of the workspace.

    Raises:
        NotFound: there is none of that name.
    """

    async def find(connection: AsyncConnection) -> ConnectionRow | None:
        return await connections.find(connection, who.workspace_id, name)

    found = await deps.db.run(find)
    if found is None:
        raise not_found(name)
    return found


def not_found(name: str) -> NotFound:
    """Return what to say where there is no connection of that name."""
    return NotFound(
        f"there is no connection named {name!r}", code="connection_not_found", hint="orchestrator connection list"
    )


async def show_workflow(deps: Deps, who: Who, connection: str, workflow_id: str) -> dict[str, Any]:
    """Return a workflow with its schema, its policies and what was learned of it."""
    found = await find_connection(deps, who, connection)
    row = await known_workflow(deps, found, workflow_id)
    return _view(deps, row, found)


async def known_workflow(deps: Deps, found: ConnectionRow, workflow_id: str) -> WorkflowRow:
    """Return a workflow with its schema: the cached one if it is fresh or the provider is away, else fetched now.

    Raises:
        NotFound: the provider does not know it.
        Unavailable: the provider is away, and the schema was never fetched.
    """
    cached, is_fresh = await _cached(deps, found, workflow_id)
    if cached is not None and is_fresh:
        return cached
    access = deps.access_to(found)
    provider = deps.provider(found.provider)
    is_known = cached is not None and cached.fetched_at is not None
    try:
        async with asyncio.timeout(REFRESH_PATIENCE_S if is_known else None):
            ears = heard.ears(found.provider, found.id)
            view = await budgeted.call(
                deps, found.lane_id, lambda: provider.view_workflow(access, workflow_id), ears=ears
            )
    except Gone:
        raise NotFound(
            f"the provider knows no workflow {workflow_id!r}",
            code="workflow_not_found",
            hint=f"orchestrator workflow list --connection {found.name}",
        ) from None
    except (ProviderError, Unavailable, TimeoutError) as error:
        if cached is not None and is_known:
            return cached
        assert not isinstance(error, TimeoutError), "the first answer is waited for"
        raise Unavailable(
            f"the workflow's input schema was never fetched, and the provider does not answer: {error.message}",
            code="schema_unavailable",
            hint=f"orchestrator connection test {found.name}",
            retry_after_s=30,
        ) from error

    async def save(session: AsyncConnection) -> WorkflowRow | None:
        await workflows.save_view(
            session,
            new_id=deps.sources.new_id(),
            connection_id=found.id,
            remote_id=workflow_id,
            view=view,
            schema=None if view.input_schema is None else json.dumps(view.input_schema, ensure_ascii=False),
        )
        return await workflows.find(session, found.id, workflow_id)

    row = await deps.db.run(save)
    assert row is not None, "it was written in this transaction"
    return row


async def _cached(deps: Deps, found: ConnectionRow, workflow_id: str) -> tuple[WorkflowRow | None, bool]:
    async def read(session: AsyncConnection) -> tuple[WorkflowRow | None, datetime]:
        return await workflows.find(session, found.id, workflow_id), await transaction_now(session)

    row, now = await deps.db.run(read)
    if row is None or row.fetched_at is None:
        return row, False
    return row, now - row.fetched_at < timedelta(seconds=FRESH_S)


async def set_workflow(
    deps: Deps,
    who: Who,
    connection: str,
    workflow_id: str,
    *,
    on_doubt: str | None = None,
    poll: str | None = None,
    reason: str | None = None,
) -> dict[str, Any]:
    """Change a workflow's policies. `poll` reads `initial=5,factor=2,cap=60,jitter=0.1,polite=1`, any part of it."""
    found = await find_connection(deps, who, connection)
    row = await known_workflow(deps, found, workflow_id)
    if on_doubt is not None and on_doubt not in set(OnDoubt):
        raise BadInput(f"on-doubt is one of {', '.join(OnDoubt)}, not {on_doubt!r}", code="field.value")
    figures = _poll_figures(poll) if poll is not None else {}

    async def save(session: AsyncConnection) -> WorkflowRow | None:
        await workflows.set_policies(
            session,
            row.id,
            on_doubt=on_doubt,
            initial_s=figures.get("initial"),
            factor=figures.get("factor"),
            cap_s=figures.get("cap"),
            jitter=figures.get("jitter"),
            polite=figures.get("polite"),
        )
        was = {"on_doubt": row.on_doubt if on_doubt is not None else None, "poll": _told(deps, row) if poll else None}
        told = who.act("workflow set", reason).event(
            "workflow_set",
            workflow=workflow_id,
            connection=connection,
            on_doubt=on_doubt,
            poll=poll,
            was={field: value for field, value in was.items() if value is not None},
        )
        await events.append_to_workspace(session, who.workspace_id, [told], at=await transaction_now(session))
        return await workflows.find(session, found.id, workflow_id)

    changed = await deps.db.run(save)
    assert changed is not None, "workflows are never removed"
    return _view(deps, changed, found)


_POLL_BOUNDS = {
    "initial": (0.1, 3600.0),
    "factor": (1.0, 10.0),
    "cap": (0.1, 86_400.0),
    "jitter": (0.0, 0.5),
    "polite": (0.0, 10.0),
}


def _poll_figures(text: str) -> dict[str, float]:
    figures: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        if name not in _POLL_BOUNDS:
            raise BadInput(f"poll knows {', '.join(_POLL_BOUNDS)}, not {name!r}", code="field.unknown")
        low, high = _POLL_BOUNDS[name]
        try:
            figures[name] = float(value)
        except ValueError:
            raise BadInput(f"poll {name}: {value!r} is no number", code="field.type") from None
        if not (math.isfinite(figures[name]) and low <= figures[name] <= high):
            raise BadInput(f"poll {name} lies between {low:g} and {high:g}", code="field.range")
    return figures


def brief(row: WorkflowRow, found: ConnectionRow) -> dict[str, Any]:
    """Return what lists show of a workflow that is known here."""
    return shown(
        {
            "id": row.remote_id,
            "name": row.name,
            "connection": found.name,
            "fetched_at": row.fetched_at,
            "created_at": row.remote_created_at,
            "updated_at": row.remote_updated_at,
        }
    )


def _policy(deps: Deps, row: WorkflowRow) -> PollPolicy:
    return deps.poll_policy((row.poll_initial_s, row.poll_factor, row.poll_cap_s, row.poll_jitter, row.poll_polite))


def _told(deps: Deps, row: WorkflowRow) -> str:
    """Return a workflow's schedule of looks in the words in which it is set."""
    policy = _policy(deps, row)
    figures = {"initial": policy.initial_s, "factor": policy.factor, "cap": policy.cap_s}
    figures |= {"jitter": policy.jitter, "polite": policy.polite}
    return ",".join(f"{name}={value:g}" for name, value in figures.items())


def _view(deps: Deps, row: WorkflowRow, found: ConnectionRow) -> dict[str, Any]:
    policy = _policy(deps, row)
    known = Durations(count=row.durations_count, log_mean=row.durations_log_mean, log_var=row.durations_log_var)
    return brief(row, found) | shown(
        {
            "description": row.description,
            "input_schema": None if row.input_schema is None else json.loads(row.input_schema),
            "on_doubt": row.on_doubt,
            "poll": {
                "initial": policy.initial_s,
                "factor": policy.factor,
                "cap": policy.cap_s,
                "jitter": policy.jitter,
                "polite": policy.polite,
            },
            "durations": {"count": known.count, "mean_s": round(known.mean_s, 2) if known.count else None},
            "launches_blocked_until": row.launches_blocked_until,
            "launches_blocked_because": row.launches_blocked_because,
        }
    )
