"""Pump: take turn after turn of one kind of work until nothing is due, time is up, or the worker stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol
from uuid import UUID

from orchestrator.engine import download, fire, launch, poll
from orchestrator.engine.deps import Deps

#: A pump takes no new turn after so long: its task ends, and the next doorbell starts another.
PUMP_S = 25.0

#: While some turns are still out, the rest look for new work so often, in seconds.
RETRY_S = 0.1

#: Turns that begin together: each asks the database what is due, often for nothing.
TURNS_AT_A_TIME = 4

#: Turns of one kind that are worked side by side in one pump, each of another lane or other rows. More of those that
#: look: a provider that hangs keeps its turns for as long as a call may take.
TURNS_AT_ONCE: Mapping[str, int] = {"launch": 8, "poll": 16, "download": 8, "fire": 2}

#: Takes turns that outlive their pump, and sees to their ends; False when it has too many already.
HandOver = Callable[[set[asyncio.Task[int | None]]], bool]


class Turn(Protocol):
    """Claims and works once. Returns how much it did, None when nothing is due."""

    def __call__(self, deps: Deps, *, worker: UUID) -> Awaitable[int | None]: ...


TURNS: Mapping[str, Turn] = {
    "launch": launch.launch_due,
    "poll": poll.poll_due,
    "download": download.download_due,
    "fire": fire.fire_due,
}
assert TURNS.keys() == TURNS_AT_ONCE.keys(), "every kind of work has its limit"


async def pump(
    deps: Deps, kind: str, *, worker: UUID, should_stop: Callable[[], bool], hand_over: HandOver | None = None
) -> int:
    """Work everything of a kind that is due. Returns how many turns led to work.

    Args:
        should_stop: asked before each claim; a worker that drains claims nothing more.
        hand_over: takes the turns that still run when the pump may claim nothing more, so that one slow download does
            not keep its process from all others. Without it they are waited for.

    Raises:
        Unavailable: the database is away. What was claimed before has been worked to its end, or handed over.
    """
    ends_at = deps.sources.monotonic() + PUMP_S
    running: set[asyncio.Task[int | None]] = set()
    worked = 0
    at_a_time = TURNS_AT_A_TIME
    is_dry = False
    failure: BaseException | None = None
    while True:
        may_claim = failure is None and not should_stop() and deps.sources.monotonic() < ends_at
        if may_claim and not is_dry:
            free = TURNS_AT_ONCE[kind] - len(running)
            running |= {asyncio.create_task(_turn(deps, kind, worker)) for _ in range(min(free, at_a_time))}
        if not running or (not may_claim and hand_over is not None and hand_over(running)):
            break
        done, running = await asyncio.wait(running, timeout=RETRY_S, return_when=asyncio.FIRST_COMPLETED)
        results = [task.exception() or task.result() for task in done]
        failure = next((r for r in results if isinstance(r, BaseException)), failure)
        found = sum(isinstance(r, int) and r > 0 for r in results)
        worked += found
        # Dry means: nobody found work just now. What the others bring back, or a moment, may change that.
        is_dry = None in results and not found
        at_a_time = 1 if is_dry else TURNS_AT_A_TIME if found else at_a_time
    if failure is not None:
        raise failure
    return worked


async def _turn(deps: Deps, kind: str, worker: UUID) -> int | None:
    return await TURNS[kind](deps, worker=worker)
