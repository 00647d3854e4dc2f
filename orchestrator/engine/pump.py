"""Pump: take turn after turn of one kind of work until nothing is due, time is up, or the worker stops."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol
from uuid import UUID

from orchestrator.engine import deliver, download, fire, launch, poll
from orchestrator.engine.deps import Deps
from orchestrator.engine.ports import Claimed
from orchestrator.storage import due_work

#: A pump takes no new turn after so long: its task ends, and the next doorbell starts another.
PUMP_S = 25.0

#: While some turns are still out, the rest look for new work so often, in seconds.
RETRY_S = 0.1

#: Kinds whose turns take all there is, as much for many as for one: after one, what comes due gathers for a moment. It
#: is the longer, the longer a claim takes: `REST` times as long, so that a busy database is asked less often; seconds.
GATHERED = frozenset({"poll", "download"})
REST, LEAST_REST_S, LONGEST_REST_S = 10, RETRY_S, 0.3

#: A pump that has run dry stays for what is due within so long: to end and be rung for anew would take longer.
STAY_S = 1.0

#: Turns of one kind that are worked side by side in one pump, each of another lane or other rows. More of those that
#: look: a provider that hangs keeps its turns for as long as a call may take.
TURNS_AT_ONCE: Mapping[str, int] = {"launch": 8, "poll": 16, "download": 4, "fire": 2, "deliver": 8}

#: Takes turns that outlive their pump, and sees to their ends; False when it has too many already.
HandOver = Callable[[set[asyncio.Task[int | None]]], bool]


class Turn(Protocol):
    """Claims and works once. Returns how much it did, None when nothing is due.

    It says `claimed` as soon as its claim is made: whether more of the kind may be due just now.
    """

    def __call__(self, deps: Deps, *, worker: UUID, claimed: Claimed) -> Awaitable[int | None]: ...


TURNS: Mapping[str, Turn] = {
    "launch": launch.launch_due,
    "poll": poll.poll_due,
    "download": download.download_due,
    "fire": fire.fire_due,
    "deliver": deliver.deliver_due,
}
assert TURNS.keys() == TURNS_AT_ONCE.keys(), "every kind of work has its limit"


async def pump(
    deps: Deps,
    kind: str,
    *,
    worker: UUID,
    should_stop: Callable[[], bool],
    hand_over: HandOver | None = None,
    ends_at: float | None = None,
) -> int:
    """Work everything of a kind that is due. Returns how many turns led to work.

    One claim is made at a time, the next as soon as it found something, while the turns before are still at work: so
    nothing is asked that was answered already, and what comes due meanwhile goes together.

    Args:
        should_stop: asked before each claim; a worker that drains claims nothing more.
        hand_over: takes the turns that still run when the pump may claim nothing more, so that one slow download does
            not keep its process from all others. Without it they are waited for.
        ends_at: no turn begins after this, by the steady clock; None: `PUMP_S` from now.

    Raises:
        Unavailable: the database is away. What was claimed before has been worked to its end, or handed over.
    """
    ends_at = deps.sources.monotonic() + PUMP_S if ends_at is None else ends_at
    running: set[asyncio.Task[int | None]] = set()
    worked = 0
    is_dry = False
    rests_until = -math.inf
    failure: BaseException | None = None
    while True:
        now_s = deps.sources.monotonic()
        may_claim = failure is None and not should_stop() and now_s < ends_at
        if may_claim and not is_dry and now_s >= rests_until and len(running) < TURNS_AT_ONCE[kind]:
            is_dry = not await _begin(deps, kind, worker, running)
            claimed_s = deps.sources.monotonic()
            if is_dry and kind in GATHERED:
                rests_until = claimed_s + min(max(REST * (claimed_s - now_s), LEAST_REST_S), LONGEST_REST_S)
        elif not running and may_claim and not is_dry:
            await asyncio.sleep(rests_until - now_s)
        elif not running or (not may_claim and hand_over is not None and hand_over(running)):
            break
        else:
            await asyncio.wait(running, timeout=RETRY_S, return_when=asyncio.FIRST_COMPLETED)
            # What the others bring back, or a moment, may change that.
            is_dry = False
        done = {turn for turn in running if turn.done()}
        running -= done
        results = [turn.exception() or turn.result() for turn in done]
        failure = next((r for r in results if isinstance(r, BaseException)), failure)
        worked += sum(isinstance(r, int) and r > 0 for r in results)
        is_dry = is_dry and not any(results)
    if failure is not None:
        raise failure
    return worked


async def pump_on(
    deps: Deps, kind: str, *, worker: UUID, should_stop: Callable[[], bool], hand_over: HandOver | None = None
) -> int:
    """Pump, and once nothing is due any more, stay for what will be in a moment. Returns how many turns led to work.

    Raises:
        Unavailable: as `pump`.
    """
    ends_at = deps.sources.monotonic() + PUMP_S
    worked = 0
    while True:
        worked += await pump(deps, kind, worker=worker, should_stop=should_stop, hand_over=hand_over, ends_at=ends_at)
        if kind not in due_work.DUE_IN or should_stop() or deps.sources.monotonic() >= ends_at:
            return worked
        due_in_s = await deps.db.run(lambda connection: due_work.due_in_s(connection, kind), tries=1)
        if due_in_s is None or due_in_s > STAY_S:
            return worked
        await asyncio.sleep(max(due_in_s, RETRY_S))


async def _begin(deps: Deps, kind: str, worker: UUID, running: set[asyncio.Task[int | None]]) -> bool:
    """Begin a turn, and wait for its claim; tell whether more may be due."""
    said: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def claimed(more: bool) -> None:
        if not said.done():
            said.set_result(more)

    async def turn() -> int | None:
        try:
            return await TURNS[kind](deps, worker=worker, claimed=claimed)
        finally:
            claimed(False)

    running.add(asyncio.create_task(turn()))
    return await said
