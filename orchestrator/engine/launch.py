"""Launch: send what was committed, once, and write down what came of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from functools import partial
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import launch_decisions, resending
from orchestrator.domain.answers import Accepted, WaveAccepted
from orchestrator.engine import heard, highwater, launch_claims, launch_records, poison, probing, settle
from orchestrator.engine.deps import Deps
from orchestrator.engine.launch_orders import LaunchOrder
from orchestrator.engine.launch_records import Answer, Answered
from orchestrator.engine.ports import Claimed, unheard
from orchestrator.engine.together import Together
from orchestrator.errors import NotSent, OutcomeUnknown, ProviderError, Unavailable
from orchestrator.faultpoints import Point, reach
from orchestrator.storage.database import FOR_EVER
from orchestrator.storage.lanes import Turn
from orchestrator.telemetry import get_logger

log = get_logger(__name__)


async def launch_due(deps: Deps, *, worker: UUID, claimed: Claimed = unheard) -> int | None:
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
        taken = await poison.caught(lambda: deps.db.run(claim, tries=1))
    except Unavailable:
        await _take_back(deps, written)
        raise
    if isinstance(taken, poison.Poisoned):
        if lane is None:
            raise taken.failure
        await poison.put_off_lane(deps, lane, Turn.LAUNCH, taken)
        return 0
    if taken is None:
        return None
    claimed(True)
    if taken.probe is not None:
        await probing.probe(deps, taken.probe)
        return 1
    await launch(deps, taken.orders)
    return len(taken.orders)


async def _take_back(deps: Deps, written: launch_claims.LaunchClaim | None) -> None:
    """Say of intents that may have been committed that they were never sent: nobody but this worker can know it."""
    if written is None or not written.orders:
        return
    unsent = NotSent(
        "the intent's commit was in question, so nothing was sent", code=launch_decisions.COMMIT_IN_QUESTION
    )
    answered = [Answered(order=order, answer=unsent, at=deps.sources.monotonic()) for order in written.orders]
    await _record(deps, answered)


async def launch(deps: Deps, orders: Sequence[LaunchOrder]) -> None:
    """Send what was committed, each once, and record the answers, however long the database is away meanwhile."""
    if not orders:
        return
    for _ in orders:
        await reach(Point.LAUNCH_COMMITTED)
    await highwater.note_launches(deps, orders)
    records: Together[Answered] = Together()
    await asyncio.gather(*(_launch_one(deps, order, records) for order in orders))


async def _launch_one(deps: Deps, order: LaunchOrder, records: Together[Answered]) -> None:
    answer = await _send(deps, order)
    answered = Answered(order=order, answer=answer, at=deps.sources.monotonic())
    await reach(Point.LAUNCH_ANSWERED)
    await highwater.note_answer(deps, order, answer)
    log.info("launch answered", lane=str(order.lane_id), runs=len(order.facts.runs), answer=type(answer).__name__)
    await records.add(answered, partial(_record, deps))


async def _record(deps: Deps, answered: Sequence[Answered]) -> None:
    """Record answers of one lane: all of them together, or where the data of one breaks that, each apart."""
    said = heard.take(deps, heard.ears(answered[0].order.provider, [a.order.connection_id for a in answered]))

    async def write() -> frozenset[UUID]:
        async def record(connection: AsyncConnection) -> frozenset[UUID]:
            ended_in = await launch_records.record(deps, connection, answered, rate=said.rate)
            await reach(Point.LAUNCH_RECORDING)
            return ended_in

        # The ids exist only in this memory until they are committed: try for as long as the worker lives.
        return await deps.db.run(record, tries=FOR_EVER)

    ended_in = await poison.caught(write)
    if isinstance(ended_in, poison.Poisoned):
        await _record_apart(deps, answered, ended_in)
    else:
        await reach(Point.LAUNCH_RECORDED)
        await settle.settle_batches(deps, ended_in)
    await heard.tell(deps, said)


async def _record_apart(deps: Deps, answered: Sequence[Answered], why: poison.Poisoned) -> None:
    """Record each answer by itself; one that cannot be written is a doubt, and its ids stand in the log."""
    if len(answered) > 1:
        for one in answered:
            await _record(deps, [one])
        return
    (one,) = answered
    intent = str(one.order.intent_id)
    if one.is_unrecorded:
        # Nothing can be written of it. The sweep meets it again.
        poison.tell("launch doubt", why, intent=intent)
        return
    poison.tell("launch answer", why, intent=intent, answer=_told_ids(one.answer))
    await _record(deps, [one.unrecorded()])


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
            return await provider.launch(
                order.access, order.remote_workflow_id, order.body, send_by=order.send_by, key=order.key
            )
        return await provider.launch_wave(
            order.access, order.remote_workflow_id, order.body, count=len(order.facts.runs), send_by=order.send_by
        )

    try:
        answer = await poison.caught(call)
    except ProviderError as error:
        return _of_old_version(error) if order.is_of_old_version else error
    if isinstance(answer, poison.Poisoned):
        poison.tell("launch", answer, intent=str(order.intent_id))
        return OutcomeUnknown("our own code could not read the provider's answer", code="unreadable")
    return answer


def _of_old_version(error: ProviderError) -> ProviderError:
    """Return what an error means for a launch that is sent again with a version that its connection left meanwhile.

    That the provider takes this version no more says nothing of the connection, and no further sending of this launch
    would tell what became of it.
    """
    if error.code != "version_unsupported":
        return error
    return OutcomeUnknown(
        "the provider takes no more the API version that the launch was first sent with",
        code=resending.VERSION_LEFT,
        http_status=error.http_status,
    )
