"""Fire: carry out ticks that are due: read the file, submit it, say what became of it.

Claim, read the file (no transaction open), record: what is submitted and that it was are one transaction, under the
claim's fence. How ticks get their rows is in `ticks`.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import fires as rules
from orchestrator.domain import templates
from orchestrator.domain.chain import NewEvent
from orchestrator.domain.fires import FireFacts, FireState, Verdict
from orchestrator.domain.intake.batch import MAX_FILE_BYTES
from orchestrator.engine import poison, submit, ticks
from orchestrator.engine.deps import Deps
from orchestrator.engine.ports import Claimed, unheard
from orchestrator.engine.submit import BatchSpec, RunSpec
from orchestrator.engine.who import Who
from orchestrator.errors import BadInput, Conflict, NotFound, OrchestratorError, Unavailable
from orchestrator.storage import events, fires, outbox, schedules
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.fires import FireClaim, Standing
from orchestrator.storage.schedules import ScheduleRow
from orchestrator.telemetry import redact

#: Fires that one claim takes.
FIRES_AT_ONCE = 4

#: A claim that is lost with its worker is free again so soon, seconds; reading a file takes a moment.
LEASE_S = 60.0


class _Void(Exception):
    """The claim was lost; whoever holds it now decides."""


class _Overtaken(Exception):
    """What the decision rested on has changed while the file was read; `verdict` is the new one."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.why)
        self.verdict = verdict


async def fire_due(deps: Deps, *, worker: UUID, claimed: Claimed = unheard) -> int | None:
    """Plan one schedule whose time has come, or carry out fires that are due. Returns how many, None for nothing."""
    planned = await ticks.plan_due(deps)
    if planned:
        return planned

    async def claim(connection: AsyncConnection) -> list[FireClaim]:
        return await fires.claim(connection, limit=FIRES_AT_ONCE, lease_s=LEASE_S)

    claims = await deps.db.run(claim)
    claimed(len(claims) == FIRES_AT_ONCE)
    for held in claims:  # one after the other: a fire may wait for the one before it
        await _carry_out_apart(deps, held)
    return len(claims) or None


async def _carry_out_apart(deps: Deps, held: FireClaim) -> None:
    """Carry out one tick; one that breaks our code stops no other, and is tried again when its lease ends."""
    done = await poison.caught(lambda: _carry_out(deps, held))
    if isinstance(done, poison.Poisoned):
        poison.tell("fire", done, schedule=held.name, fire=str(held.id))


async def _carry_out(deps: Deps, held: FireClaim) -> None:
    """Decide about one fire, and record it."""

    async def read(connection: AsyncConnection) -> tuple[ScheduleRow, FireFacts]:
        schedule = await schedules.read(connection, held.schedule_id)
        return schedule, await _facts(connection, held)

    schedule, facts = await deps.db.run(read)
    now = schedule.now
    name = None if schedule.template is None else templates.fill(schedule.template, _local(schedule, held.nominal_at))
    verdict = _decided(schedule, facts)
    if verdict is None:
        verdict = await _submitted(deps, schedule, held, facts, name, now=now)
    if verdict is not None:
        await _settle(deps, schedule, held, verdict, path=name)


async def _facts(connection: AsyncConnection, held: FireClaim) -> FireFacts:
    standing = await fires.standing(connection, held.schedule_id, held.nominal_at)
    return FireFacts(
        id=held.id,
        nominal_at=held.nominal_at,
        deadline_at=held.deadline_at,
        tries=held.tries,
        running=_running(standing),
        is_behind=standing.is_behind,
        is_behind_file=standing.is_behind_file,
        asked_by=held.asked_by,
    )


def _decided(schedule: ScheduleRow, facts: FireFacts) -> Verdict | None:
    """Return what keeps a fire from going now; None when nothing does."""
    if schedule.removed_at is not None:
        return Verdict(state=FireState.SKIPPED, why="the schedule was removed")
    return rules.consider(facts, ticks.policy_of(schedule), now=schedule.now)


async def _submitted(
    deps: Deps, schedule: ScheduleRow, held: FireClaim, facts: FireFacts, name: str | None, *, now: datetime
) -> Verdict | None:
    """Submit what a fire names; None when it was done, else what it comes to instead."""
    try:
        await _submit(deps, schedule, held, name)
        return None
    except _Void:
        return None
    except _Overtaken as overtaken:
        return overtaken.verdict
    except NotFound as error:
        if error.code in ("input_missing", "input_unsettled"):
            return rules.wait(facts, FireState.WAITING, error.message, now=now)
        return rules.missed(error.message)
    except (BadInput, Conflict) as error:
        return rules.missed(_said(error))
    except OrchestratorError as error:  # the provider's schema, the store of inputs, the database: it may come back
        return rules.trouble(facts, error.message, now=now)


