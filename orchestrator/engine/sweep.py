"""Sweep: void the leases of dead workers, doubt what nobody recorded, finish what was left; then ask providers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.governor import CallKind
from orchestrator.domain.statuses import LIVE
from orchestrator.engine import clocks, operate, operation_steps, poison, removal, resend, settle, unrecorded
from orchestrator.engine.deps import Deps
from orchestrator.faultpoints import Point, reach
from orchestrator.storage import (
    batches,
    deliveries,
    drafts,
    housekeeping,
    lanes,
    workers,
)
from orchestrator.storage.housekeeping import Left
from orchestrator.storage.lanes import Turn
from orchestrator.telemetry import get_logger

log = get_logger(__name__)

#: Carries on with work that waits for providers, beside the sweep; what it was given before may still be at it.
Beside = Callable[[str, Callable[[], Coroutine[Any, Any, int]]], None]


async def sweep(
    deps: Deps,
    *,
    dead: Sequence[UUID] = (),
    may_judge_silence: bool = True,
    self_id: UUID | None = None,
    clock_went_back: bool = False,
    looks_far: bool = True,
    beside: Beside | None = None,
) -> int:
    """Do all of it once. Returns how many things were put right.

    Args:
        dead: workers that are known to be dead, whatever their heartbeat says: their process is gone.
        may_judge_silence: whether silent workers are dead. Not after an outage: then nobody could be heard.
        self_id: the worker that sweeps, which is not dead.
        clock_went_back: the worker has seen the database's clock go back.
        looks_far: ask also whether a clock went back that nobody was there to see. That reads every timer.
        beside: starts what asks providers, and does not wait for it: one that hangs must not keep the next sweep from
            burying the dead. Without it the sweep waits, after all else is done.
    """
    done = await clocks.bring_back(deps, went_back=clock_went_back) if looks_far or clock_went_back else 0
    done += await bury_dead_workers(deps, dead, may_judge_silence=may_judge_silence, self_id=self_id)
    left = await _anything_left(deps)
    if left.other:
        done += await unrecorded.doubt_all(deps)
        done += await operate.cancel_leftovers(deps)
        done += await settle_leftovers(deps)
        done += await removal.remove_files(deps)
        await deps.db.run(deliveries.forget)
        await deps.db.run(drafts.forget)

    async def tidy(connection: AsyncConnection) -> None:
        if self_id is not None:
            await workers.swept(connection, self_id)
        await housekeeping.tidy(connection, minutes=left.minutes)

    await deps.db.run(tidy)
    for name, work in _asking_providers(deps, self_id).items() if left.other else ():
        if beside is not None:
            beside(name, work)
        else:
            done += await work()
    return done


def _asking_providers(deps: Deps, worker: UUID | None) -> dict[str, Callable[[], Coroutine[Any, Any, int]]]:
    """Return what a sweep leads to that asks providers. Only a worker sends: its silence would be noticed."""
    found: dict[str, Callable[[], Coroutine[Any, Any, int]]] = {}
    if worker is not None:
        found["resend"] = lambda: resend.send_lost(deps, worker=worker)
    return found | {"operations": lambda: operation_steps.work_operations(deps)}


async def _anything_left(deps: Deps) -> Left:
    """Tell in one question whether any of the rest has something to do: mostly nothing has, and every worker sweeps."""

    async def look(connection: AsyncConnection) -> Left:
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
