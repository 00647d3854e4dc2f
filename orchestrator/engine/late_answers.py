"""Late answers: what a provider said of a launch after somebody else had decided about it.

Fences guard acting, never evidence: an id that comes late is attached to its attempt where nothing else runs for it;
where that cannot be any more, because a person or a policy moved the run on, it is written down and a person is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import launch_decisions, operator_decisions
from orchestrator.domain.answers import Accepted, WaveAccepted
from orchestrator.domain.launch_decisions import LaunchDecision
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.engine.deps import Deps
from orchestrator.engine.launch_orders import LaunchOrder
from orchestrator.errors import Gone, Misbehaved, NotSent, ProviderError, Refused, Throttled
from orchestrator.storage import changes, doubts, lanes, questions, turns, waves
from orchestrator.storage.changes import WavePlace
from orchestrator.storage.lanes import Lane, Turn
from orchestrator.telemetry import get_logger

log = get_logger(__name__)

#: Answers to a launch that prove that nothing was started: unsent, or a 4xx by the table of outcomes.
STARTED_NOTHING = (NotSent, Throttled, Refused, Gone, Misbehaved)


async def attach(
    deps: Deps,
    connection: AsyncConnection,
    lane: Lane,
    order: LaunchOrder,
    answer: Accepted | WaveAccepted | ProviderError,
) -> frozenset[UUID]:
    """Attach what a late answer names, or tell of it. The lane and the batch are locked."""
    if isinstance(answer, STARTED_NOTHING):
        return await _lift(deps, connection, lane, order, answer)
    ids = _ids(answer)
    named = {run.run_id: run for run in order.facts.runs if run.position in ids}
    if not named:
        return frozenset()
    if order.wave_id is not None:
        await waves.lock(connection, [order.wave_id])
    attempts = {run.run_id: run.attempt for run in named.values()}
    found = await doubts.lock_late(connection, attempts, intent=order.intent_id)
    # What is being sent again under its key gets the same id by that answer.
    found = [late for late in found if not (late.is_its_own and late.run.status is S.LAUNCHING)]
    id_of = {run_id: ids[run.position] for run_id, run in named.items()}
    decided = [operator_decisions.after_late_answer(late, id_of[late.run.run_id], now=lane.now) for late in found]
    places = {}
    if order.wave_id is not None:
        places = {run.run_id: WavePlace(wave_id=order.wave_id, position=run.position) for run in named.values()}
    await doubts.keep_ids(connection, {late.run.run_id: (late.attempt, id_of[late.run.run_id]) for late in found},
                          intent=order.intent_id)  # fmt: skip
    applied = await changes.apply(
        connection, decided, now=lane.now, sources=deps.sources, sealer=deps.sealer, places=places, lane=lane.id
    )
    attached = sum(change.to is S.PROCESSING and change.was is not S.PROCESSING for change in applied.changes)
    log.warning("an answer came late", intent=str(order.intent_id), named=len(named), attached=attached)
    if attached and order.wave_id is not None:
        await waves.settle_doubts(connection, order.wave_id)
        await questions.settle_waves(connection, [order.wave_id])
    await lanes.wake(connection, lane.id, Turn.POLL)
    return applied.batches_with_endings


async def _lift(
    deps: Deps, connection: AsyncConnection, lane: Lane, order: LaunchOrder, answer: ProviderError
) -> frozenset[UUID]:
    """Lift the doubts of a launch that started nothing, by the word of its worker, which was taken for dead."""
    lane = await _obey(deps, connection, lane, order, answer)
    if order.wave_id is not None:
        await waves.lock(connection, [order.wave_id])
    attempts = {run.run_id: run.attempt for run in order.facts.runs}
    found = await doubts.lock_late(connection, attempts, intent=order.intent_id)
    was_sent = not isinstance(answer, NotSent)
    decided = [
        change
        for late in found
        if (change := operator_decisions.nothing_started(late, answer.code, was_sent=was_sent, now=lane.now))
    ]
    applied = await changes.apply(
        connection, decided, now=lane.now, sources=deps.sources, sealer=deps.sealer, lane=lane.id
    )
    log.warning(
        "a launch in doubt started nothing",
        intent=str(order.intent_id),
        code=answer.code,
        lifted=len(applied.changes),
    )
    if not applied.changes:
        return frozenset()
    if order.wave_id is not None:
        await waves.settle_doubts(connection, order.wave_id)
        await questions.settle_waves(connection, [order.wave_id])
    if order.batch_id is not None:
        await turns.give_turn(connection, order.batch_id)
    await lanes.wake(connection, lane.id, Turn.LAUNCH)
    return applied.batches_with_endings


async def _obey(deps: Deps, connection: AsyncConnection, lane: Lane, order: LaunchOrder, answer: ProviderError) -> Lane:
    """Let the lane, the workflow and the batch do what the answer asks, late as it is.

    The breaker stays as it is: whatever trouble there was is old.
    """
    decision: LaunchDecision = launch_decisions.after_launch(
        order.facts, answer, breaker=lane.breaker, now=lane.now, unit=deps.sources.unit()
    )
    waits = [at for at in (lane.blocked_until, decision.lane_blocked_until) if at is not None]
    stopped = decision.lane_launches_stopped or lane.launches_stopped
    lane = replace(lane, blocked_until=max(waits, default=None), launches_stopped=stopped)
    await lanes.save(connection, lane)
    if decision.workflow_blocked_until is not None:
        because = decision.workflow_blocked_because
        await turns.block_workflow(connection, order.workflow_id, decision.workflow_blocked_until, because)
    if order.batch_id is not None and decision.wave_cap is not None:
        await turns.set_wave_cap(connection, order.batch_id, decision.wave_cap)
    return lane


def _ids(answer: Accepted | WaveAccepted | ProviderError) -> Mapping[int, str]:
    """Return what an answer names, by position."""
    match answer:
        case Accepted(execution_id=execution_id):
            return {0: execution_id}
        case WaveAccepted(execution_ids=execution_ids):
            return execution_ids
        case _:
            return {}
