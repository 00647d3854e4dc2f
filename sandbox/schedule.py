"""The schedule of one workflow: which executions hold its slots, and when what happens to them.

Everything that will happen stands in a heap of planned events. Reading a state first settles the heap up to the
clock's now, each event at its own time, so it makes no difference whether an hour passed or was turned.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count
from random import Random

from sandbox.executions import Execution, Launch, Status
from sandbox.options import LiveOptions

Act = Callable[[Execution, float], None]


class SlotsFull(Exception):
    """Every slot is taken and the sandbox was told to refuse rather than to queue."""


class NotWaiting(Exception):
    """A decision for an execution that does not wait for a person."""


class Schedule:
    """Run the executions of one workflow through its slots, in the order of their launches."""

    def __init__(self, live: LiveOptions, *, seed: int) -> None:
        self._live = live
        self._seed = seed
        self._numbers = count()
        self._events: list[tuple[float, int, Execution, int, Act]] = []
        self._singles: deque[Execution] = deque()
        self._batches: list[tuple[Launch, deque[Execution]]] = []
        self._approved: deque[Execution] = deque()
        self.running = 0
        self.peak_running = 0

    def settle(self, now: float) -> None:
        """Let everything happen that was due by `now`, each thing at its own time."""
        events = self._events
        while events and events[0][0] <= now:
            at, _, execution, epoch, act = heapq.heappop(events)
            if execution.epoch == epoch:
                act(execution, at)

    def refuse_if_full(self) -> None:
        """Raise SlotsFull for a single launch when the sandbox refuses instead of queueing."""
        options = self._live.current
        if options.over_concurrent == "refuse" and self.running + len(self._singles) >= options.max_concurrent:
            raise SlotsFull

    def add(self, launch: Launch, executions: Iterable[Execution], now: float) -> None:
        """Take the executions of a launch that was accepted now."""
        if launch.concurrency is None:
            self._singles.extend(executions)
        else:
            items = list(executions)
            if self._live.current.batch_order == "random":
                Random(f"{self._seed}:{launch.number}").shuffle(items)
            self._batches.append((launch, deque(items)))
        self._fill(now)

    def approve(self, execution: Execution, now: float) -> None:
        """A person says yes: the execution works on, in its slot or in the next free one.

        Raises:
            NotWaiting: it does not wait for a person (any more).
        """
        self._decide(execution, "approved", now)
        if execution.holds_slot:
            self._work(execution, now)
        else:
            self._approved.append(execution)
            self._fill(now)

    def reject(self, execution: Execution, now: float) -> None:
        """A person says no: the execution ends as error.

        Raises:
            NotWaiting: it does not wait for a person (any more).
        """
        self._decide(execution, "rejected", now)
        execution.ended_because = "rejected by a person"
        self._end(execution, now, Status.ERROR)

    # -- what happens to an execution ------------------------------------------------------------------------

    def _begin(self, execution: Execution, at: float) -> None:
        if execution.started_at is None:
            execution.started_at = at
        execution.holds_slot = True
        execution.launch.running += 1
        self.running += 1
        self.peak_running = max(self.peak_running, self.running)
        self._work(execution, at)

    def _work(self, execution: Execution, at: float) -> None:
        """Plan the next thing for a working execution: its question to a person, its end, or its timeout."""
        fate = execution.fate
        execution.status = Status.PROCESSING
        execution.epoch += 1
        asks = fate.asks_person and execution.decision is None
        left_s = fate.human_after_s if asks else fate.duration_s - (fate.human_after_s if fate.asks_person else 0.0)
        allowed_s = self._live.current.execution_timeout_s - execution.used_s
        if left_s > allowed_s:
            self._plan(at + max(allowed_s, 0.0), execution, self._time_out)
        else:
            self._plan(at + left_s, execution, self._ask if asks else self._end_as_fated)

    def _ask(self, execution: Execution, at: float) -> None:
        options, fate = self._live.current, execution.fate
        execution.status = Status.HUMAN
        execution.epoch += 1
        execution.human_since = at
        execution.used_s += fate.human_after_s
        if fate.approve_after_s is not None:
            self._plan(at + fate.approve_after_s, execution, self.approve)
        if not options.human_stops_clock:
            self._plan(at + max(options.execution_timeout_s - execution.used_s, 0.0), execution, self._time_out)
        if not options.human_holds_slot:
            self._release(execution)
            self._fill(at)

    def _decide(self, execution: Execution, decision: str, now: float) -> None:
        if execution.status is not Status.HUMAN or execution.decision is not None:
            raise NotWaiting
        execution.decision = decision
        execution.epoch += 1
        if not self._live.current.human_stops_clock and execution.human_since is not None:
            execution.used_s += now - execution.human_since

    def _end_as_fated(self, execution: Execution, at: float) -> None:
        execution.ended_because = "as fated"
        self._end(execution, at, Status(execution.fate.ends_as))

    def _time_out(self, execution: Execution, at: float) -> None:
        execution.ended_because = "execution timeout"
        self._end(execution, at, Status.ERROR)

    def _end(self, execution: Execution, at: float, status: Status) -> None:
        execution.status = status
        execution.epoch += 1
        execution.ended_at = at
        if execution.holds_slot:
            self._release(execution)
        self._fill(at)

    def _release(self, execution: Execution) -> None:
        execution.holds_slot = False
        execution.launch.running -= 1
        self.running -= 1

    def _plan(self, at: float, execution: Execution, act: Act) -> None:
        heapq.heappush(self._events, (at, next(self._numbers), execution, execution.epoch, act))

    # -- who is next -----------------------------------------------------------------------------------------

    def _fill(self, at: float) -> None:
        """Give the free slots away: first to the approved, then to the oldest launch that may use one."""
        slots = self._live.current.max_concurrent
        while True:
            if self._approved and self.running < slots:
                self._begin(self._approved.popleft(), at)
                continue
            queue = self._next_queue(slots)
            if queue is None:
                return
            self._begin(queue.popleft(), at)

    def _next_queue(self, slots: int) -> deque[Execution] | None:
        best: deque[Execution] | None = None
        oldest = 0
        if self._singles and self.running < slots:
            best, oldest = self._singles, self._singles[0].launch.number
        exceeds = self._live.current.high_width == "exceeds"
        self._batches = [batch for batch in self._batches if batch[1]]
        for launch, items in self._batches:
            if best is not None and launch.number > oldest:
                break
            may_exceed = exceeds and launch.concurrency == "high"
            if launch.running < launch.width and self.running < (max(slots, launch.width) if may_exceed else slots):
                return items
        return best