async def _submit(deps: Deps, schedule: ScheduleRow, held: FireClaim, name: str | None) -> None:
    who = Who(
        workspace_id=schedule.workspace_id, actor=held.asked_by or f"schedule:{schedule.name}", scopes=frozenset()
    )
    told = _fired_event(schedule, held)

    if schedule.input is not None:

        async def ran(connection: AsyncConnection, id: UUID) -> None:
            await _decide_again(connection, held)
            await _take(connection, schedule, told, await fires.fired(connection, held, run=id))

        run = RunSpec(connection=schedule.connection, workflow_id=schedule.workflow, input=schedule.input, id=held.id)
        await submit.submit_run(deps, who, run, within=ran)
        return
    assert name is not None, "what is no run is a file"
    if deps.incoming is None:
        raise Unavailable("this process has no folder of inputs", code="inputs_folder")
    data = await deps.incoming.read(name, max_bytes=MAX_FILE_BYTES)
    sha256 = hashlib.sha256(data).digest()

    async def compare(connection: AsyncConnection) -> None:
        await _refuse_same(connection, schedule, held, name, sha256)

    await deps.db.run(compare)  # before thousands of rows are written for nothing

    async def stored(connection: AsyncConnection, id: UUID) -> None:
        await _decide_again(connection, held)
        await compare(connection)
        done = await fires.fired(connection, held, batch=id, path=name, sha256=sha256)
        await _take(connection, schedule, told, done)

    spec = BatchSpec(
        connection=schedule.connection,
        workflow_id=schedule.workflow,
        format=templates.format_of(name),
        name=f"{schedule.name} {rules.stamp(held.nominal_at)}",
        id=held.id,
        **schedule.options,
    )
    await submit.submit_batch(deps, who, spec, data, within=stored)


async def _decide_again(connection: AsyncConnection, held: FireClaim) -> None:
    """Lock the schedule and decide once more: another tick, or a person, may have come first while the file was read.

    From here to the commit nothing else of the schedule is decided.
    """
    schedule = await schedules.lock_by_id(connection, held.schedule_id)
    verdict = _decided(schedule, await _facts(connection, held))
    if verdict is not None:
        raise _Overtaken(verdict)


async def _refuse_same(
    connection: AsyncConnection, schedule: ScheduleRow, held: FireClaim, name: str, sha256: bytes
) -> None:
    """Raise `Conflict` for the bytes that the tick before or after submitted."""
    if schedule.allows_same_content:
        return
    same = await fires.same_content(connection, held, sha256)
    if same is not None:
        raise Conflict(
            f"the file {name} is the same, byte for byte, as at {rules.stamp(same)} (SHA-256 {sha256.hex()[:12]}…)",
            code="same_content",
        )


async def _take(connection: AsyncConnection, schedule: ScheduleRow, told: NewEvent, done: bool) -> None:
    if not done:
        raise _Void
    await events.append_to_workspace(connection, schedule.workspace_id, [told], at=await transaction_now(connection))


async def _settle(deps: Deps, schedule: ScheduleRow, held: FireClaim, verdict: Verdict, *, path: str | None) -> None:
    """Write what a fire came to; tell of a missed one."""

    async def write(connection: AsyncConnection) -> bool:
        if not await fires.settle(connection, held, verdict, path=path):
            return False
        if verdict.again_at is None:
            told = NewEvent(type=f"tick_{verdict.state}", actor="orchestrator", data=_tick(schedule, held))
            moment = await transaction_now(connection)
            await events.append_to_workspace(connection, schedule.workspace_id, [told], at=moment)
            await outbox.tell_missed(connection, schedule.workspace_id, [told], at=moment)
        return True

    if await deps.db.run(write) and verdict.state is FireState.MISSED:
        ticks.tell_missed(schedule.name, held.nominal_at, verdict.why or "")


def _running(standing: Standing) -> str | None:
    if standing.nominal_at is None:
        return None
    what = f"batch {standing.batch_id}" if standing.batch_id is not None else f"run {standing.run_id}"
    return f"{what} of {rules.stamp(standing.nominal_at)} has not ended"


def _local(schedule: ScheduleRow, at: datetime) -> datetime:
    return at.astimezone(ZoneInfo(schedule.zone))


def _tick(schedule: ScheduleRow, held: FireClaim) -> dict[str, object]:
    return {"schedule": schedule.name, "nominal_at": rules.stamp(held.nominal_at), "fire": str(held.id)}


def _fired_event(schedule: ScheduleRow, held: FireClaim) -> NewEvent:
    return NewEvent(type="tick_fired", actor=held.asked_by or f"schedule:{schedule.name}", data=_tick(schedule, held))


def _said(error: OrchestratorError) -> str:
    """Return a refusal with its first places: the row and field are what a person needs."""
    problems = error.problems[:3] if isinstance(error, BadInput) else ()
    return redact("; ".join([error.message, *(str(problem) for problem in problems)]))[:1000]
