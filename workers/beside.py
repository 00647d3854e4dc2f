"""What a sweep leads to that asks providers: carried on beside it, so that one that hangs holds up no burial."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from orchestrator.errors import OrchestratorError
from orchestrator.telemetry import get_logger
from workers.in_hand import InHand

log = get_logger(__name__)


class Beside:
    """Starts work on the running loop, each kind once at a time; a stop waits for it like for all in hand."""

    def __init__(self, in_hand: InHand) -> None:
        self._in_hand = in_hand

    def start(self, kind: str, work: Callable[[], Coroutine[Any, Any, int]]) -> None:
        """Start it, unless the one before is still at it: the next sweep comes soon."""
        if self._in_hand.has_left_over(kind):
            return
        task: asyncio.Task[int | None] = asyncio.get_running_loop().create_task(work())
        self._in_hand.keep(kind, {task})
        task.add_done_callback(partial(self._ended, kind))

    def _ended(self, kind: str, task: asyncio.Task[int | None]) -> None:
        """Log why it failed: nobody else waits for it."""
        self._in_hand.let_go(kind, task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, OrchestratorError):
            log.warning("work waits", kind=kind, code=error.code, why=error.message)
        elif error is not None:
            log.error("work failed", kind=kind, exc_info=error)
