"""Schedules: made, shown, changed, paused and fired by hand. What happens at each tick is in `fire`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.calendar.preview import in_words
from orchestrator.domain.calendar.reading import read_rhythm
from orchestrator.domain.calendar.rhythms import Rhythm, next_tick
from orchestrator.domain.chain import NewEvent
from orchestrator.domain.fires import FireState, Planned
from orchestrator.engine import retaking, schedule_reading, submit, ticks
from orchestrator.engine import schedule_words as words
from orchestrator.engine.deps import Deps
from orchestrator.engine.schedule_words import Plan
from orchestrator.engine.who import Who
from orchestrator.engine.workflows import find_connection, known_workflow
from orchestrator.errors import Conflict
from orchestrator.storage import erasure, events, fires, schedules
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.schedules import ScheduleRow


async def create_schedule(
    deps: Deps,
    who: Who,
    name: str,
    *,
    workflow_id: str,
    connection: str,
    cron: str | None,
    every: str | None,
    zone: str,
    plan: Plan,
) -> dict[str, Any]:
    """Make a schedule. Its first tick is the next one from now on.

    Raises:
        BadInput: the rhythm, the zone, the input or a word makes no sense, or it would never fire.
        Conflict: there is a schedule of that name.
    """
    words.check_name(name)
    found = await find_connection(deps, who, connection)
    workflow = await known_workflow(deps, found, workflow_id)
    await submit.check_input(deps, found, workflow, plan.input)
    id = deps.sources.new_id()

    async def insert(session: AsyncConnection) -> None:
        now = await transaction_now(session)
        rhythm = read_rhythm(cron=cron, every=every, zone=zone, anchor=schedule_reading.whole(now))
        written = await schedules.insert(
            session,
            id=id,
            workspace=who.workspace_id,
            name=name,
            connection_id=found.id,
            workflow=workflow.id,
            created_by=who.actor,
            next_at=next_tick(rhythm, now),
            **_stored(rhythm),
            **plan.stored(),
        )
        if not written:
            raise Conflict(f"there is a schedule named {name!r} already", code="schedule_exists")
        told = who.act("schedule create").event("schedule_created", schedule=name, when=in_words(rhythm), tz=zone)
        await events.append_to_workspace(session, who.workspace_id, [told], at=now)

    await deps.db.run(insert)
    return await schedule_reading.show_schedule(deps, who, name)


async def update_schedule(
    deps: Deps,
    who: Who,
    name: str,
    *,
    cron: str | None = None,
    every: str | None = None,
    zone: str | None = None,
    plan: Mapping[str, Any],
    reason: str | None = None,
    seen: Collection[str] | None = None,
) -> dict[str, Any]:
    """Change what is given. Ticks whose time has come keep the old plan's row; the rest follow the new one.

    Args:
        seen: revisions (`schedule_words.revision`) of which it must still be one; None: whatever it is.

    Raises:
        Conflict: it was changed meanwhile.
    """
    if plan.get("input") is not None:
        await _check_input(deps, who, name, plan["input"])

    # Where the answer of a commit was lost it is tried again, and finds what it made itself.
    ours: set[str] = set()

    async def change(session: AsyncConnection, row: ScheduleRow) -> Done:
        words.check_seen(row, None if seen is None else {*seen, *ours})
        row, planned = await ticks.plan_whole(deps, session, row)
        rhythm, next_at = ticks.rhythm_of(row), row.next_at
        if cron is not None or every is not None or zone is not None:
            rhythm = _changed(row, cron=cron, every=every, zone=zone)
            next_at = next_tick(rhythm, row.now)
        changed = words.plan_of(row).changed(plan)
        await schedules.update(session, id=row.id, next_at=next_at, **_stored(rhythm), **changed.stored())
        if seen is not None:
            ours.add(words.revision(words.view(await schedules.lock_by_id(session, row.id), None)))
        given = sorted(
            [k for k, v in plan.items() if v is not None] + (["rhythm"] if rhythm != ticks.rhythm_of(row) else [])
        )
        act = who.act("schedule update", reason)
        return act.event("schedule_updated", schedule=name, changed=given, when=in_words(rhythm)), planned

    await _act(deps, who, name, change)
    return await schedule_reading.show_schedule(deps, who, name)


async def pause_schedule(deps: Deps, who: Who, name: str, note: str) -> dict[str, Any]:
    """Skip ticks from now on, each with its row; a note says why. What waits is skipped too."""

    async def pause(session: AsyncConnection, row: ScheduleRow) -> Done:
        if row.paused_at is not None:
            raise Conflict(f"it is paused already, by {row.paused_by}: {row.paused_note}", code="schedule_paused")
        _, planned = await ticks.plan_whole(deps, session, row)
        await schedules.pause(session, row.id, by=who.actor, note=note)
        await fires.hurry(session, row.id)
        return who.act("schedule pause", note).event("schedule_paused", schedule=name), planned

    await _act(deps, who, name, pause)
    return await schedule_reading.show_schedule(deps, who, name)


async def resume_schedule(deps: Deps, who: Who, name: str, *, reason: str | None = None) -> dict[str, Any]:
    """Fire again from now on. The ticks of the pause stay skipped."""

    async def resume(session: AsyncConnection, row: ScheduleRow) -> Done:
        if row.paused_at is None:
            raise Conflict("it is not paused", code="schedule_active")
        row, planned = await ticks.plan_whole(deps, session, row)
        await schedules.resume(session, row.id)
        if row.next_at is None:  # it was set aside, or is over: asked anew, and an error is the caller's to see
            await schedules.advance(session, row.id, next_tick(ticks.rhythm_of(row), row.now))
        return who.act("schedule resume", reason).event(
            "schedule_resumed", schedule=name, skipped=len(planned) or None
        ), planned

    await _act(deps, who, name, resume)
    return await schedule_reading.show_schedule(deps, who, name)


async def run_now(
    deps: Deps, who: Who, name: str, *, reason: str | None, nominal_at: str | None = None
) -> dict[str, Any]:
    """Fire once by hand, paused or not. Returns the schedule.

    Args:
        nominal_at: of a tick that was missed, skipped or merged, to be carried out after all, as the schedule is now;
            without a zone it is the schedule's. None: a tick of its own, with now as its nominal time.
    """

    async def ask(session: AsyncConnection, row: ScheduleRow) -> Done:
        act = who.act("schedule run-now", reason)
        if nominal_at is not None:
            taken, planned = await retaking.take_up(deps, session, row, nominal_at, by=who.actor, reason=reason)
            return act.event("schedule_run_now", schedule=name, **taken), planned
        await fires.insert(
            session,
            [Planned(nominal_at=row.now, state=FireState.DUE)],
            schedule=row.id,
            workspace=row.workspace_id,
            deadline_s=row.deadline_s,
            sources=deps.sources,
            asked_by=who.actor,
            reason=reason,
        )
        return act.event("schedule_run_now", schedule=name), ()

    await _act(deps, who, name, ask)
    return await schedule_reading.show_schedule(deps, who, name)


async def remove_schedule(deps: Deps, who: Who, name: str, *, reason: str | None = None) -> None:
    """Remove a schedule. Its history stays; what it submitted goes on; what still waits is skipped."""

    async def remove(session: AsyncConnection, row: ScheduleRow) -> Done:
        _, planned = await ticks.plan_whole(deps, session, row)
        await schedules.remove(session, row.id)
        await erasure.erase_input_of_removed(session, row.id)
        await fires.hurry(session, row.id)
        return who.act("schedule delete", reason).event("schedule_removed", schedule=name), planned

    await _act(deps, who, name, remove)


#: What an act on a schedule came to: its event, and the ticks that were planned before it.
Done = tuple[NewEvent, Sequence[Planned]]
Change = Callable[[AsyncConnection, ScheduleRow], Awaitable[Done]]


async def _act(deps: Deps, who: Who, name: str, change: Change) -> None:
    """Lock a schedule, change it, write the act down; then tell of ticks that were found missed."""

    async def write(session: AsyncConnection) -> Sequence[Planned]:
        row = await schedules.lock(session, who.workspace_id, name)
        if row is None:
            raise schedule_reading.unknown(name)
        told, planned = await change(session, row)
        await events.append_to_workspace(session, who.workspace_id, [told], at=row.now)
        return planned

    ticks.tell_planned(name, await deps.db.run(write))


async def _check_input(deps: Deps, who: Who, name: str, given: bytes) -> None:
    async def read(session: AsyncConnection) -> ScheduleRow:
        return await schedule_reading.find(session, who, name)

    row = await deps.db.run(read)
    found = await find_connection(deps, who, row.connection)
    await submit.check_input(deps, found, await known_workflow(deps, found, row.workflow), given)


def _changed(row: ScheduleRow, *, cron: str | None, every: str | None, zone: str | None) -> Rhythm:
    """Return the rhythm after a change: a new cron or interval takes the old one's place; the zone may change alone."""
    if cron is None and every is None:
        cron, every = row.cron, None if row.every_s is None else f"{row.every_s}s"
    anchor = row.anchor if row.every_s is not None and every == f"{row.every_s}s" else schedule_reading.whole(row.now)
    return read_rhythm(cron=cron, every=every, zone=zone or row.zone, anchor=anchor)


def _stored(rhythm: Rhythm) -> dict[str, Any]:
    return {"cron": rhythm.cron, "every_s": rhythm.every_s, "zone": rhythm.zone, "anchor": rhythm.anchor}
