"""Ticks: each nominal time of a schedule gets one row when it has come, whoever is there to write it.

The rows and the schedule's next time are one transaction, so any number of schedulers is harmless, and one that dies
leaves nothing half done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import alarm_words
from orchestrator.domain import fires as rules
from orchestrator.domain.alarm_words import Code
from orchestrator.domain.calendar.rhythms import Rhythm, next_tick, ticks_between
from orchestrator.domain.chain import NewEvent
from orchestrator.domain.fires import Backlog, CatchUp, FireState, Overlap, Planned, Policy
from orchestrator.engine import poison
from orchestrator.engine.deps import Deps
from orchestrator.storage import events, fires, outbox, schedules
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.schedules import ScheduleRow
from orchestrator.telemetry import get_logger, redact

log = get_logger(__name__)

#: Rows of ticks that one transaction writes: a year's absence of a schedule of each minute is planned in parts.
TICKS_AT_ONCE = 500

#: Missed ticks of one planning that are told one by one.
TOLD_EACH = 5


async def plan_due(deps: Deps) -> int:
    """Write the rows of one schedule's ticks whose time has come; return how many ticks, 0 when none has."""

    at_hand: ScheduleRow | None = None

    async def plan(connection: AsyncConnection) -> list[Planned]:
        nonlocal at_hand
        at_hand = await schedules.lock_due(connection)
        return [] if at_hand is None else await plan_schedule(deps, connection, at_hand, until=at_hand.now)

    done = await poison.caught(lambda: deps.db.run(plan))
    if not isinstance(done, poison.Poisoned):
        if at_hand is not None:
            tell_planned(at_hand.name, done)
        return len(done)
    if at_hand is None:
        raise done.failure
    await _set_aside(deps, at_hand, done)
    return 1


async def _set_aside(deps: Deps, schedule: ScheduleRow, broken: poison.Poisoned) -> None:
    """Let a schedule that cannot be planned rest, visibly, until a person changes it: its zone is gone, perhaps."""
    why = f"its ticks cannot be told: {type(broken.failure).__name__}: {redact(str(broken.failure))}"[:500]
    poison.tell("schedule", broken, schedule=schedule.name)

    async def rest(connection: AsyncConnection) -> None:
        await schedules.pause(connection, schedule.id, by="orchestrator", note=why)
        await schedules.advance(connection, schedule.id, None)
        told = NewEvent(type="schedule_set_aside", actor="orchestrator", data={"schedule": schedule.name})
        await events.append_to_workspace(
            connection, schedule.workspace_id, [told], at=await transaction_now(connection)
        )

    await deps.db.run(rest)


async def plan_schedule(
    deps: Deps, connection: AsyncConnection, schedule: ScheduleRow, *, until: datetime
) -> list[Planned]:
    """Write the rows of a locked schedule's next ticks up to a time, and its next time after them; return the ticks.

    What is decided here already is told in the workspace's history. `tell_planned` tells people, after the commit.
    """
    if schedule.next_at is None or schedule.next_at > until:
        return []
    rhythm = rhythm_of(schedule)
    just_before = schedule.next_at - timedelta(microseconds=1)
    ticks = ticks_between(rhythm, just_before, until, limit=TICKS_AT_ONCE)
    policy = policy_of(schedule)
    backlog = _backlog(rhythm, policy, since=just_before, until=until)
    planned = rules.plan(ticks, policy, backlog, now=schedule.now)
    await fires.insert(
        connection,
        planned,
        schedule=schedule.id,
        workspace=schedule.workspace_id,
        deadline_s=schedule.deadline_s,
        sources=deps.sources,
    )
    last = ticks[-1] if ticks else until
    await schedules.advance(connection, schedule.id, next_tick(rhythm, last))
    told = [*decided_events(schedule.name, planned)]
    if told:
        await events.append_to_workspace(connection, schedule.workspace_id, told, at=schedule.now)
        await outbox.tell_missed(connection, schedule.workspace_id, told, at=schedule.now)
    return planned


