"""Pump: take turn after turn of one kind of work until nothing is due, time is up, or the worker stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol
from uuid import UUID

from orchestrator.engine import download, launch, poll
from orchestrator.engine.deps import Deps

#: A pump takes no new turn after so long: its task ends, and the next doorbell starts another.
PUMP_S = 25.0

#: While some turns are still out, the rest look for new work so often, in seconds.
RETRY_S = 0.1

#: Turns of one kind that are worked side by side in one pump, each of another lane or other rows.
TURNS_AT_ONCE = 8


class Turn(Protocol):
    """Claims and works once. Returns how much it did, None when nothing is due."""

    def __call__(self, deps: Deps, *, worker: UUID) -> Awaitable[int | None]: ...


TURNS: Mapping[str, Turn] = {
    "launch": launch.launch_due,
    "poll": poll.poll_due,
    "download": download.download_due,
}


async def pump(deps: Deps, kind: str, *, worker: UUID, should_stop: Callable[[], bool]) -> int:
    """Work everything of a kind that is due. Returns how many turns led to work.

    Args:
        should_stop: asked before each claim; a worker that drains claims nothing more.

    Raises:
        Unavailable: the database is away. What was claimed before has been worked to its end.
    """
    ends_at = deps.sources.monotonic() + PUMP_S
    running: set[asyncio.Task[int | None]] = set()
    worked = 0
    is_dry = False
    failure: BaseException | None = None
    while True:
        may_claim = failure is None and not should_stop() and deps.sources.monotonic() < ends_at
        while may_claim and not is_dry and len(running) < TURNS_AT_ONCE:
            running.add(asyncio.create_task(_turn(deps, kind, worker)))
        if not running:
            break
        done, running = await asyncio.wait(running, timeout=RETRY_S, return_when=asyncio.FIRST_COMPLETED)
        results = [task.exception() or task.result() for task in done]
        failure = next((r for r in results if isinstance(r, BaseException)), failure)
        worked += sum(isinstance(r, int) and r > 0 for r in results)
        # Dry means: nobody found work just now. What the others bring back, or a moment, may change that.
        is_dry = None in results and not any(isinstance(r, int) and r > 0 for r in results) if done else False
    if failure is not None:
        raise failure
    return worked


async def _turn(deps: Deps, kind: str, worker: UUID) -> int | None:
    return await TURNS[kind](deps, worker=worker)
