"""Launch: send what was committed, once, and write down what came of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import launch_decisions
from orchestrator.domain.answers import Accepted, WaveAccepted
from orchestrator.domain.governor import CallKind
from orchestrator.domain.launch_decisions import IntentOutcome, LaunchDecision, LaunchFacts
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.engine import highwater, late_answers, launch_claims, poison, probing, settle
from orchestrator.engine.deps import Deps
from orchestrator.engine.launch_orders import LaunchOrder
from orchestrator.errors import NotSent, OutcomeUnknown, ProviderError, Unavailable
from orchestrator.faultpoints import Point, reach
from orchestrator.storage import changes, intents, lanes, questions, turns, waves
from orchestrator.storage.changes import WavePlace
from orchestrator.storage.database import FOR_EVER
from orchestrator.storage.lanes import Lane, Turn
from orchestrator.telemetry import get_logger

log = get_logger(__name__)

Answer = Accepted | WaveAccepted | ProviderError


async def launch_due(deps: Deps, *, worker: UUID) -> int | None:
    """Take one lane's turn to launch. Returns how many requests it led to, None when no lane is due."""

    await highwater.ensure_compared(deps)
    written: launch_claims.LaunchClaim | None = None
    lane: UUID | None = None

    def told(lane_id: UUID) -> None:
        nonlocal lane
        lane = lane_id

    async def claim(connection: AsyncConnection) -> launch_claims.LaunchClaim | None:
        nonlocal written
        written = await launch_claims.claim(deps, connection, worker=worker, told=told)
        await reach(Point.LAUNCH_WRITTEN)
        return written

    try:
        # One try: a commit whose answer was lost must not be followed by sending.
        claimed = await poison.caught(lambda: deps.db.run(claim, tries=1))
    except Unavailable:
        await _take_back(deps, written)
        raise
    if isinstance(claimed, poison.Poisoned):
        if lane is None:
            raise claimed.failure
        await poison.put_off_lane(deps, lane, Turn.LAUNCH, claimed)
        return 0
    if claimed is None:
        return None
    if claimed.probe is not None:
        await probing.probe(deps, claimed.probe)
        return 1
    if claimed.orders:
        await asyncio.gather(*(launch_one(deps, order) for order in claimed.orders))
    return len(claimed.orders)


async def _take_back(deps: Deps, written: launch_claims.LaunchClaim | None) -> None:
    """Say of intents that may have been committed that they were never sent: nobody but this worker can know it."""
    unsent = NotSent(
        "the intent's commit was in question, so nothing was sent", code=launch_decisions.COMMIT_IN_QUESTION
    )
    for order in written.orders if written is not None else ():

        async def record(connection: AsyncConnection, order: LaunchOrder = order) -> frozenset[UUID]:
            return await _record(deps, connection, order, unsent, [])

        await deps.db.run(record, tries=FOR_EVER)


async def launch_one(deps: Deps, order: LaunchOrder) -> None:
    """Send one intent and record the answer, however long the database is away meanwhile."""
    await reach(Point.LAUNCH_COMMITTED)
    await highwater.note_launch(deps, order)
    answer = await _send(deps, order)
    answered_at = deps.sources.monotonic()
    await reach(Point.LAUNCH_ANSWERED)
    await highwater.note_answer(deps, order, answer)
    log.info("launch answered", lane=str(order.lane_id), runs=len(order.facts.runs), answer=type(answer).__name__)

    async def write(answer: Answer) -> frozenset[UUID]:
        async def record(connection: AsyncConnection) -> frozenset[UUID]:
            ago_s = [] if _cost_nothing(answer) else [deps.sources.monotonic() - answered_at]
            ended_in = await _record(deps, connection, order, answer, ago_s)
            await reach(Point.LAUNCH_RECORDING)
            return ended_in

        # The ids exist only in this memory until they are committed: try for as long as the worker lives.
        return await deps.db.run(record, tries=FOR_EVER)

    ended_in = await poison.caught(lambda: write(answer))
    if isinstance(ended_in, poison.Poisoned):
        # The others of this claim are recorded all the same; this one is a doubt, and its ids stand in the log.
        poison.tell("launch answer", ended_in, intent=str(order.intent_id), answer=_told_ids(answer))
        doubt = OutcomeUnknown("its answer could not be written down", code="unrecorded")
        ended_in = await poison.caught(lambda: write(doubt))
    if isinstance(ended_in, poison.Poisoned):
        # Nothing can be written of it. The sweep meets it again.
        poison.tell("launch doubt", ended_in, intent=str(order.intent_id))
        return
    await reach(Point.LAUNCH_RECORDED)
    await settle.settle_batches(deps, ended_in)


def _told_ids(answer: Answer) -> str:
    match answer:
        case Accepted(execution_id=execution_id):
            return execution_id
        case WaveAccepted(execution_ids=execution_ids):
            return json.dumps(execution_ids)
        case _:
            return answer.code


async def _send(deps: Deps, order: LaunchOrder) -> Answer:
    provider = deps.provider(order.provider)

    async def call() -> Answer:
        if order.wave_id is None:
            return await provider.launch(order.access, order.remote_workflow_id, order.body, send_by=order.send_by)
        return await provider.launch_wave(
            order.access, order.remote_workflow_id, order.body, count=len(order.facts.runs), send_by=order.send_by
        )

    try:
        answer = await poison.caught(call)
    except ProviderError as error:
        return error
    if isinstance(answer, poison.Poisoned):
        poison.tell("launch", answer, intent=str(order.intent_id))
        return OutcomeUnknown("our own code could not read the provider's answer", code="unreadable")
    return answer


def _cost_nothing(answer: Answer) -> bool:
    return isinstance(answer, NotSent)


