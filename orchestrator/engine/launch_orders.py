"""One committed intent: what is sent, the runs in it, and the right to send it once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import windows
from orchestrator.domain.answers import Access
from orchestrator.domain.chain import NewEvent
from orchestrator.domain.changes import Change, ExecutionState
from orchestrator.domain.durations import Durations
from orchestrator.domain.governor import CallKind
from orchestrator.domain.launch_decisions import LaunchFacts, LaunchingRun
from orchestrator.domain.look_timing import Timing, WaveClock
from orchestrator.domain.resending import Resend, launch_key
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.engine.deps import Deps
from orchestrator.storage import changes, grants, intents, waves
from orchestrator.storage.changes import WavePlace
from orchestrator.storage.intents import NewIntent
from orchestrator.storage.lanes import Lane
from orchestrator.storage.turns import BatchTurn, DueWorkflow, QueuedRun

#: From the intent's commit to the last moment at which its request may be written.
SEND_WITHIN_S = 15.0

#: Longer than the longest launch may last. A worker that lives records before; one that died is found by its silence.
LONGEST_CALL_S = 600.0

#: What a request's own words around its inputs take of the provider's body limit.
ENVELOPE_BYTES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchOrder:
    """One committed intent, ready to be sent once. `send_by` is its deadline on this process's own clock."""

    intent_id: UUID
    fence: int
    grant_id: UUID
    lane_id: UUID
    workflow_id: UUID
    remote_workflow_id: str
    connection_id: UUID
    provider: str
    access: Access
    body: bytes
    facts: LaunchFacts
    wave_id: UUID | None
    batch_id: UUID | None
    send_deadline: datetime
    send_by: float
    #: Goes along where the provider takes keys; `resend`: until when it may be sent again, if its answer is lost.
    key: str | None = None
    resend: Resend | None = None
    #: Its connection asks for another version of the API by now than it was sent with.
    is_of_old_version: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Launchable:
    """What is to be sent in one request.

    Args:
        batch: the batch whose wave this is; None for a single launch.
        batch_id: the batch that the runs belong to, if any.
        width: how many the provider runs side by side.
        in_order: the provider is believed to run them in their order.
        tries: launches in a row that came back unsent.
    """

    workflow: DueWorkflow
    runs: Sequence[QueuedRun]
    batch: BatchTurn | None
    batch_id: UUID | None
    width: int
    in_order: bool = True
    tries: int = 0


async def commit_orders(
    deps: Deps, connection: AsyncConnection, lane: Lane, what: Sequence[Launchable], *, worker: UUID, claimed_at: float
) -> list[LaunchOrder]:
    """Write the intents, their executions, the runs' move to `launching`, and the tokens that pay for the requests.

    All of them in a fixed number of statements; which are all refused if one row is bad.

    Args:
        claimed_at: when the claim began, monotonic. Counted from there, the deadline holds for a process that stood
            still while its commit was answered.
    """
    send_deadline = lane.now + timedelta(seconds=SEND_WITHIN_S)
    inputs = await intents.inputs(connection, [run.id for one in what for run in one.runs])
    prepared = [await _prepare(deps, connection, one, inputs) for one in what]
    fences = await intents.insert(
        connection,
        [p.as_intent() for p in prepared],
        lane=lane.id,
        worker=worker,
        send_deadline=send_deadline,
        doubt_at=send_deadline + timedelta(seconds=LONGEST_CALL_S),
    )
    await _mark_launching(deps, connection, lane, prepared)
    await grants.grant_each(connection, lane, ids=[p.grant_id for p in prepared], worker=worker, kind=CallKind.LAUNCH)
    return [_order(deps, lane, p, fences[p.intent_id], send_deadline, claimed_at + SEND_WITHIN_S) for p in prepared]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """One request, before its intent is written."""

    what: Launchable
    intent_id: UUID
    grant_id: UUID
    wave_id: UUID | None
    body: bytes
    runs: tuple[LaunchingRun, ...]

    def as_intent(self) -> NewIntent:
        return NewIntent(
            id=self.intent_id,
            workflow_id=self.what.workflow.id,
            connection_id=self.what.workflow.connection_id,
            wave_id=self.wave_id,
            runs=self.runs,
            sha256=hashlib.sha256(self.body).digest(),
            body_bytes=len(self.body),
            api_version=self.what.workflow.api_version,
        )


async def _prepare(
    deps: Deps, connection: AsyncConnection, what: Launchable, inputs: Mapping[UUID, bytes]
) -> _Prepared:
    return _Prepared(
        what=what,
        body=_body(deps, what, inputs),
        wave_id=await _insert_wave(deps, connection, what) if what.batch is not None else None,
        runs=tuple(LaunchingRun(run_id=r.id, attempt=r.attempt, position=n) for n, r in enumerate(what.runs)),
        intent_id=deps.sources.new_id(),
        grant_id=deps.sources.new_id(),
    )


