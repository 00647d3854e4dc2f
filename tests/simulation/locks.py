"""Who waits for whose lock in a simulated world's Postgres, so that its backends go on in the order of the seed.

Backends are processes: one whose lock is granted would go on at once, beside whatever else happens then, and who of two
is faster would be chance. So a backend that waits is stopped, and goes on alone, as far as it can, when it is its turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import psycopg

#: Between two looks at what a backend does, real seconds.
LOOK_S = 0.0005

#: A backend may be stopped while it holds one of Postgres's own short locks, and then everybody stands still, the
#: monitor too. Where nothing has moved for so long, real seconds, those that are stopped go on for a moment, to leave
#: it; what they wait for they do not get by that.
STUCK_S, MOMENT_S = 2.0, 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Waiter:
    """A statement that waits for another's lock. Its backend stands still, so that it goes on when it is told to."""

    pid: int
    granted: asyncio.Future[None]


@dataclass
class Server:
    """What all simulated clients of one database share: who waits for whose lock."""

    dsn: str
    #: Who waits, in order, and for the ends of which backends' transactions.
    waiting: dict[Waiter, frozenset[int]] = field(default_factory=dict)
    open_transactions: int = 0
    _monitor: psycopg.Connection[Any] | None = None
    _moves: int = 0
    _signals: threading.Lock = field(default_factory=threading.Lock)
    _closed: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        threading.Thread(target=self._watch, name="stuck backends", daemon=True).start()

    @property
    def monitor(self) -> psycopg.Connection[Any]:
        """A connection that no fault befalls, to look at the world from outside."""
        if self._monitor is None:
            self._monitor = psycopg.connect(self.dsn, autocommit=True)
        return self._monitor

    def blockers(self, pid: int) -> frozenset[int]:
        """Return the backends for whose locks another one waits, by Postgres's own word."""
        self._moves += 1
        (pids,) = self.monitor.execute("SELECT pg_blocking_pids(%s)", (pid,)).fetchone() or ((),)
        return frozenset(pids)

    def is_deadlock(self, pid: int, blockers: frozenset[int]) -> bool:
        """Tell whether a backend would wait for itself. Postgres then ends the statement that came last: its own."""
        waits_for = {waiter.pid: pids for waiter, pids in self.waiting.items()}
        met: set[int] = set()
        ahead = set(blockers)
        while ahead - met:
            met |= ahead
            ahead = {other for one in ahead for other in waits_for.get(one, ())}
        return pid in met

    def stand_still(self, waiter: Waiter, blockers: frozenset[int]) -> None:
        """Let nothing of a backend go on until the transactions it waits for are over and `wake` reaches it."""
        with self._signals:
            os.kill(waiter.pid, signal.SIGSTOP)
            self.waiting[waiter] = blockers
        self._moves += 1

    def wake(self, pid: int) -> None:
        """A backend's transaction is over: who waited for its locks goes on, one after the other, as far as it can."""
        for waiter in [waiter for waiter, pids in self.waiting.items() if pid in pids]:
            with self._signals:
                del self.waiting[waiter]
                os.kill(waiter.pid, signal.SIGCONT)
            if blockers := self._until_still(waiter.pid):
                self.stand_still(waiter, blockers)
            elif not waiter.granted.done():
                waiter.granted.set_result(None)

    def bury(self, pid: int) -> None:
        """Wait until a backend whose client is gone holds nothing any more; others must not meet its locks."""
        for waiter in [waiter for waiter in self.waiting if waiter.pid == pid]:
            with self._signals:
                del self.waiting[waiter]
            if not waiter.granted.done():
                waiter.granted.set_result(None)  # it will find that its connection is lost
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        self.monitor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s", (pid,))
        while self.monitor.execute("SELECT FROM pg_locks WHERE pid = %s LIMIT 1", (pid,)).fetchone() is not None:
            time.sleep(LOOK_S)

    def close(self) -> None:
        """Close the monitor."""
        self._closed.set()
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None

    def _until_still(self, pid: int) -> frozenset[int]:
        """Wait until a backend has answered, or waits for further locks; return for whose."""
        query = "SELECT state, pg_blocking_pids(pid) FROM pg_stat_activity WHERE pid = %s"
        while True:
            state, pids = self.monitor.execute(query, (pid,)).fetchone() or ("gone", ())
            if pids or state != "active":
                return frozenset(pids)
            time.sleep(LOOK_S)

    def _watch(self) -> None:
        """Let backends out of what they were stopped in, where nothing moves any more."""
        seen = self._moves
        while not self._closed.wait(STUCK_S):
            if seen == self._moves:
                with self._signals:
                    self._signal(signal.SIGCONT)
                    time.sleep(MOMENT_S)
                    self._signal(signal.SIGSTOP)
            seen = self._moves

    def _signal(self, what: signal.Signals) -> None:
        for waiter in self.waiting:
            with contextlib.suppress(ProcessLookupError):
                os.kill(waiter.pid, what)
