"""One event loop per worker process, on a thread of its own, with everything the verbs need built inside it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import uvloop

from orchestrator.bootstrap import build
from orchestrator.engine.deps import Deps
from orchestrator.settings import Settings

T = TypeVar("T")

#: What is cut off has so long to end, seconds.
CUT_OFF_S = 5.0


#: The ticker asks several times within this, seconds, and need not ask first whether it may ask.
PING_AFTER_S = 2.0


class WorkerLoop:
    """Runs coroutines of the whole process on one loop. Made lazily: nothing here may run before a pool's start."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.deps: Deps | None = None
        self._stack = AsyncExitStack()
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="worker-loop", daemon=True)

    def start(self) -> None:
        """Start the loop and build the dependencies inside it.

        Raises:
            Misconfigured: a setting is missing or makes no sense.
        """
        self._thread.start()
        built = build(self.settings, program="worker", pool_size=8, ping_after_s=PING_AFTER_S)
        self.deps = self.run(self._stack.enter_async_context(built))

    def run(self, work: Coroutine[Any, Any, T], *, timeout_s: float | None = None) -> T:
        """Run a coroutine on the loop and wait for it. Call it from another thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=timeout_s)

    def cut_off(self) -> None:
        """Cancel what still runs, so that no thread waits for it for ever."""
        self.run(self._cancel_rest(), timeout_s=CUT_OFF_S * 2)

    async def _cancel_rest(self) -> None:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest, timeout=CUT_OFF_S)

    def stop(self) -> None:
        """Close what was built, then stop the loop."""
        try:
            self.run(self._stack.aclose(), timeout_s=20)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=5)