def _order(
    deps: Deps, lane: Lane, prepared: _Prepared, fence: int, send_deadline: datetime, send_by: float
) -> LaunchOrder:
    what, workflow = prepared.what, prepared.what.workflow
    keys = deps.provider(workflow.provider).capabilities.launch_key if prepared.wave_id is None else None
    return LaunchOrder(
        intent_id=prepared.intent_id,
        fence=fence,
        grant_id=prepared.grant_id,
        lane_id=lane.id,
        workflow_id=workflow.id,
        remote_workflow_id=workflow.remote_id,
        connection_id=workflow.connection_id,
        provider=workflow.provider,
        access=deps.access(
            connection_id=workflow.connection_id,
            base_url=workflow.base_url,
            api_key=workflow.api_key,
            api_version=workflow.api_version,
        ),
        body=prepared.body,
        facts=LaunchFacts(
            runs=prepared.runs,
            is_wave=prepared.wave_id is not None,
            of_batch=what.batch_id is not None,
            on_doubt=workflow.on_doubt,
            looks_first_s=_looks_first_s(deps, lane, what),
            looks_apart_s=0.0 if what.in_order else windows.looks_apart_s(lane.limit),
            window=windows.first_window(len(prepared.runs), what.width, in_order=what.in_order),
            tries=what.tries,
        ),
        wave_id=prepared.wave_id,
        batch_id=what.batch_id,
        send_deadline=send_deadline,
        send_by=send_by,
        key=launch_key(prepared.runs[0].run_id, prepared.runs[0].attempt) if keys is not None else None,
        resend=Resend(until=lane.now + timedelta(seconds=keys.resent_for_s)) if keys is not None else None,
    )


def _looks_first_s(deps: Deps, lane: Lane, what: Launchable) -> float:
    workflow = what.workflow
    wave = WaveClock(width=what.width, remaining=len(what.runs), in_order=what.in_order)
    timing = Timing(
        policy=deps.poll_policy(workflow.poll),
        durations=Durations(count=workflow.known, log_mean=workflow.log_mean, log_var=workflow.log_var),
        price_s=lane.asked_price_s,
        late_s=lane.looks_late_s,
        wave=wave if what.batch is not None else None,
    )
    return timing.first_s()


def _body(deps: Deps, what: Launchable, inputs: Mapping[UUID, bytes]) -> bytes:
    provider = deps.provider(what.workflow.provider)
    items = [inputs[run.id] for run in what.runs]
    if what.batch is None:
        return provider.launch_body(items[0])
    return provider.wave_body(items, level=what.batch.level)


async def _insert_wave(deps: Deps, connection: AsyncConnection, what: Launchable) -> UUID:
    assert what.batch is not None, "only a batch goes out in waves"
    wave_id = deps.sources.new_id()
    await waves.insert(
        connection,
        id=wave_id,
        batch=what.batch.id,
        workflow=what.workflow.id,
        size=len(what.runs),
        width=what.width,
        level=what.batch.level,
        in_order=what.in_order,
    )
    return wave_id


async def _mark_launching(deps: Deps, connection: AsyncConnection, lane: Lane, prepared: Sequence[_Prepared]) -> None:
    moved = [_launching(p, run) for p in prepared for run in p.runs]
    places = {
        run.run_id: WavePlace(wave_id=p.wave_id, position=run.position)
        for p in prepared
        if p.wave_id is not None
        for run in p.runs
    }
    applied = await changes.apply(
        connection, moved, now=lane.now, sources=deps.sources, sealer=deps.sealer, places=places, lane=lane.id
    )
    assert len(applied.changes) == len(moved), "queued runs were locked by this transaction"


def _launching(prepared: _Prepared, run: LaunchingRun) -> Change:
    told = {"intent": str(prepared.intent_id)} | ({"wave": str(prepared.wave_id)} if prepared.wave_id else {})
    return Change(
        run_id=run.run_id,
        was=S.QUEUED,
        to=S.LAUNCHING,
        events=(NewEvent(type="launching", data={"attempt": run.attempt, **told}),),
        execution=ExecutionState.LAUNCHING,
    )


def within_body(runs: Sequence[QueuedRun], max_body_bytes: int) -> list[QueuedRun]:
    """Return the first runs whose inputs fit one request; at least one, which submit has checked to fit."""
    room = max_body_bytes - ENVELOPE_BYTES
    taken: list[QueuedRun] = []
    for run in runs:
        room -= run.input_bytes + 1
        if taken and room < 0:
            break
        taken.append(run)
    return taken
