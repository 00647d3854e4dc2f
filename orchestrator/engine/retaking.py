"""Take up again a tick that submitted nothing: its file has come, or what was in its way is gone.

It is the same tick, with the same row and nominal time, so that a template names the same file and nothing is submitted
twice for it. That a person took it up, why, and what it had been is in the history.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import fires as rules
from orchestrator.domain.fires import Planned
from orchestrator.engine import ticks
from orchestrator.engine.deps import Deps
from orchestrator.errors import BadInput, Conflict, NotFound
from orchestrator.storage import fires
from orchestrator.storage.fires import Tick
from orchestrator.storage.schedules import ScheduleRow


async def take_up(
    deps: Deps, session: AsyncConnection, schedule: ScheduleRow, nominal: str, *, by: str, reason: str | None
) -> tuple[dict[str, Any], Sequence[Planned]]:
    """Let a locked schedule's tick be carried out now; return what its event tells of it, and what was planned before.

    Raises:
        BadInput: no time.
        NotFound: the schedule has no such tick, or none yet.
        Conflict: it fired, or is not decided yet.
    """
    at = nominal_time(nominal, schedule.zone)
    schedule, planned = await ticks.plan_whole(deps, session, schedule)
    tick = await fires.find(session, schedule.id, at)
    if tick is None:
        raise NotFound(
            f"{schedule.name} has no tick of {rules.stamp(at)}",
            code="tick_not_found",
            hint=f"orchestrator schedule fires {schedule.name}",
        )
    if not await fires.retake(session, tick.id, deadline_s=schedule.deadline_s, by=by, reason=reason):
        raise _refusal(schedule, tick)
    return {"nominal_at": rules.stamp(tick.nominal_at), "fire": str(tick.id), "was": tick.state}, planned


def nominal_time(text: str, zone: str) -> datetime:
    """Return the time that an ISO text names; without a zone it is on the schedule's clock."""
    try:
        found = datetime.fromisoformat(text)
        found = found if found.tzinfo is not None else found.replace(tzinfo=ZoneInfo(zone))
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadInput(
            f"{text[:40]!r} is no time", code="field.value", hint="give it as 2026-01-31T02:30, in the schedule's zone"
        ) from None


def _refusal(schedule: ScheduleRow, tick: Tick) -> Conflict:
    at = rules.stamp(tick.nominal_at)
    if tick.state == rules.FireState.FIRED:
        what = f"batch {tick.batch_id}" if tick.batch_id is not None else f"run {tick.run_id}"
        return Conflict(f"the tick of {at} fired: it submitted {what}", code="tick_fired")
    return Conflict(
        f"the tick of {at} is not decided yet: it is {tick.state}" + (f", {tick.why}" if tick.why else ""),
        code="tick_open",
        hint=f"orchestrator schedule fires {schedule.name}",
    )
