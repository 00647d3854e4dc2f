"""The first third of a launch: choose what goes now, lane by lane, workflow by workflow, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import gathering, planner
from orchestrator.domain.answers import Capabilities
from orchestrator.domain.breaker import BreakerState
from orchestrator.domain.durations import Durations
from orchestrator.domain.governor import CallKind, launches_at_once
from orchestrator.domain.planner import BatchDemand, Launch
from orchestrator.engine import highwater, poison, probing
from orchestrator.engine.deps import Deps
from orchestrator.engine.launch_orders import Launchable, LaunchOrder, commit_orders, within_body
from orchestrator.engine.unlaunchable import set_aside
from orchestrator.errors import Misconfigured
from orchestrator.storage import lanes, turns, waves
from orchestrator.storage.lanes import Lane
from orchestrator.storage.turns import BatchTurn, DueWorkflow, QueuedRun, Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchClaim:
    """What one claim of a lane gave: launches to send, or a probe, or nothing for now."""

    lane_id: UUID
    orders: tuple[LaunchOrder, ...] = ()
    probe: probing.ProbeOrder | None = None


async def claim(
    deps: Deps, connection: AsyncConnection, *, worker: UUID, told: Callable[[UUID], None] | None = None
) -> LaunchClaim | None:
    """Claim the lane whose launches have been due longest; None when no lane is due.

    Args:
        told: hears which lane is being claimed.
    """
    # Before anything is asked of the database: the deadline for sending must not begin later than its transaction.
    claimed_at = deps.sources.monotonic()
    lane = await lanes.lock_due(connection, told=told)
    if lane is None:
        return None
    wait_s = await highwater.wait_s(deps, connection)
    if wait_s is not None:
        # The database may be older than the world: who knows what of this was launched already.
        await lanes.save(connection, replace(lane, launch_due_at=lane.now + timedelta(seconds=wait_s)))
        return LaunchClaim(lane_id=lane.id)
    held_until = _held_until(lane)
    if lane.launches_stopped is not None or held_until is not None:
        # A stopped lane sleeps until somebody tests or changes the connection.
        await lanes.save(connection, replace(lane, launch_due_at=held_until))
        return LaunchClaim(lane_id=lane.id)
    if lane.breaker.state is BreakerState.OPEN:
        probe = await probing.claim(deps, connection, lane, worker=worker)
        return LaunchClaim(lane_id=lane.id, probe=probe)
    return await _Turn(deps, connection, lane, worker, claimed_at).take()


def _held_until(lane: Lane) -> datetime | None:
    if lane.is_blocked:
        return lane.blocked_until
    probe_at = lane.breaker.probe_at
    return probe_at if lane.breaker.state is BreakerState.OPEN and probe_at and probe_at > lane.now else None


class _Turn:
    """One lane's turn to launch: walks its workflows and their subjects until tokens or work run out."""

    def __init__(self, deps: Deps, connection: AsyncConnection, lane: Lane, worker: UUID, claimed_at: float) -> None:
        self.deps = deps
        self.connection = connection
        self.lane = lane
        self.worker = worker
        self.claimed_at = claimed_at
        self.chosen: list[Launchable] = []
        self.orders: list[LaunchOrder] = []
        self.again: list[datetime] = []
        self.unseen = 0
        #: Slots that the batch served last needs and does not get.
        self.reserved = 0

    async def take(self) -> LaunchClaim:
        self.tokens = self._tokens()
        if self.tokens:
            self.unseen = await turns.unseen(self.connection, self.lane.id)
            workflows = await turns.due_workflows(self.connection, self.lane.id)
            for workflow in workflows:
                await self._serve(workflow)
            self.orders = await self._commit()
            await turns.took_turn(self.connection, sorted({o.workflow_id for o in self.orders}))
        await lanes.save(self.connection, replace(self.lane, launch_due_at=await self._again_at()))
        return LaunchClaim(lane_id=self.lane.id, orders=tuple(self.orders))

    def _tokens(self) -> int:
        lane = self.lane
        on_the_wire = lane.budget.in_flight.get(CallKind.LAUNCH, 0)
        allowed = lane.breaker.launches_allowed
        at_once = launches_at_once(lane.limit) if allowed is None else allowed
        looks_wait = lane.poll_due_at is not None and lane.poll_due_at <= lane.now
        waiting = (CallKind.LOOK,) if looks_wait else ()
        wanted = min(max(0, at_once - on_the_wire), gathering.turn_size(lane.limit))
        tokens = lane.budget.grant(CallKind.LAUNCH, wanted, now=lane.now, waiting=waiting)
        if not tokens:
            # A launch that is recorded pulls the lane's turn forward by itself; this is only the latest time.
            soon = timedelta(seconds=0.5 if at_once <= on_the_wire else 0.1)
            self.again.append(max(lane.now + soon, lane.budget.next_free_at(lane.now)))
        return tokens

    async def _again_at(self) -> datetime | None:
        next_due = await turns.next_due(self.connection, self.lane.id)
        if next_due is not None:
            self.again.append(next_due)
        if self.orders:
            self.again.append(self.lane.now + timedelta(milliseconds=100))
        return min(self.again, default=None)

    async def _serve(self, workflow: DueWorkflow) -> None:
        now = self.lane.now
        if self.tokens <= 0:
            self.again.append(now + timedelta(milliseconds=100))
            return
        if not await self._has_key(workflow):
            return
        waiter = await self._first_in_line(workflow)
        if waiter is not None:
            taken = await self._serve_batch(workflow, waiter) or self.reserved
            workflow = replace(workflow, slots_used=workflow.slots_used + taken)
        subjects = await turns.due_subjects(self.connection, workflow.id, max(self.tokens, 1))
        singles = await self._queued_singles(subjects)
        for subject in subjects:
            if self.tokens <= 0:
                break
            if waiter is not None and subject.id == waiter.id:
                continue
            if subject.is_batch:
                taken = await self._serve_batch(workflow, subject)
            else:
                taken = self._serve_single(workflow, subject, singles)
            workflow = replace(workflow, slots_used=workflow.slots_used + taken)
        self.again.append(now + timedelta(seconds=5))

    async def _queued_singles(self, subjects: Sequence[Subject]) -> Mapping[UUID, QueuedRun]:
        """Return the single runs that may be launched; those that may not any more lose their turn."""
        asked = [subject.id for subject in subjects if not subject.is_batch]
        found = await turns.queued_singles(self.connection, asked)
        gone = [id for id in asked if id not in found]
        if gone:
            await turns.drop_turns(self.connection, gone)
        return found

    async def _has_key(self, workflow: DueWorkflow) -> bool:
        """Tell whether the connection's key can be opened; if not, its workflow rests, and no other does."""
        try:
            self.deps.access(
                connection_id=workflow.connection_id,
                base_url=workflow.base_url,
                api_key=workflow.api_key,
                api_version=workflow.api_version,
            )
        except Misconfigured as error:
            until = self.lane.now + timedelta(minutes=10)
            await turns.block_workflow(self.connection, workflow.id, until, error.message)
            return False
        return True

    async def _first_in_line(self, workflow: DueWorkflow) -> Subject | None:
        """Return the batch that waits longest for slots, if it may keep others from them now.

        If it may not, it takes its turn like everybody else.
        """
        waiter = await turns.longest_waiting(self.connection, workflow.id)
        if waiter is None:
            return None
        assert waiter.waits_since is not None, "it waits"
        return waiter if planner.reserves((self.lane.now - waiter.waits_since).total_seconds()) else None

    def _serve_single(self, workflow: DueWorkflow, subject: Subject, singles: Mapping[UUID, QueuedRun]) -> int:
        """Choose a single run, if a slot is free; return the slots that it takes. Its turn goes with its launch."""
        run = singles.get(subject.id)
        if run is None or workflow.slots_used >= workflow.slot_limit:
            return 0
        return self._choose(Launchable(workflow=workflow, runs=[run], batch=None, batch_id=None, width=1,
                                       tries=subject.tries))  # fmt: skip

    async def _serve_batch(self, workflow: DueWorkflow, subject: Subject) -> int:
        batch = await turns.lock_batch(self.connection, subject.id)
        capabilities = self.deps.provider(workflow.provider).capabilities
        demand = await self._demand(workflow, batch, capabilities)
        if not batch.may_launch or demand.queued == 0:
            await turns.set_turn(self.connection, subject.id, None)
            return 0
        self.reserved = 0
        plan = planner.plan_launch(demand, now=self.lane.now)
        if not isinstance(plan, Launch):
            self.reserved = plan.slots
            set_turn = turns.wait_for_slots if plan.slots else turns.set_turn
            await set_turn(self.connection, subject.id, plan.until)
            return 0
        # Its next turn comes after everybody else's.
        await turns.set_turn(self.connection, subject.id, self.lane.now)
        count = min(plan.count, self.tokens) if demand.single else plan.count
        runs = await turns.queued(self.connection, batch.id, count)
        if demand.single:
            each = (Launchable(workflow=workflow, runs=[r], batch=None, batch_id=batch.id, width=1) for r in runs)
            return sum(map(self._choose, each))
        runs = within_body(runs, capabilities.max_body_bytes)
        self._choose(
            Launchable(
                workflow=workflow,
                runs=runs,
                batch=batch,
                batch_id=batch.id,
                width=demand.width,
                in_order=demand.in_order,
            )
        )
        self.unseen += len(runs)
        return min(demand.width, len(runs))

    async def _demand(self, workflow: DueWorkflow, batch: BatchTurn, capabilities: Capabilities) -> BatchDemand:
        known = Durations(count=workflow.known, log_mean=workflow.log_mean, log_var=workflow.log_var)
        single = batch.wave_size == 1 or not capabilities.wave_widths
        live = await waves.live_of_batch(self.connection, batch.id)
        return BatchDemand(
            queued=await turns.count_queued(self.connection, batch.id, planner.LARGEST_WAVE * 10),
            width=1 if single else capabilities.wave_widths[batch.level],
            single=single,
            wave_size=batch.wave_size,
            wave_cap=self.lane.breaker.wave_limit or batch.wave_cap,
            live_waves=tuple(wave.plan for wave in live if wave.state != "in_doubt"),
            slots_used=workflow.slots_used,
            slot_limit=workflow.slot_limit,
            unseen=self.unseen,
            looks_per_minute=self.lane.limit,
            mean_s=known.mean_s,
            known=known.count,
            max_items=capabilities.wave_max_items,
            rivals=max(0, workflow.batches - 1),
            in_order=workflow.in_order and all(wave.plan.in_order for wave in live),
        )

    def _choose(self, what: Launchable) -> int:
        """Take what is to go in one request; return 1, the token that it costs."""
        self.chosen.append(what)
        self.tokens -= 1
        return 1

    async def _commit(self) -> list[LaunchOrder]:
        """Write the orders of all that was chosen; where the data of one breaks that, each apart."""
        if not self.chosen:
            return []
        orders = await self._write(self.chosen)
        if not isinstance(orders, poison.Poisoned):
            return orders
        self.again.append(self.lane.now + timedelta(milliseconds=100))
        return [order for what in self.chosen for order in await self._commit_apart(what)]

    async def _commit_apart(self, what: Launchable) -> list[LaunchOrder]:
        """Write one order; one that its data breaks is set aside."""
        orders = await self._write([what])
        if isinstance(orders, poison.Poisoned):
            await set_aside(self.deps, self.connection, self.lane, what, orders)
            return []
        return orders

    async def _write(self, what: Sequence[Launchable]) -> list[LaunchOrder] | poison.Poisoned:
        async def write() -> list[LaunchOrder]:
            async with self.connection.begin_nested():
                return await commit_orders(
                    self.deps, self.connection, self.lane, what, worker=self.worker, claimed_at=self.claimed_at
                )

        return await poison.caught(write)
