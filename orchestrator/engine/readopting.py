"""Takes up launches that a restored database forgot: what was sent is watched or doubted, never sent again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.changes import Change, ExecutionState, InboxKind, Timer, TimerKind, Urgency
from orchestrator.domain.launch_decisions import IntentOutcome, LaunchingRun
from orchestrator.domain.launch_notes import NotedLaunch, UnknownLaunch
from orchestrator.domain.operator_decisions import Act
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.engine.deps import Deps
from orchestrator.storage import batches, changes, intents, lanes, questions, readoption, waves
from orchestrator.storage.changes import WavePlace
from orchestrator.storage.lanes import Lane, Turn
from orchestrator.storage.readoption import FoundRun

_WHY = "it was launched before the database was restored, and its answer is written down nowhere"


async def take_up(deps: Deps, launch: NotedLaunch, forgotten: Sequence[UnknownLaunch], act: Act) -> dict[UUID, S]:
    """Take up those runs of one launch that are queued here; return what became of each."""

    async def write(connection: AsyncConnection) -> dict[UUID, S]:
        found = await readoption.find(connection, [(one.run.run_id, one.run.attempt) for one in forgotten])
        if not found:
            return {}
        of = next(iter(found.values()))
        lane = await lanes.lock(connection, of.lane_id)
        if of.batch_id is not None:
            await batches.lock(connection, of.batch_id)
        # Asked anew: whatever moves a run takes its lane first.
        found = await readoption.find(connection, [(one.run.run_id, one.run.attempt) for one in forgotten])
        runs = [one.run for one in forgotten if _waits(found.get((one.run.run_id, one.run.attempt)), one.run)]
        if not runs:
            return {}
        ids = await _believable(connection, launch, runs)
        became = await _Ledger(deps, connection, lane, of, act).write(launch, runs, ids)
        await lanes.save(connection, lane.pull(Turn.POLL, lane.now).pull(Turn.LAUNCH, lane.now))
        return became

    return await deps.db.run(write)


def _waits(found: FoundRun | None, run: LaunchingRun) -> bool:
    return found is not None and found.here.status is S.QUEUED and found.here.attempt <= run.attempt


async def _believable(
    connection: AsyncConnection, launch: NotedLaunch, runs: Sequence[LaunchingRun]
) -> dict[UUID, str]:
    """Return the execution ids of runs, but for those that belong to other attempts already."""
    ids = {r.run_id: launch.execution_ids[r.position] for r in runs if r.position in launch.execution_ids}
    known = await intents.known_remote_ids(connection, launch.note.connection_id, sorted(ids.values())) if ids else ()
    return {run: id for run, id in ids.items() if id not in known}


class _Ledger:
    """Writes one launch of the past, in a transaction that holds the lane and the batch."""

    def __init__(self, deps: Deps, connection: AsyncConnection, lane: Lane, of: FoundRun, act: Act) -> None:
        self.deps = deps
        self.connection = connection
        self.lane = lane
        self.of = of
        self.act = act
        self.wave: UUID | None = None

    async def write(self, launch: NotedLaunch, runs: Sequence[LaunchingRun], ids: Mapping[UUID, str]) -> dict[UUID, S]:
        """Write intent, executions and wave; then move the runs."""
        note = launch.note
        if note.is_wave and self.of.batch_id is not None:
            self.wave = await self._insert_wave(self.of.batch_id, size=len(note.runs))
        is_free = await self._is_free(note.intent_id)
        parts = [runs] if self.wave is not None else [[run] for run in runs]
        for part in parts:
            named = sum(run.run_id in ids for run in part)
            await readoption.insert_launch(
                self.connection,
                intent=note.intent_id if is_free and part is parts[0] else self.deps.sources.new_id(),
                at=note.at,
                of=self.of,
                wave=self.wave,
                runs=part,
                sha256=bytes.fromhex(note.body_sha256),
                body_bytes=note.body_bytes,
                outcome=_outcome(named, of=len(part)),
            )
        await self._apply([self._launching(run) for run in runs], runs)
        await self._apply([self._taken_up(run, ids.get(run.run_id)) for run in runs], runs)
        if self.wave is not None:
            await self._settle_wave(self.wave, doubts=sum(run.run_id not in ids for run in runs), named=len(ids))
        return {run.run_id: S.PROCESSING if run.run_id in ids else S.IN_DOUBT for run in runs}

    async def _is_free(self, intent_id: UUID) -> bool:
        unknown = await intents.read_intent(self.connection, intent_id, states=frozenset())
        return unknown is None

    async def _insert_wave(self, batch: UUID, *, size: int) -> UUID:
        level = self.of.level or "medium"
        width = self.deps.provider(self.of.provider).capabilities.wave_widths.get(level, 1)
        wave = self.deps.sources.new_id()
        await waves.insert(
            self.connection, id=wave, batch=batch, workflow=self.of.workflow_id, size=size, width=width, level=level
        )
        return wave

    async def _settle_wave(self, wave: UUID, *, doubts: int, named: int) -> None:
        if named:
            await waves.settle_doubts(self.connection, wave)
        else:
            await waves.set_state(self.connection, wave, "in_doubt", has_doubts=True)
        if doubts:
            were = "item of a wave was" if doubts == 1 else "items of a wave were"
            title = f"{doubts} {were} launched before the restore, and nobody knows what came of that"
            await questions.ask_about_wave(self.connection, wave, doubts=doubts, title=title, sources=self.deps.sources)

    async def _apply(self, moved: Sequence[Change], runs: Sequence[LaunchingRun]) -> None:
        places = (
            {run.run_id: WavePlace(wave_id=self.wave, position=run.position) for run in runs}
            if self.wave is not None
            else None
        )
        deps = self.deps
        applied = await changes.apply(
            self.connection, moved, now=self.lane.now, sources=deps.sources, sealer=deps.sealer, places=places,
            lane=self.lane.id,
        )  # fmt: skip
        assert len(applied.changes) == len(moved), "the runs were found queued under their lane's lock"

    def _launching(self, run: LaunchingRun) -> Change:
        return Change(
            run_id=run.run_id,
            was=S.QUEUED,
            to=S.LAUNCHING,
            events=(self.act.event("launching", attempt=run.attempt, from_journal=True),),
            attempt=run.attempt,
            execution=ExecutionState.LAUNCHING,
        )

    def _taken_up(self, run: LaunchingRun, execution_id: str | None) -> Change:
        if execution_id is None:
            return Change(
                run_id=run.run_id,
                was=S.LAUNCHING,
                to=S.IN_DOUBT,
                events=(replace(self.act, reason=_WHY).event("in_doubt", attempt=run.attempt),),
                execution=ExecutionState.IN_DOUBT,
                opens=None if self.wave is not None else InboxKind.DOUBT,
                title=f"It is not known whether this launch arrived: {_WHY}",
            )
        return Change(
            run_id=run.run_id,
            was=S.LAUNCHING,
            to=S.PROCESSING,
            events=(self.act.event("adopted", attempt=run.attempt, execution_id=execution_id, from_journal=True),),
            timer=Timer(kind=TimerKind.POLL, due_at=self.lane.now, urgency=Urgency.ASKED),
            provider_status="initial",
            execution_id=execution_id,
            execution=ExecutionState.OPEN,
            was_launched=True,
        )


def _outcome(named: int, *, of: int) -> IntentOutcome:
    if not named:
        return IntentOutcome.IN_DOUBT
    return IntentOutcome.ACCEPTED if named == of else IntentOutcome.PARTLY_ACCEPTED
