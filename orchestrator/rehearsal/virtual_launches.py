"""Launching in virtual time: whose turn it is, as engine/launch_claims.py decides it, and what comes of it."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from orchestrator.domain import launch_decisions, planner, windows
from orchestrator.domain.answers import Accepted, WaveAccepted
from orchestrator.domain.backoff import OwnFigures, PollPolicy
from orchestrator.domain.durations import Durations
from orchestrator.domain.governor import CallKind, launches_at_once
from orchestrator.domain.launch_decisions import LaunchFacts, LaunchingRun, OnDoubt
from orchestrator.domain.look_timing import Timing
from orchestrator.domain.planner import BatchDemand, Launch
from orchestrator.domain.windows import WaveState
from orchestrator.providers.script import ScriptProvider
from orchestrator.rehearsal.arrivals import Arrival, arrivals
from orchestrator.rehearsal.timeline import EPOCH
from orchestrator.rehearsal.virtual_lane import VirtualLane, new_run
from orchestrator.rehearsal.virtual_state import Run, Subject, Wave, Workflow
from orchestrator.rehearsal.world import World
from orchestrator.storage.lanes import Lane, Turn


class VirtualLaunches:
    """Takes the lane's turns to launch; everything of a world arrives here."""

    def __init__(self, world: World) -> None:
        self.lane = VirtualLane(world)
        self.lane.workflows = {
            name: Workflow(
                id=self.lane.deps.sources.new_id(),
                slot_limit=world.slots(name),
                poll=_figures(world.polls.get(name, PollPolicy(polite=pace.polite))),
                durations=world.known.get(name, Durations()),
            )
            for name, pace in world.workflows.items()
        }
        self.lane.on_turn[Turn.LAUNCH] = self._turn
        self.submitted = arrivals(world)
        for arrival in self.submitted:
            self.lane.time.at(arrival.at_s, lambda arrival=arrival: self._arrive(arrival))  # type: ignore[misc]

    def _arrive(self, arrival: Arrival) -> None:
        runs = deque(new_run(self.lane, execution) for execution in arrival.executions)
        subject = Subject(
            queued=runs,
            due_at=self.lane.time.now,
            width=arrival.width,
            order=arrival.order,
            wave_size=arrival.wave_size,
        )
        if arrival.width is not None:
            for run in runs:
                run.subject = subject
        runs[0].workflow.subjects.append(subject)
        self.lane.wake(Turn.LAUNCH)

    # -- a turn ----------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        lane = self.lane.lock()
        again: list[datetime] = []
        tokens = self._tokens(lane, again)
        sent_before = self.lane.sent[CallKind.LAUNCH]
        if tokens:
            for workflow in sorted(self._due_workflows(lane.now), key=lambda w: w.last_turn_at or EPOCH):
                if tokens <= 0:
                    again.append(lane.now + timedelta(milliseconds=100))
                    continue
                sent = self._serve(workflow, lane, tokens)
                tokens -= sent
                workflow.last_turn_at = lane.now if sent else workflow.last_turn_at
                again.append(lane.now + timedelta(seconds=5))
        waiting = [s.due_at for w in self.lane.workflows.values() for s in w.subjects if s.due_at > lane.now]
        again += [min(waiting)] if waiting else []
        launched = self.lane.sent[CallKind.LAUNCH] > sent_before
        again += [lane.now + timedelta(milliseconds=100)] if launched else []
        self.lane.save(replace(self.lane.lock(), launch_due_at=min(again, default=None)), in_pump=launched)

    def _tokens(self, lane: Lane, again: list[datetime]) -> int:
        on_wire = lane.budget.in_flight.get(CallKind.LAUNCH, 0)
        looks_wait = lane.poll_due_at is not None and lane.poll_due_at <= lane.now
        waiting = (CallKind.LOOK,) if looks_wait else ()
        wanted = max(0, launches_at_once(lane.limit) - on_wire)
        tokens = lane.budget.grant(CallKind.LAUNCH, wanted, now=lane.now, waiting=waiting)
        if not tokens:
            soon = timedelta(seconds=0.1 if wanted else 0.5)
            again.append(max(lane.now + soon, lane.budget.next_free_at(lane.now)))
        return tokens

    def _due_workflows(self, now: datetime) -> list[Workflow]:
        return [w for w in self.lane.workflows.values() if any(s.due_at <= now for s in w.subjects)]

    def _serve(self, workflow: Workflow, lane: Lane, tokens: int) -> int:
        """Launch what of a workflow may go now; return the requests that it takes."""
        sent = reserved = 0
        waiter = self._first_in_line(workflow, lane.now)
        if waiter is not None:
            sent, reserved = self._serve_batch(workflow, waiter, lane, tokens=tokens)
        due = heapq.nsmallest(max(tokens, 1), workflow.due(lane.now), key=lambda s: s.due_at)
        for subject in due:
            if sent >= tokens:
                break
            if subject is waiter:
                continue
            if subject.width:
                sent += self._serve_batch(workflow, subject, lane, reserved=reserved, tokens=tokens - sent)[0]
            else:
                sent += self._serve_single(subject, reserved=reserved)
        return sent

    def _first_in_line(self, workflow: Workflow, now: datetime) -> Subject | None:
        """Return the batch that waits longest for slots, if it may keep others from them now."""
        waiting = [s for s in workflow.subjects if s.waits_since is not None]
        first = min(waiting, key=lambda s: s.waits_since or EPOCH, default=None)
        if first is None or first.waits_since is None:
            return None
        return first if planner.reserves((now - first.waits_since).total_seconds()) else None

    def _serve_single(self, subject: Subject, *, reserved: int) -> int:
        workflow = subject.queued[0].workflow
        if workflow.slots_used + reserved >= workflow.slot_limit:
            return 0
        workflow.subjects.remove(subject)
        workflow.singles_open += 1
        self._send([subject.queued[0]], None, width=1, order="index")
        return 1

    def _serve_batch(
        self, workflow: Workflow, subject: Subject, lane: Lane, *, tokens: int, reserved: int = 0
    ) -> tuple[int, int]:
        """Launch a wave if it may go, or single runs; return the requests that go, and the slots that it lacks."""
        if not subject.queued:
            workflow.subjects.remove(subject)
            return 0, 0
        demand = self._demand(workflow, subject, lane, reserved=reserved)
        plan = planner.plan_launch(demand, now=lane.now)
        if not isinstance(plan, Launch):
            subject.due_at = plan.until
            subject.waits_since = (subject.waits_since or lane.now) if plan.slots else None
            return 0, plan.slots
        subject.due_at, subject.waits_since = lane.now, None
        assert subject.width is not None, "a batch has a width"
        if demand.single:
            return self._send_singles(workflow, subject, min(plan.count, tokens)), 0
        runs = [subject.queued.popleft() for _ in range(min(plan.count, len(subject.queued)))]
        wave = Wave(
            id=self.lane.deps.sources.new_id(),
            runs=runs,
            plan=WaveState(size=len(runs), width=subject.width, in_order=demand.in_order),
            order=subject.order,
        )
        for position, run in enumerate(runs):
            run.wave, run.position = wave, position
        subject.waves.append(wave)
        workflow.waves.append(wave)
        self._send(runs, wave, width=subject.width, order=subject.order)
        return 1, 0

    def _send_singles(self, workflow: Workflow, subject: Subject, count: int) -> int:
        runs = [subject.queued.popleft() for _ in range(min(count, len(subject.queued)))]
        for run in runs:
            workflow.singles_open += 1
            self._send([run], None, width=1, order="index")
        return len(runs)

    def _demand(self, workflow: Workflow, subject: Subject, lane: Lane, *, reserved: int) -> BatchDemand:
        subject.waves = [w for w in subject.waves if not w.is_over]
        waves = [w for known in self.lane.workflows.values() for w in known.waves if not w.is_over]
        assert subject.width is not None, "a batch has a width"
        single = subject.wave_size == 1
        return BatchDemand(
            queued=min(len(subject.queued), planner.LARGEST_WAVE * 10),
            width=1 if single else subject.width,
            single=single,
            wave_size=subject.wave_size,
            wave_cap=None,
            live_waves=tuple(w.plan for w in subject.waves),
            slots_used=workflow.slots_used + reserved,
            slot_limit=workflow.slot_limit,
            unseen=sum(w.plan.size - w.plan.ended - w.plan.human for w in waves),
            looks_per_minute=lane.limit,
            mean_s=workflow.durations.mean_s,
            known=workflow.durations.count,
            max_items=ScriptProvider.capabilities.wave_max_items,
            rivals=max(0, sum(s.width is not None for s in workflow.subjects) - 1),
            in_order=workflow.in_order and all(w.plan.in_order for w in subject.waves),
        )

    # -- a request -------------------------------------------------------------------------------------------

    def _send(self, runs: Sequence[Run], wave: Wave | None, *, width: int, order: str) -> None:
        executions = [run.execution for run in runs]
        if self.lane.is_out():
            # No connection, so nothing was sent, and it costs nothing: back in line.
            self._put_back(runs, wave)
            return
        self.lane.launched[executions[0].part] += 1
        self.lane.send(
            CallKind.LAUNCH,
            1,
            lambda: self.lane.provider.launch(executions, width=width, order=order, now_s=self.lane.time.now_s),
            lambda: self._record(runs, wave, width=width),
        )

    def _put_back(self, runs: Sequence[Run], wave: Wave | None) -> None:
        workflow, again_at = runs[0].workflow, self.lane.time.now + timedelta(seconds=5)
        if wave is None:
            workflow.singles_open -= 1
            if runs[0].subject is not None:
                runs[0].subject.queued.appendleft(runs[0])
                runs[0].subject.due_at = again_at
                return
            workflow.subjects.append(Subject(queued=deque(runs), due_at=again_at, width=None))
            return
        workflow.waves.remove(wave)
        subject = next(s for s in workflow.subjects if wave in s.waves)
        subject.waves.remove(wave)
        subject.queued.extendleft(reversed(runs))
        subject.due_at = again_at

    def _record(self, runs: Sequence[Run], wave: Wave | None, *, width: int) -> None:
        """Take the provider's yes: the runs are processing, those of the window have a look due."""
        lane = self.lane.release(self.lane.lock(), CallKind.LAUNCH, 1)
        in_order = wave is None or wave.plan.in_order
        facts = LaunchFacts(
            runs=tuple(LaunchingRun(run_id=r.id, attempt=1, position=n) for n, r in enumerate(runs)),
            is_wave=wave is not None,
            of_batch=runs[0].subject is not None,
            on_doubt=OnDoubt.HOLD,
            looks_first_s=self._looks_first_s(runs[0].workflow, wave, lane),
            looks_apart_s=0.0 if in_order else windows.looks_apart_s(lane.limit),
            window=windows.first_window(len(runs), width, in_order=in_order),
        )
        ids = {n: str(n) for n in range(len(runs))}
        answer = WaveAccepted(execution_ids=ids) if wave is not None else Accepted(execution_id=ids[0])
        unit = self.lane.deps.sources.unit()
        decision = launch_decisions.after_launch(facts, answer, breaker=lane.breaker, now=lane.now, unit=unit)
        if wave is not None:
            wave.launched_at = lane.now
            wave.plan = replace(wave.plan, frontier=facts.window)
        due = []
        for run, change in zip(runs, decision.changes, strict=True):
            assert change.timer is not None, "what was accepted is looked at"
            run.launched_at = lane.now
            if change.timer.due_at is not None:
                run.entered_at = lane.now
                self.lane.timers.set(run, change.timer.due_at, change.timer.urgency)
                due.append(change.timer.due_at)
        lane = lane.pull(Turn.POLL, min(due)).pull(Turn.LAUNCH, lane.now)
        self.lane.save(replace(lane, breaker=decision.breaker or lane.breaker), in_pump=True)

    def _looks_first_s(self, workflow: Workflow, wave: Wave | None, lane: Lane) -> float:
        timing = Timing(
            policy=self.lane.deps.poll_policy(workflow.poll),
            durations=workflow.durations,
            price_s=lane.asked_price_s,
            late_s=lane.looks_late_s,
            wave=wave.clock if wave is not None else None,
        )
        return timing.first_s()


def _figures(policy: PollPolicy) -> OwnFigures:
    return policy.initial_s, policy.factor, policy.cap_s, policy.jitter, policy.polite