async def plan_whole(
    deps: Deps, connection: AsyncConnection, schedule: ScheduleRow
) -> tuple[ScheduleRow, list[Planned]]:
    """Write the rows of all of a locked schedule's ticks up to now; return it as it stands then, and the ticks."""
    planned: list[Planned] = []
    while done := await plan_schedule(deps, connection, schedule, until=schedule.now):
        planned += done
        schedule = await schedules.read(connection, schedule.id)
    return schedule, planned


def decided_events(schedule: str, planned: Sequence[Planned]) -> Iterator[NewEvent]:
    """Return the events of ticks that were decided when they were planned, alike ones together.

    Of many the hash of their nominal times stands for all: whoever has the list of ticks can compute it.
    """
    for state in (FireState.MISSED, FireState.MERGED, FireState.SKIPPED):
        alike = [rules.stamp(tick.nominal_at) for tick in planned if tick.state is state]
        if len(alike) == 1:
            data: dict[str, object] = {"schedule": schedule, "nominal_at": alike[0]}
            yield NewEvent(type=f"tick_{state}", actor="orchestrator", data=data)
        elif alike:
            data = {"schedule": schedule, "ticks": len(alike), "first": alike[0], "last": alike[-1]}
            digest = hashlib.sha256("".join(f"{at}\n" for at in alike).encode()).hexdigest()
            yield NewEvent(type=f"ticks_{state}", actor="orchestrator", data=data | {"ticks_sha256": digest})


def _backlog(rhythm: Rhythm, policy: Policy, *, since: datetime, until: datetime) -> Backlog:
    """Return which ticks of a long absence are caught up with, without walking through all of it."""
    end = until if policy.paused_at is None else min(until, policy.paused_at - timedelta(microseconds=1))
    if end <= since or policy.catch_up is CatchUp.NONE:
        return Backlog(newest=None, caught_up_from=None)
    wanted = policy.max_catch_up if policy.catch_up is CatchUp.ALL else 1
    span = timedelta(hours=1)
    while True:
        begin = max(since, end - span)
        # More than so many in a window: a smaller window was too small, so this one has at most some thousands.
        found = ticks_between(rhythm, begin, end, limit=100_000)
        if len(found) >= wanted or begin == since:
            latest = found[-wanted:]
            return Backlog(newest=latest[-1] if latest else None, caught_up_from=latest[0] if latest else None)
        span *= 4


def tell_planned(schedule: str, planned: Sequence[Planned]) -> None:
    """Tell of the ticks that were missed; of many the latest, and how many there are. After the commit."""
    missed = [tick for tick in planned if tick.state is FireState.MISSED]
    for tick in missed[-TOLD_EACH:]:
        others = len(missed) - TOLD_EACH
        more = f" (and {others} ticks before it)" if others > 0 and tick is missed[-1] else ""
        tell_missed(schedule, tick.nominal_at, f"{tick.why or ''}{more}")


def tell_missed(schedule: str, nominal_at: datetime, why: str) -> None:
    """Tell at once of a tick that was missed: it happens once, and nothing shows it again by itself."""
    what, hint = alarm_words.WORDS[Code.TICK_MISSED]
    at = rules.stamp(nominal_at)
    log.warning(what, code=str(Code.TICK_MISSED), hint=hint, schedule=schedule, at=at, because=why)


def rhythm_of(schedule: ScheduleRow) -> Rhythm:
    """Return when a schedule is due."""
    return Rhythm(cron=schedule.cron, every_s=schedule.every_s, zone=schedule.zone, anchor=schedule.anchor)


def policy_of(schedule: ScheduleRow) -> Policy:
    """Return what a schedule's owner chose."""
    return Policy(
        overlap=Overlap(schedule.overlap),
        catch_up=CatchUp(schedule.catch_up),
        max_catch_up=schedule.max_catch_up,
        paused_at=schedule.paused_at,
        paused_note=schedule.paused_note,
    )
