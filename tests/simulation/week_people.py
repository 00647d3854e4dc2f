"""The people of a simulated week: they see what the watch tells, look into the provider's console, and act."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orchestrator.domain.statuses import RunStatus
from orchestrator.engine import doubts, operate, reading, schedules
from orchestrator.engine.who import Who
from tests.simulation.week_story import Doubt, Pause, Retry

if TYPE_CHECKING:
    from tests.simulation.week import WeekWorld


def doings(world: WeekWorld) -> list[Awaitable[None]]:
    """Return everything that people do in the week."""
    story = world.story
    return [
        *(_settle(world, doubt) for doubt in story.doubts),
        _pause(world, story.pause),
        _resume(world, story.pause),
        _retry(world, story.retry),
    ]


async def _come(world: WeekWorld, at: datetime, by: str) -> Who:
    """Come to work, and look around first."""
    await world.until(at)
    world.seen.append(await world.look_around())
    return replace(world.who, actor=by)


async def _settle(world: WeekWorld, doubt: Doubt) -> None:
    who = await _come(world, doubt.settled_at, doubt.by)

    async def settle() -> None:
        deps = world.api.deps
        (found,) = await doubts.list_doubts(deps, who)
        chosen: dict[str, Any] = {}
        if doubt.how == "adopt":
            (chosen["execution_id"],) = _strangers(world)
        await doubts.resolve_doubt(deps, who, UUID(str(found["id"])), how=doubt.how, reason=doubt.reason, **chosen)

    await world.through_api(settle)


def _strangers(world: WeekWorld) -> list[str]:
    """Return the executions on the provider's console that no run of ours knows."""
    rows = world.server.monitor.execute("SELECT remote_id FROM executions WHERE remote_id IS NOT NULL").fetchall()
    known = {str(row[0]) for row in rows}
    return [id for id in world.provider.service.world.executions if id not in known]


async def _pause(world: WeekWorld, pause: Pause) -> None:
    who = await _come(world, pause.since, pause.by)
    await world.through_api(lambda: schedules.pause_schedule(world.api.deps, who, pause.rota, pause.note))


async def _resume(world: WeekWorld, pause: Pause) -> None:
    who = await _come(world, pause.until, pause.by)
    await world.through_api(lambda: schedules.resume_schedule(world.api.deps, who, pause.rota))


async def _retry(world: WeekWorld, retry: Retry) -> None:
    who = await _come(world, retry.at, retry.by)

    async def again() -> None:
        deps = world.api.deps
        (failed,), _ = await reading.list_runs(deps, who, statuses=[RunStatus.ERROR], limit=10)
        await operate.retry_run(deps, who, UUID(str(failed["id"])), reason=retry.reason)

    await world.through_api(again)
