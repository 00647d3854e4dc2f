"""An event loop whose time is virtual: when nothing is ready it jumps to the next timer instead of waiting.

Nothing in a simulation waits for the outside: statements block until Postgres has answered, threads run at once, and
the network is in memory. So the order of everything follows from the seed alone.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
from collections.abc import Callable
from typing import Any

#: Every name leads here; the simulated network tells hosts apart by port.
ADDRESS = "127.0.0.1"


class Stuck(AssertionError):
    """Nothing is ready and no timer is set: the simulation would wait for ever."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs callbacks in order, and lets time pass only when there are none.

    Args:
        start_s: the first value of `time()`, seconds.
    """

    def __init__(self, *, start_s: float = 1_000.0) -> None:
        self._virtual_s = start_s
        #: Asked before time jumps; may make something ready instead, and then says so.
        self.before_jump: Callable[[], bool] = lambda: False
        #: Raised at a resolver's call, when a fault is due there.
        self.resolver_fault: Callable[[str], Exception | None] = lambda host: None
        super().__init__(_Jumps(self))

    def time(self) -> float:
        """Return the virtual time, seconds."""
        return self._virtual_s

    def jump(self, seconds: float) -> None:
        """Let time pass at once."""
        self._virtual_s += seconds

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Run it here and now: a thread would finish whenever it likes."""
        future: asyncio.Future[Any] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # handed to whoever awaits it, as an executor does
            future.set_exception(error)
        return future

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        """Resolve every name without asking anybody."""
        fault = self.resolver_fault(str(host))
        if fault is not None:
            raise fault
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (ADDRESS, port))]


class _Jumps(selectors.SelectSelector):
    """Never blocks: it lets the loop's time jump instead."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return []  # nothing of the outside takes part, so there is nothing to look for
        if self._loop.before_jump():
            return []
        if timeout is None:
            raise Stuck("nothing is ready and no timer is set")
        self._loop.jump(timeout)
        return []