async def _record(
    deps: Deps, connection: AsyncConnection, order: LaunchOrder, answer: Answer, answered_ago_s: Sequence[float]
) -> frozenset[UUID]:
    lane = await lanes.lock(connection, order.lane_id)
    lane = await lanes.release(connection, lane, order.grant_id, CallKind.LAUNCH, answered_ago_s)
    if order.batch_id is not None:
        await turns.lock_batch(connection, order.batch_id)
    answer = await _believable(connection, order, answer)
    if not await intents.take_sending(connection, order.intent_id, order.fence):
        await lanes.save(connection, lane)
        return await late_answers.attach(deps, connection, lane, order, answer)
    facts = await _with_cancels(connection, order)
    decision = launch_decisions.after_launch(
        facts, answer, breaker=lane.breaker, now=lane.now, unit=deps.sources.unit()
    )
    return await record_decision(
        deps, connection, lane, decision, intent=order.intent_id, workflow=order.workflow_id, wave=order.wave_id,
        batch=order.batch_id, facts=facts, error=answer if isinstance(answer, ProviderError) else None,
    )  # fmt: skip


async def record_decision(
    deps: Deps,
    connection: AsyncConnection,
    lane: Lane,
    decision: LaunchDecision,
    *,
    intent: UUID,
    workflow: UUID,
    wave: UUID | None,
    batch: UUID | None,
    facts: LaunchFacts,
    error: ProviderError | None,
) -> frozenset[UUID]:
    """Write everything that follows from a launch's answer; the lane is locked, the right to decide was taken."""
    places = {}
    if wave is not None:
        places = {run.run_id: WavePlace(wave_id=wave, position=run.position) for run in facts.runs}
        await _record_wave(deps, connection, wave, decision, window=facts.window)
    applied = await changes.apply(
        connection,
        decision.changes,
        now=lane.now,
        sources=deps.sources,
        sealer=deps.sealer,
        places=places,
        lane=lane.id,
    )
    await intents.close_intent(
        connection,
        intent,
        decision.outcome,
        http_status=error.http_status if error else None,
        detail=f"{error.code}: {error.message}" if error else None,
    )
    if decision.workflow_blocked_until is not None:
        because = decision.workflow_blocked_because
        await turns.block_workflow(connection, workflow, decision.workflow_blocked_until, because)
    if batch is not None:
        await _record_batch(connection, batch, decision)
    await lanes.save(connection, _told(lane, decision))
    return applied.batches_with_endings


def _told(lane: Lane, decision: LaunchDecision) -> Lane:
    due = [c.timer.due_at for c in decision.changes if c.timer is not None and c.timer.due_at is not None]
    lane = lane.pull(Turn.POLL, min(due)) if due else lane
    lane = lane.pull(Turn.LAUNCH, lane.now)
    return replace(
        lane,
        breaker=decision.breaker or lane.breaker,
        blocked_until=max(
            (t for t in (lane.blocked_until, decision.lane_blocked_until) if t is not None), default=None
        ),
        launches_stopped=decision.lane_launches_stopped or lane.launches_stopped,
    )


async def _record_wave(
    deps: Deps, connection: AsyncConnection, wave: UUID, decision: LaunchDecision, *, window: int
) -> None:
    doubts = sum(change.to is S.IN_DOUBT for change in decision.changes)
    match decision.outcome:
        case IntentOutcome.ACCEPTED | IntentOutcome.PARTLY_ACCEPTED:
            # Items that the answer does not name are doubts by now, and no part of what is watched.
            missing = sum(change.to is not S.PROCESSING for change in decision.changes)
            await waves.set_state(connection, wave, "open", frontier=window, ended=missing)
        case IntentOutcome.IN_DOUBT:
            await waves.set_state(connection, wave, "in_doubt", has_doubts=doubts > 0)
        case IntentOutcome.NOT_SENT | IntentOutcome.REFUSED:
            await waves.set_state(connection, wave, "not_sent")
    if doubts:
        title = f"It is not known whether {doubts} item(s) of a wave were started"
        await questions.ask_about_wave(connection, wave, title=title, sources=deps.sources)


async def _record_batch(connection: AsyncConnection, batch: UUID, decision: LaunchDecision) -> None:
    if decision.wave_cap is not None:
        await turns.set_wave_cap(connection, batch, decision.wave_cap)
    elif decision.outcome is IntentOutcome.ACCEPTED:
        turn = await turns.lock_batch(connection, batch)
        # A wave that was kept smaller, while the breaker was half open, says nothing about larger ones.
        if turn.wave_cap is not None and len(decision.changes) >= turn.wave_cap:
            # The provider takes waves again: grow back, until the cap says nothing any more.
            grown = turn.wave_cap * 2
            await turns.set_wave_cap(connection, batch, None if grown > 1000 else grown)
    if any(change.to is S.QUEUED for change in decision.changes):
        await turns.give_turn(connection, batch)


async def _believable(connection: AsyncConnection, order: LaunchOrder, answer: Answer) -> Answer:
    """Leave out execution ids that belong to other attempts already: what they name is not what we launched."""
    match answer:
        case Accepted(execution_id=execution_id):
            ids = {0: execution_id}
        case WaveAccepted(execution_ids=execution_ids):
            ids = dict(execution_ids)
        case _:
            return answer
    known = await intents.known_remote_ids(connection, order.connection_id, list(ids.values()))
    if not known:
        return answer
    return WaveAccepted(execution_ids={n: id for n, id in ids.items() if id not in known})


async def _with_cancels(connection: AsyncConnection, order: LaunchOrder) -> LaunchFacts:
    """Return the order's facts with the cancels that people asked for while it was on the wire."""
    found = await intents.read_intent(connection, order.intent_id, states=frozenset({"launching"}))
    return replace(order.facts, runs=found.runs) if found is not None else order.facts
