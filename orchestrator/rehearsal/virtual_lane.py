"""The product in virtual time: its pure decisions, driven as its engine drives them, with memory in place of tables.

Every decision is the product's own code: what a look means (`engine.poll`), the window and the samples and the size of
waves (`domain.planner`), who may send (`domain.governor`), what an answer to a launch means
(`domain.launch_decisions`), durations, backoff. Written anew is only what SQL does: who is due, who is taken.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, cast
from uuid import UUID

from orchestrator.domain import gathering
from orchestrator.domain.answers import Observation, OfferedFile, RemoteStatus
from orchestrator.domain.breaker import Breaker
from orchestrator.domain.governor import Budget, CallKind
from orchestrator.domain.look_timing import late_after, price_after
from orchestrator.domain.statuses import RunStatus
from orchestrator.engine import look_results
from orchestrator.engine.deps import Deps
from orchestrator.engine.pump import GATHERED, RETRY_S
from orchestrator.errors import OutcomeUnknown
from orchestrator.providers.script import ScriptProvider
from orchestrator.rehearsal import virtual_windows
from orchestrator.rehearsal.arrivals import ROUND_TRIP_S
from orchestrator.rehearsal.model_provider import Execution, ModelProvider
from orchestrator.rehearsal.timeline import Timeline, seconds
from orchestrator.rehearsal.virtual_state import Run, Timers, Workflow
from orchestrator.rehearsal.world import Kills, World
from orchestrator.runtime import TICK_S, Sources
from orchestrator.settings import Settings
from orchestrator.storage.lanes import Lane, Turn
from orchestrator.storage.look_claims import LookClaim, LookResult

NOWHERE = UUID(int=0)

SEEN = {
    RemoteStatus.WAITING: Observation(status=RemoteStatus.WAITING, word="initial"),
    RemoteStatus.RUNNING: Observation(status=RemoteStatus.RUNNING, word="processing"),
    RemoteStatus.FINISHED: Observation(
        status=RemoteStatus.FINISHED, word="finished", files=(OfferedFile(filename="result", url="https://x/"),)
    ),
}

NO_ANSWER = OutcomeUnknown("nobody answers", code="timeout")


class VirtualLane:
    """One lane with all that runs on it: claims looks, asks the model, records what was seen.

    `on_turn[Turn.LAUNCH]` is given by who launches; `wake` makes the lane due from outside.
    """

    def __init__(self, world: World) -> None:
        self.time = Timeline()
        self.provider = ModelProvider(world)
        self.timers = Timers()
        self.workflows: dict[str, Workflow] = {}
        self.left = world.executions
        self.sent: Counter[CallKind] = Counter()
        #: Looks and launches by the batch or stream that they were for.
        self.looked: Counter[int] = Counter()
        self.launched: Counter[int] = Counter()
        self.on_wire: Counter[CallKind] = Counter()
        self.deps = _deps(Random(f"{world.seed}:product"), self.time)
        self.on_turn: dict[Turn, Callable[[], None]] = {Turn.POLL: self._look_turn}
        self._turn_at_s: dict[Turn, float] = {}
        #: Counts the workers that died: what one had in hand is nobody's after that.
        self._worker = 0
        self._is_down = False
        self._outages = world.outages
        if world.kills is not None:
            self._plan_kill(world.kills)
        self._lane = Lane(
            id=NOWHERE,
            now=self.time.now,
            budget=Budget(limit=world.rate_per_min, in_flight={}),
            blocked_until=None,
            launches_stopped=None,
            breaker=Breaker(),
            launch_due_at=None,
            poll_due_at=None,
        )

    # -- the lane's row, and who comes to it when ------------------------------------------------------------

    def lock(self) -> Lane:
        """Return the lane as a transaction of now would find it."""
        return replace(self._lane, now=self.time.now, budget=self._budget(self._lane))

    def save(self, lane: Lane, *, in_pump: bool) -> None:
        """Write the lane back. `in_pump`: a worker has just worked here and looks at once for more."""
        self._lane = lane
        for turn in Turn:
            self._arm(turn, in_pump=in_pump)

    def wake(self, turn: Turn) -> None:
        """Make the lane due now, from outside."""
        self.save(self.lock().pull(turn, self.time.now), in_pump=False)

    def send(self, kind: CallKind, count: int, arrives: Callable[[], None], answered: Callable[[], None]) -> None:
        """Send so many requests together: they arrive half a round trip later, and are answered after a whole one."""
        self.sent[kind] += count
        self.on_wire[kind] += count
        worker = self._worker
        self.time.at(self.time.now_s + ROUND_TRIP_S / 2, arrives)
        self.time.at(self.time.now_s + ROUND_TRIP_S, lambda: answered() if worker == self._worker else None)

    def is_out(self) -> bool:
        """Tell whether the provider answers nobody now."""
        return any(o.from_s <= self.time.now_s < o.from_s + o.lasts_s for o in self._outages)

    def _plan_kill(self, kills: Kills) -> None:
        def kill() -> None:
            if self.on_wire[CallKind.LAUNCH]:
                # What it launches just now would be a doubt, which is a person's to settle: it dies a moment later.
                self.time.at(self.time.now_s + ROUND_TRIP_S, kill)
                return
            self._worker += 1
            self._is_down = True
            self.time.at(self.time.now_s + kills.down_s, self._bury)
            self.time.at(self.time.now_s + kills.every_s, kill)

        self.time.at(self.time.now_s + kills.every_s, kill)

    def _bury(self) -> None:
        """Let another worker take over: the dead one's tokens count as spent now, its leases are void."""
        self._is_down = False
        lane = self.release(self.lock(), CallKind.LOOK, self.on_wire[CallKind.LOOK])
        self.timers.void_leases(self.time.now)
        self.save(lane.pull(Turn.POLL, lane.now).pull(Turn.LAUNCH, lane.now), in_pump=False)

    def release(self, lane: Lane, kind: CallKind, count: int) -> Lane:
        """Give tokens back that were answered just now."""
        self.on_wire[kind] -= count
        return replace(lane, budget=self._budget(lane).spend(kind, [0.0] * count, now=lane.now))

    def _budget(self, lane: Lane) -> Budget:
        return Budget(limit=lane.limit, spent=lane.budget.spent, in_flight=dict(self.on_wire))

    def _due_at(self, turn: Turn) -> datetime | None:
        return self._lane.launch_due_at if turn is Turn.LAUNCH else self._lane.poll_due_at

    def _arm(self, turn: Turn, *, in_pump: bool) -> None:
        """Plan when a worker comes for this turn: at once, with a pump's next try, or with the ticker's next tick."""
        due_at = self._due_at(turn)
        if due_at is None:
            return
        at_s = max(seconds(due_at), self.time.now_s)
        is_pumping = any(self.on_wire.values())
        if turn in GATHERED or not in_pump or at_s > self.time.now_s:
            step_s = RETRY_S if is_pumping or in_pump else TICK_S
            at_s = math.ceil(round(at_s / step_s, 6)) * step_s
        if at_s < self._turn_at_s.get(turn, math.inf):
            self._turn_at_s[turn] = at_s
            self.time.at(at_s, lambda: self._take_turn(turn, at_s))

    def _take_turn(self, turn: Turn, at_s: float) -> None:
        if self._turn_at_s.get(turn) != at_s:
            return
        del self._turn_at_s[turn]
        if self._is_down:
            return
        due_at = self._due_at(turn)
        if due_at is not None and due_at <= self.time.now:
            self.on_turn[turn]()
        else:
            self._arm(turn, in_pump=False)

    # -- looks: as storage/looks.py claims and records them ---------------------------------------------------

    def _look_turn(self) -> None:
        lane = self.lock()
        launches_wait = lane.launch_due_at is not None and lane.launch_due_at <= lane.now + timedelta(seconds=1)
        waiting = (CallKind.LAUNCH,) if launches_wait else ()
        wanted = lane.budget.paced(gathering.turn_size(lane.limit), now=lane.now)
        tokens = lane.budget.grant(CallKind.LOOK, wanted, now=lane.now, waiting=waiting)
        found = self.timers.take(tokens, now=lane.now, lease=timedelta(seconds=self.deps.settings.lease_s))
        late_s = late_after(lane.looks_late_s, [run.late_s for run in found])
        lane = replace(lane, looks_late_s=late_s) if found else lane
        claims = [(run, self._claim(run, lane)) for run in found]
        if claims:
            seen: list[look_results.Seen] = []
            self.send(
                CallKind.LOOK,
                len(claims),
                lambda: seen.extend(self._ask(run) for run, _ in claims),
                lambda: self._record(claims, seen),
            )
        self.save(replace(lane, poll_due_at=self._next_look(lane, taken=len(claims))), in_pump=bool(claims))

    def _next_look(self, lane: Lane, *, taken: int) -> datetime | None:
        next_due = self.timers.next_due()
        if next_due is None:
            return None
        if lane.budget.free(lane.now) > taken:
            return max(next_due, lane.now + timedelta(milliseconds=200))
        return max(next_due, lane.budget.next_free_at(lane.now), lane.now + timedelta(milliseconds=50))

    def _claim(self, run: Run, lane: Lane) -> LookClaim:
        assert run.launched_at is not None, "only what was launched has a look due"
        looked_before, run.looked_at = run.looked_at, self.time.now
        return LookClaim(
            run_id=run.id, fence=0, status=RunStatus.PROCESSING, status_at=run.launched_at, attempt=1,
            provider_status=run.word, execution_id="x", launched_at=run.launched_at, entered_at=run.entered_at,
            looked_before=looked_before, tries=run.tries, stage=run.stage, gone_since=None,
            wave_id=run.wave.id if run.wave else None, position=run.position, batch_id=None,
            workflow_id=run.workflow.id, remote_workflow_id="", connection_id=NOWHERE, provider="script", base_url="",
            api_key=b"", poll=run.workflow.poll, urgency=run.urgency, durations=run.workflow.durations,
            wave=run.wave.clock if run.wave else None,
            price_s=lane.asked_price_s, late_s=lane.looks_late_s,
        )  # fmt: skip

    def _ask(self, run: Run) -> look_results.Seen:
        self.looked[run.execution.part] += 1
        return NO_ANSWER if self.is_out() else SEEN[self.provider.look(run.execution, now_s=self.time.now_s)]

    def _record(self, claims: Sequence[tuple[Run, LookClaim]], seen: Sequence[look_results.Seen]) -> None:
        lane = self.release(self.lock(), CallKind.LOOK, len(claims))
        # The engine's own reading of a look; it is not public, and a copy of it here would drift.
        results = [
            (run, look_results.result_of(self.deps, claim, answer, now=lane.now))
            for (run, claim), answer in zip(claims, seen, strict=True)
        ]
        for run, result in results:
            self._apply(run, result)
        due = [r.change.timer.due_at for _, r in results if r.change.timer and r.change.timer.due_at is not None]
        due += [
            lane.now + timedelta(seconds=in_s)
            for in_s in virtual_windows.teach_waves(self.deps, self.timers, lane, results)
        ]
        virtual_windows.teach_durations(results, now=lane.now)
        lane = replace(lane, look_price_s=price_after(lane.look_price_s, [r for _, r in results]))
        lane = lane.pull(Turn.POLL, min(due, default=lane.now))
        if virtual_windows.plan_anew(results, lane) and lane.launch_due_at is not None:
            lane = lane.pull(Turn.LAUNCH, lane.now)
        self.save(lane, in_pump=True)

    def _apply(self, run: Run, result: LookResult) -> None:
        change, timer = result.change, result.change.timer
        run.word = change.provider_status or run.word
        if change.to is RunStatus.PROCESSING:
            assert timer is not None, "what runs is looked at again"
            run.tries, run.stage = timer.tries, timer.stage
            if timer.due_at is not None and run.entered_at is None:
                run.entered_at = self.time.now
            if timer.due_at is None and run.wave is not None and run.position is not None:
                run.wave.slept.add(run.position)
            self.timers.set(run, timer.due_at, timer.urgency)
            return
        run.has_ended = True
        self.timers.set(run, None)
        run.execution.seen_s = self.time.now_s
        self.left -= 1
        if run.wave is None:
            run.workflow.singles_open -= 1


class _Unused:
    """Stands where the simulation has nothing: whoever reaches for it fails."""


def _deps(draw: Random, time: Timeline) -> Deps:
    """Return what the engine's decisions are handed: randomness by the world's seed, the provider's capabilities."""
    nothing = cast(Any, _Unused())
    return Deps(
        db=nothing,
        provider=lambda name: cast(Any, ScriptProvider),
        files=nothing,
        store=nothing,
        sealer=nothing,
        sources=Sources(
            bits=draw.getrandbits,
            unit=draw.random,
            monotonic=lambda: time.now_s,
            unix_ms=lambda: int(time.now.timestamp() * 1000),
        ),
        settings=Settings(),
        check_base_url=nothing,
        check_api_key=nothing,
    )


def new_run(lane: VirtualLane, execution: Execution) -> Run:
    """Return a run that is queued."""
    return Run(id=lane.deps.sources.new_id(), execution=execution, workflow=lane.workflows[execution.workflow])
