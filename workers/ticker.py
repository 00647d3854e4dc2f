"""The ticker: rings when work is due, keeps the heart beating, and works itself while the broker is away."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from orchestrator.errors import OrchestratorError
from orchestrator.runtime import TICK_S
from orchestrator.telemetry import get_logger
from workers.process import WorkerProcess

log = get_logger(__name__)

#: After so long without anything due it asks a little less often, seconds: a quiet worker costs next to nothing.
QUIET_AFTER_S = 10.0
QUIET_TICK_S = 0.9

#: A kind of work that is due and rung for, and that nobody takes for so long, is worked by the ticker itself.
UNANSWERED_S = 4.0

#: After a doorbell the next of its kind waits so long: the first one's worker finds whatever is due.
QUIET_S = 0.8

#: A process that has not swept for so many intervals, though it rang, sweeps from its ticker.
OVERDUE_SWEEPS = 4

#: How often the watch looks around, seconds: twice within the minute in which a trouble must be told.
WATCH_S = 15.0
FIRST_WATCH_S = 3.0

#: How often the database's mark is advanced and written outside, seconds: what a restore may lose unseen.
MARK_S = 5.0

#: How often it is asked whether a checkpoint of the history is due, seconds.
CHECKPOINT_S = 10.0

#: How often it is asked whether something is older than it is to be kept, seconds.
RETIRE_S = 10.0

#: Its threads end within so long, seconds, unless the database keeps them waiting.
STOP_S = 10.0


class Ticker:
    """A thread per kind of duty, so that a long piece of own work never stops the heart.

    Args:
        ring: sends one doorbell of a kind; returns whether the broker took it.
        busy: tells whether a task of a kind is running in this process.
        away_s: tells for how long the broker has been away; None when it is there.
    """

    def __init__(
        self,
        process: WorkerProcess,
        *,
        ring: Callable[[str], bool],
        busy: Callable[[str], bool],
        away_s: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._process = process
        self._ring = ring
        self._busy = busy
        self._away_s = away_s
        self._stopping = threading.Event()
        self._rung_at: dict[str, float] = {}
        self._waits_since: dict[str, float] = {}
        self._failing: set[str] = set()
        self._threads: list[threading.Thread] = []
        self._working: dict[str, threading.Thread] = {}

    def start(self) -> None:
        """Start ticking."""
        duties = (self._tick_for_ever, self._beat_for_ever, self._sweep_for_ever, self._watch_for_ever)
        for duty in (*duties, self._mark_for_ever, self._sign_for_ever, self._retire_for_ever):
            thread = threading.Thread(target=duty, name=duty.__name__.strip("_"), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop ticking. Own work has been waited for before; what still runs is cut off soon."""
        self._stopping.set()
        ends_at = time.monotonic() + STOP_S
        for thread in [*self._threads, *self._working.values()]:
            thread.join(timeout=max(0.0, ends_at - time.monotonic()))

    def _tick_for_ever(self) -> None:
        busy_at = time.monotonic()
        while True:
            is_quiet = time.monotonic() - busy_at > QUIET_AFTER_S
            if self._stopping.wait((QUIET_TICK_S if is_quiet else TICK_S) * random.uniform(0.8, 1.2)):
                return
            try:
                due = self._process.due()
            except (OrchestratorError, TimeoutError) as error:
                self._tell_first("cannot ask what is due", error)
                self._stopping.wait(1.0)
                continue
            except Exception:  # a bug must not stop the clock of the whole worker
                log.exception("cannot ask what is due")
                self._stopping.wait(5.0)
                continue
            self._failing.discard("cannot ask what is due")
            if due:
                busy_at = time.monotonic()
            for kind in ("launch", "poll", "download", "fire", "deliver", "sweep"):
                self._tend(kind, is_due=kind in due)

    def _tell_first(self, what: str, error: Exception) -> None:
        """Tell of the first failure in a row; while it lasts the watch tells that the database is away."""
        speak = log.debug if what in self._failing else log.warning
        speak(what, code=getattr(error, "code", "timeout"), why=str(error))
        self._failing.add(what)

    def _tend(self, kind: str, *, is_due: bool) -> None:
        """Ring for one kind of work, or do it here if nobody answers."""
        now = time.monotonic()
        if not is_due or self._process.draining.is_set():
            self._waits_since.pop(kind, None)
            return
        since = self._waits_since.setdefault(kind, now)
        if self._busy(kind):
            # It is being worked in this process: what is due is being reached. Others ring for themselves, and each
            # doorbell wakes all consumers, to read every queue.
            self._waits_since[kind] = now
            return
        if now - self._rung_at.get(kind, -QUIET_S) >= QUIET_S:
            self._rung_at[kind] = now
            if not self._ring(kind):
                self._work_here(kind)
                return
        if now - since >= UNANSWERED_S:
            self._work_here(kind)

    def _work_here(self, kind: str) -> None:
        """Work one kind on a thread of its own, once at a time."""
        at_work = self._working.get(kind)
        if at_work is not None and at_work.is_alive():
            return
        thread = threading.Thread(target=self._work, args=(kind,), name=f"ticker-{kind}", daemon=True)
        self._working[kind] = thread
        thread.start()

    def _work(self, kind: str) -> None:
        try:
            self._process.work(kind, in_task=False)
        except OrchestratorError as error:
            log.warning("work waits", kind=kind, code=error.code, why=error.message)
        except Exception:  # a bug in one kind of work is logged and met again at the next turn
            log.exception("work failed", kind=kind)

    def _beat_for_ever(self) -> None:
        registered = False
        while True:
            try:
                if registered:
                    self._process.heartbeat()
                else:
                    self._process.register()
                    registered = True
                    self._work("sweep")
                self._failing.discard("no heartbeat")
            except (OrchestratorError, TimeoutError) as error:
                self._tell_first("no heartbeat", error)
            except Exception:  # without a heart the worker would be taken for dead
                log.exception("no heartbeat")
            if self._stopping.wait(self._process.settings.heartbeat_s):
                return

    def _watch_for_ever(self) -> None:
        """Look around now and then."""
        self._repeat(
            lambda: self._process.watch(broker_away_s=self._away_s()),
            failing="the watch could not look around",
            first_s=FIRST_WATCH_S,
            every_s=WATCH_S,
        )

    def _mark_for_ever(self) -> None:
        """Compare the database with its mark outside, and move both on; the first time at once, and to the very end."""
        self._repeat(
            self._process.keep_mark, failing="the high-water mark was not moved", every_s=MARK_S, also_draining=True
        )

    def _sign_for_ever(self) -> None:
        """Sign the history whenever that is due."""
        failing = "the history was not signed"
        self._repeat(self._process.keep_checkpoints, failing=failing, first_s=CHECKPOINT_S, every_s=CHECKPOINT_S)

    def _retire_for_ever(self) -> None:
        """Retire what is old; on a thread of its own, because the export of a month takes minutes."""
        self._repeat(self._process.retire, failing="what is old was not retired", first_s=RETIRE_S, every_s=RETIRE_S)

    def _repeat(
        self,
        duty: Callable[[], None],
        *,
        failing: str,
        every_s: float,
        first_s: float = 0.0,
        also_draining: bool = False,
    ) -> None:
        """Do a duty again and again; a worker that drains leaves it to the others.

        Args:
            failing: what to say when it fails.
            first_s: how long to wait before the first time.
        """
        pause_s = first_s
        while not self._stopping.wait(pause_s * random.uniform(0.8, 1.2)):
            pause_s = every_s
            if self._process.draining.is_set() and not also_draining:
                continue
            try:
                duty()
                self._failing.discard(failing)
            except (OrchestratorError, TimeoutError) as error:
                self._tell_first(failing, error)
            except Exception:  # a bug in a duty must not end it for good
                log.exception(failing)

    def _sweep_for_ever(self) -> None:
        """Ring for a sweep now and then, due or not: dead workers announce nothing."""
        while not self._stopping.wait(self._process.settings.sweep_interval_s * random.uniform(0.8, 1.2)):
            if self._process.draining.is_set():
                continue
            # A broker may take doorbells that nobody answers. Nothing else may find dead workers then.
            unswept_s = time.monotonic() - self._process.swept_at
            is_overdue = unswept_s > OVERDUE_SWEEPS * self._process.settings.sweep_interval_s
            if not self._ring("sweep") or is_overdue:
                self._work_here("sweep")
