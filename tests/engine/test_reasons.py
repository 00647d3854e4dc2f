"""What people do stands in the history with who did it and why, also where they gave no reason."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from orchestrator.engine import connections, operate, schedules, tokens, workflows
from orchestrator.errors import BadInput
from tests.engine.conftest import Office
from tests.engine.test_nothing_is_stranded import change, query
from tests.engine.test_schedules import Clerk, clerk

pytestmark = pytest.mark.anyio
__all__ = ["clerk"]

Do = Callable[..., Awaitable[Any]]


async def batch(office: Office) -> Any:
    return (await office.submit([{"n": 1}])).id


async def token(office: Office) -> Any:
    _, view = await tokens.create_token(office.deps, office.who.workspace_id, "temp", actor="somebody")
    return view["id"]


async def told(office: Office, type: str) -> list[tuple[str, Any]]:
    rows = await query(office, "SELECT actor, data::jsonb AS data FROM events WHERE type = :type", type=type)
    return [(row.actor, row.data.get("reason")) for row in rows]


async def do_connection(office: Office, verb: str, reason: str | None) -> None:
    """Do something to a connection, a workflow or a token."""
    deps, who, free = office.deps, office.who, office.sandbox.workflows["Free form"]
    match verb:
        case "connection pause":
            await connections.pause_connection(deps, who, "main", reason)
        case "connection resume":
            await connections.resume_connection(deps, who, "main", reason)
        case "connection set":
            await connections.set_connection(deps, who, "main", max_concurrent=3, reason=reason)
        case "connection rotate":
            await connections.rotate_key(deps, who, "main", office.sandbox.key, reason=reason)
        case "connection remove":
            await connections.remove_connection(deps, who, "main", reason=reason)
        case "workflow set":
            await workflows.set_workflow(deps, who, "main", free, on_doubt="fail", reason=reason)
        case "token revoke":
            await tokens.revoke_token(deps, who, await token(office), reason=reason)


async def do_work(office: Office, verb: str, reason: str | None) -> None:
    """Do something to a batch or a run."""
    deps, who = office.deps, office.who
    id = await batch(office)
    (run,) = await query(office, "SELECT id FROM runs WHERE batch_id = :id", id=id)
    match verb:
        case "batch pause":
            await operate.pause_batch(deps, who, id, reason=reason)
        case "batch resume":
            await operate.pause_batch(deps, who, id, reason="first")
            await operate.resume_batch(deps, who, id, reason=reason)
        case "batch cancel":
            await operate.cancel_batch(deps, who, id, reason=reason)
        case "batch retry-failed":
            await operate.cancel_batch(deps, who, id, reason="first")
            await operate.retry_failed(deps, who, id, reason=reason)
        case "run cancel":
            await operate.cancel_run(deps, who, run.id, reason=reason)
        case "run retry":
            await operate.cancel_run(deps, who, run.id, reason="first")
            await operate.retry_run(deps, who, run.id, reason=reason)


ACTS = {
    "connection pause": ("connection_paused", do_connection),
    "connection resume": ("connection_resumed", do_connection),
    "connection set": ("connection_set", do_connection),
    "connection rotate": ("connection_rotated", do_connection),
    "connection remove": ("connection_removed", do_connection),
    "workflow set": ("workflow_set", do_connection),
    "token revoke": ("token_revoked", do_connection),
    "batch pause": ("batch_paused", do_work),
    "batch resume": ("batch_resumed", do_work),
    "batch cancel": ("batch_cancelled_by_person", do_work),
    "batch retry-failed": ("batch_reopened", do_work),
    "run cancel": ("cancelled", do_work),
    "run retry": ("reopened", do_work),
}


@pytest.mark.parametrize("verb", ACTS)
@pytest.mark.parametrize("reason", [None, "ticket 17"])
async def test_an_act_has_an_actor_and_a_reason(office: Office, verb: str, reason: str | None) -> None:
    type, do = ACTS[verb]
    await do(office, verb, reason)
    expected = reason or f"asked for with `{verb}`, no reason given"
    assert await told(office, type) == [(office.who.actor, expected)]


@pytest.mark.parametrize("verb", ["connection pause", "batch cancel", "run cancel"])
async def test_a_reason_that_says_nothing_is_refused(office: Office, verb: str) -> None:
    type, do = ACTS[verb]
    with pytest.raises(BadInput, match="the reason is empty"):
        await do(office, verb, " ")
    assert await told(office, type) == []


@pytest.mark.parametrize("reason", [None, "ticket 17"])
async def test_acts_on_schedules_have_an_actor_and_a_reason(clerk: Clerk, reason: str | None) -> None:
    deps, who = clerk.deps, clerk.office.who
    await clerk.schedule()
    await schedules.update_schedule(deps, who, "hourly", plan={"overlap": "allow"}, reason=reason)
    await schedules.run_now(deps, who, "hourly", reason=reason)
    await change(clerk.office, "UPDATE schedules SET paused_at = now(), paused_by = 'x', paused_note = 'y'")
    await schedules.resume_schedule(deps, who, "hourly", reason=reason)
    await schedules.remove_schedule(deps, who, "hourly", reason=reason)
    for verb, type in (("update", "updated"), ("run-now", "run_now"), ("resume", "resumed"), ("delete", "removed")):
        expected = reason or f"asked for with `schedule {verb}`, no reason given"
        assert await told(clerk.office, f"schedule_{type}") == [(who.actor, expected)]
