"""Sweep: void the leases of dead workers, doubt or send again what nobody recorded, finish what was left."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import launch_decisions, resending
from orchestrator.domain.governor import CallKind
from orchestrator.domain.launch_decisions import LaunchFacts
from orchestrator.domain.statuses import LIVE
from orchestrator.engine import clocks, launch_records, operate, operation_steps, poison, removal, resend, settle
from orchestrator.engine.deps import Deps
from orchestrator.engine.launch_orders import LaunchOrder
from orchestrator.engine.launch_records import Decided
from orchestrator.faultpoints import Point, reach
from orchestrator.storage import (
    batches,
    deliveries,
    housekeeping,
    intents,
    lanes,
    setbacks,
    turns,
    unanswered,
    workers,
)
from orchestrator.storage.lanes import Turn
from orchestrator.storage.unanswered import DueSending
from orchestrator.telemetry import get_logger

log = get_logger(__name__)

#: Launches that one sweep turns into doubts; the next sweep goes on.
DOUBTS_AT_ONCE = 100


async def sweep(
    deps: Deps,
    *,
    dead: Sequence[UUID] = (),
    may_judge_silence: bool = True,
    self_id: UUID | None = None,
    clock_went_back: bool = False,
    looks_far: bool = True,
) -> int:
    """Do all of it once. Returns how many things were put right.

    Args:
        dead: workers that are known to be dead, whatever their heartbeat says: their process is gone.
        may_judge_silence: whether silent workers are dead. Not after an outage: then nobody could be heard.
        self_id: the worker that sweeps, which is not dead.
        clock_went_back: the worker has seen the database's clock go back.
        looks_far: ask also whether a clock went back that nobody was there to see. That reads every timer.
    """
    done = await clocks.bring_back(deps, went_back=clock_went_back) if looks_far or clock_went_back else 0
    done += await bury_dead_workers(deps, dead, may_judge_silence=may_judge_silence, self_id=self_id)
    if await _anything_left(deps):
        done += await unrecorded_launches(deps, worker=self_id)
        done += await operate.cancel_leftovers(deps)
        done += await settle_leftovers(deps)
        done += await removal.remove_files(deps)
        await deps.db.run(deliveries.forget)
        done += await operation_steps.work_operations(deps)

    async def tidy(connection: AsyncConnection) -> None:
        if self_id is not None:
            await workers.swept(connection, self_id)
        await housekeeping.tidy(connection)

    await deps.db.run(tidy)
    return done


async def _anything_left(deps: Deps) -> bool:
    """Tell in one question whether any of the rest has something to do: mostly nothing has, and every worker sweeps."""

    async def look(connection: AsyncConnection) -> bool:
        return await housekeeping.anything_left(connection, sorted(LIVE))

    return await deps.db.run(look)


async def bury_dead_workers(
    deps: Deps, known: Sequence[UUID] = (), *, may_judge_silence: bool = True, self_id: UUID | None = None
) -> int:
    """Declare silent workers dead, end their leases, and count their tokens as spent now."""

    async def declare(connection: AsyncConnection) -> tuple[list[UUID], list[UUID], list[UUID]]:
        silent_s = deps.settings.dead_after_s if may_judge_silence else None
        dead = await workers.declare_dead(connection, known, silent_s=silent_s, by=self_id)
        ended = await workers.unburied(connection)
        return dead, ended, await workers.lanes_to_clear(connection, ended)

    dead, ended, held_lanes = await deps.db.run(declare)
    await reach(Point.SWEEP_DECLARED)
    for lane_id in held_lanes:

        async def clear(connection: AsyncConnection, lane_id: UUID = lane_id) -> None:
            lane = await lanes.lock(connection, lane_id)
            # One that has beaten again meanwhile lives, and what it has claimed since then is its own.
            still = await workers.unburied(connection, among=ended)
            for kind, count in await workers.take_grants(connection, lane_id, still):
                lane = lane.spent(CallKind(kind), [0.0] * count)
            await workers.void_leases(connection, lane_id, still)
            await lanes.save(connection, lane.pull(Turn.POLL, lane.now).pull(Turn.LAUNCH, lane.now))

        await deps.db.run(clear)
        await reach(Point.SWEEP_CLEARED)

    async def bury(connection: AsyncConnection) -> None:
        await workers.bury(connection, ended)

    if ended:
        await deps.db.run(bury)
    if dead:
        log.warning(
            "workers are dead, their work is free",
            code="worker_dead",
            workers=[str(w) for w in dead],
            lanes=len(held_lanes),
        )
    return len(dead)


async def unrecorded_launches(deps: Deps, *, worker: UUID | None) -> int:
    """Decide about intents whose worker or answer did not come back: it is not known whether they were sent.

    Where the provider knows their key they are sent again, else they are doubts.

    Args:
        worker: who sends; without one nothing is sent again, and waits for a sweep that can.
    """

    async def find(connection: AsyncConnection) -> list[DueSending]:
        return await unanswered.due_sending(connection, DOUBTS_AT_ONCE)

    due = await deps.db.run(find)
    orders: list[LaunchOrder] = []
    for one in due:
        because: str | None = None
        if resend.may_be_sent_again(deps, one):
            if worker is None:
                continue
            order = await _claim_again(deps, one, worker)
            if isinstance(order, LaunchOrder):
                orders.append(order)
            if order is resend.Not.ELSEWHERE:
                because = resending.LEADS_ELSEWHERE
            elif order is not resend.Not.ANY_MORE:
                continue
        await _decide_unrecorded(deps, one, because)
    await resend.send(deps, orders)
    return len(due)


async def _claim_again(deps: Deps, due: DueSending, worker: UUID) -> LaunchOrder | resend.Not:
    async def claim(connection: AsyncConnection) -> LaunchOrder | resend.Not:
        return await resend.claim(deps, connection, due, worker=worker)

    # One try: a commit whose answer was lost must not be followed by sending. The timer stands for it meanwhile.
    claimed = await poison.caught(lambda: deps.db.run(claim, tries=1))
    if isinstance(claimed, poison.Poisoned):
        await _put_off(deps, due.intent_id, due.fence, claimed)
        return resend.Not.NOW
    return claimed


async def _decide_unrecorded(deps: Deps, due: DueSending, because: str | None) -> None:
    async def decide(connection: AsyncConnection) -> frozenset[UUID]:
        return await _doubt(deps, connection, due, because)

    ended_in = await poison.caught(lambda: deps.db.run(decide))
    if isinstance(ended_in, poison.Poisoned):
        await _put_off(deps, due.intent_id, due.fence, ended_in)
        return
    await reach(Point.SWEEP_DOUBTED)
    await settle.settle_batches(deps, ended_in)


async def _put_off(deps: Deps, intent_id: UUID, fence: int, why: poison.Poisoned) -> None:
    """Leave one intent for later, so that it keeps no other from becoming a doubt."""
    poison.tell("doubt", why, intent=str(intent_id))

    async def write(connection: AsyncConnection) -> None:
        await setbacks.put_off_sending(connection, intent_id, fence, wait_s=poison.LONGEST_S / 12)

    await deps.db.run(write)


async def _doubt(deps: Deps, connection: AsyncConnection, due: DueSending, because: str | None) -> frozenset[UUID]:
    lane = await lanes.lock(connection, due.lane_id)
    intent = await intents.read_intent(connection, due.intent_id, states=frozenset({"launching"}))
    if intent is None:
        return frozenset()
    if intent.batch_id is not None:
        await turns.lock_batch(connection, intent.batch_id)
    if not await intents.take_sending(connection, {due.intent_id: due.fence}):
        return frozenset()
    facts = LaunchFacts(
        runs=intent.runs,
        is_wave=intent.wave_id is not None,
        of_batch=intent.batch_id is not None,
        on_doubt=intent.on_doubt,
        looks_first_s=0.0,
        window=0,
    )
    decision = launch_decisions.unknown_outcome(facts, None, breaker=lane.breaker, now=lane.now, because=because)
    log.warning(
        "launch in doubt: nobody recorded it",
        code="in_doubt",
        intent=str(due.intent_id),
        runs=len(intent.runs),
        because=because or "its worker died",
    )
    decided = Decided(
        decision=decision,
        intent=due.intent_id,
        workflow=intent.workflow_id,
        wave=intent.wave_id,
        batch=intent.batch_id,
        facts=facts,
    )
    return await launch_records.write(deps, connection, launch_records.told(lane, decision), [decided])


async def settle_leftovers(deps: Deps) -> int:
    """Settle batches whose last run ended with a worker that died before it could say so."""

    async def find(connection: AsyncConnection) -> list[UUID]:
        return await batches.unsettled(connection, sorted(LIVE))

    left = await deps.db.run(find)
    for batch_id in left:
        settled = await poison.caught(lambda batch_id=batch_id: settle.settle_batches(deps, [batch_id]))  # type: ignore[misc]
        if isinstance(settled, poison.Poisoned):
            poison.tell("settle", settled, batch=str(batch_id))
    return len(left)
