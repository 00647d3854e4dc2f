"""What came of launches, written down: for their runs, intents, waves, batches, workflows, and the lane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import resending
from orchestrator.domain.answers import Accepted, WaveAccepted
from orchestrator.domain.governor import CallKind
from orchestrator.domain.heard import RateSaid
from orchestrator.domain.launch_decisions import IntentOutcome, LaunchDecision, LaunchFacts
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.engine import late_answers
from orchestrator.engine.deps import Deps
from orchestrator.engine.launch_orders import LaunchOrder
from orchestrator.errors import NotSent, OutcomeUnknown, ProviderError, Throttled
from orchestrator.storage import changes, grants, intents, lane_minutes, lanes, questions, turns, unanswered, waves
from orchestrator.storage.changes import WavePlace
from orchestrator.storage.intents import ClosedIntent
from orchestrator.storage.lanes import Lane, Turn

Answer = Accepted | WaveAccepted | ProviderError


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One launch and its answer. `at` is when it came, on this process's own clock."""

    order: LaunchOrder
    answer: Answer
    at: float

    @property
    def is_unrecorded(self) -> bool:
        """It stands for an answer that could not be written down."""
        return isinstance(self.answer, OutcomeUnknown) and self.answer.code == resending.UNRECORDED

    def unrecorded(self) -> Answered:
        """Return the doubt that is left where the answer itself cannot be written down."""
        return replace(self, answer=OutcomeUnknown("its answer could not be written down", code=resending.UNRECORDED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What was decided of one launch. `error` is what the provider or the network said, if it was no yes."""

    decision: LaunchDecision
    intent: UUID
    workflow: UUID
    wave: UUID | None
    batch: UUID | None
    facts: LaunchFacts
    error: ProviderError | None = None
    #: How often it may have been sent before this time.
    sends: int = 0


async def record(
    deps: Deps, connection: AsyncConnection, answered: Sequence[Answered], *, rate: RateSaid | None
) -> frozenset[UUID]:
    """Write what came of launches of one lane, in a fixed number of statements; return the batches where runs ended.

    Args:
        rate: how the provider's own count stands, where the answers told it.
    """
    # Before the lock: the lane's time is the transaction's, so what is waited for it must not count.
    ago_s = _ago_s(deps, answered)
    lane = await lanes.lock(connection, answered[0].order.lane_id)
    lane = (await grants.release_each(connection, lane, CallKind.LAUNCH, ago_s)).heard(rate)
    await turns.lock_batches(connection, {a.order.batch_id for a in answered if a.order.batch_id is not None})
    answered = await _believable(connection, answered)
    held = await intents.take_sending(connection, {a.order.intent_id: a.order.fence for a in answered})
    late = [a for a in answered if a.order.intent_id not in held]
    decided, lane = await _decide(deps, connection, lane, [a for a in answered if a.order.intent_id in held])
    ended_in = await write(deps, connection, lane, decided)
    for one in late:
        # Somebody else has decided meanwhile. Few ever are; each looks at what became of its own runs, and finds the
        # lane as those before it left it.
        lane = await lanes.lock(connection, lane.id)
        ended_in |= await late_answers.attach(deps, connection, lane, one.order, one.answer)
    return ended_in


def _ago_s(deps: Deps, answered: Sequence[Answered]) -> Mapping[UUID, float | None]:
    now = deps.sources.monotonic()
    return {a.order.grant_id: None if isinstance(a.answer, NotSent) else now - a.at for a in answered}


async def _decide(
    deps: Deps, connection: AsyncConnection, lane: Lane, answered: Sequence[Answered]
) -> tuple[list[Decided], Lane]:
    """Decide one after the other, as they came: what one answer says of the lane holds for the next."""
    runs = await intents.launching_runs(connection, [a.order.intent_id for a in answered]) if answered else {}
    decided = []
    for one in answered:
        order, answer = one.order, one.answer
        facts = replace(order.facts, runs=tuple(runs.get(order.intent_id, ())))
        decision = resending.after_launch(
            facts, answer, resend=order.resend, breaker=lane.breaker, now=lane.now, unit=deps.sources.unit()
        )
        lane = told(lane, decision)
        decided.append(
            Decided(
                decision=decision,
                intent=order.intent_id,
                workflow=order.workflow_id,
                wave=order.wave_id,
                batch=order.batch_id,
                facts=facts,
                error=answer if isinstance(answer, ProviderError) else None,
                sends=order.resend.sends if order.resend is not None else 0,
            )
        )
    return decided, lane


async def write(deps: Deps, connection: AsyncConnection, lane: Lane, decided: Sequence[Decided]) -> frozenset[UUID]:
    """Write everything that follows from decisions; the lane is locked, the right to decide was taken.

    Args:
        lane: as the decisions leave it.
    """
    places: dict[UUID, WavePlace] = {}
    for one in decided:
        if one.wave is not None:
            places |= {run.run_id: WavePlace(wave_id=one.wave, position=run.position) for run in one.facts.runs}
            await _record_wave(deps, connection, one.wave, one.decision, window=one.facts.window)
    moved = [change for one in decided for change in one.decision.changes]
    applied = await changes.apply(
        connection, moved, now=lane.now, sources=deps.sources, sealer=deps.sealer, places=places, lane=lane.id
    )
    closed = [_closed(one) for one in decided if one.decision.again_at is None]
    if closed:
        await intents.close(connection, closed)
    for one in decided:
        if one.decision.again_at is not None:
            await unanswered.send_later(connection, one.intent, at=one.decision.again_at, sends=one.sends + 1)
    await _tell_workflows(connection, decided)
    await _tell_batches(connection, decided)
    await lanes.save(connection, lane)
    throttled = sum(isinstance(one.error, Throttled) for one in decided)
    await lane_minutes.turned_away(connection, lane.id, throttled)
    return applied.batches_with_endings


def _closed(one: Decided) -> ClosedIntent:
    error = one.error
    return ClosedIntent(
        id=one.intent,
        outcome=one.decision.outcome,
        http_status=error.http_status if error else None,
        detail=f"{error.code}: {error.message}" if error else None,
    )


async def _tell_workflows(connection: AsyncConnection, decided: Sequence[Decided]) -> None:
    """Let workflows rest whose launches were turned away."""
    for one in decided:
        until = one.decision.workflow_blocked_until
        if until is not None:
            await turns.block_workflow(connection, one.workflow, until, one.decision.workflow_blocked_because)


async def _tell_batches(connection: AsyncConnection, decided: Sequence[Decided]) -> None:
    """Tell batches how large their waves may be, and give them their turn again where something fell back."""
    for one in decided:
        if one.batch is not None and one.wave is not None:
            await _tell_cap(connection, one.batch, one.decision)
    back = {o.batch for o in decided if o.batch is not None and any(c.to is S.QUEUED for c in o.decision.changes)}
    for batch in sorted(back):
        await turns.give_turn(connection, batch)


async def _tell_cap(connection: AsyncConnection, batch: UUID, decision: LaunchDecision) -> None:
    if decision.wave_cap is not None:
        await turns.set_wave_cap(connection, batch, decision.wave_cap)
    elif decision.outcome is IntentOutcome.ACCEPTED:
        turn = await turns.lock_batch(connection, batch)
        # A wave that was kept smaller, while the breaker was half open, says nothing about larger ones.
        if turn.wave_cap is not None and len(decision.changes) >= turn.wave_cap:
            # The provider takes waves again: grow back, until the cap says nothing any more.
            grown = turn.wave_cap * 2
            await turns.set_wave_cap(connection, batch, None if grown > 1000 else grown)


def told(lane: Lane, decision: LaunchDecision) -> Lane:
    """Return the lane as a decision leaves it."""
    due = [c.timer.due_at for c in decision.changes if c.timer is not None and c.timer.due_at is not None]
    lane = lane.pull(Turn.POLL, lane.gathered(min(due))) if due else lane
    lane = lane.pull(Turn.LAUNCH, lane.gathered(lane.now))
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
        case IntentOutcome.UNANSWERED:
            raise AssertionError("a wave has no key, and is never sent again")
        case IntentOutcome.NOT_SENT | IntentOutcome.REFUSED:
            await waves.set_state(connection, wave, "not_sent")
    if doubts:
        were = "item of a wave was" if doubts == 1 else "items of a wave were"
        title = f"It is not known whether {doubts} {were} started"
        await questions.ask_about_wave(connection, wave, doubts=doubts, title=title, sources=deps.sources)


async def _believable(connection: AsyncConnection, answered: Sequence[Answered]) -> list[Answered]:
    """Leave out execution ids that belong to other attempts already: what they name is not what we launched.

    That is also true of an id that two answers of this group name: who comes first has it.
    """
    named: dict[UUID, list[str]] = {}
    for one in answered:
        named.setdefault(one.order.connection_id, []).extend(_ids(one.answer).values())
    known = {
        connection_id: await intents.known_remote_ids(connection, connection_id, ids)
        for connection_id, ids in named.items()
        if ids
    }
    believed = []
    for one in answered:
        ids, taken = _ids(one.answer), known.get(one.order.connection_id, set())
        left = {n: id for n, id in ids.items() if id not in taken}
        believed.append(one if left == ids else replace(one, answer=WaveAccepted(execution_ids=left)))
        taken.update(left.values())
    return believed


def _ids(answer: Answer) -> dict[int, str]:
    match answer:
        case Accepted(execution_id=execution_id):
            return {0: execution_id}
        case WaveAccepted(execution_ids=execution_ids):
            return dict(execution_ids)
        case _:
            return {}
