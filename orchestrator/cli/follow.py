"""Waiting for work to end, and what its end means for the exit code."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

from orchestrator.cli.exits import Exit

LOOK_EVERY_S = 1.0
#: A policy, or an answer that comes late, may still move what looks parked: so many looks must agree.
PARKED_LOOKS = 2
#: What is no news changes too (why it waits, when it may be done), and is shown after so long.
LONGEST_WAIT_S = 15
#: All must end, so the first is waited for; of the others something is shown meanwhile.
LONGEST_WAIT_OF_SEVERAL_S = 3
BREATH = 0.3

RUN_WELL = frozenset({"finished"})
RUN_BADLY = frozenset({"error", "result_lost", "cancelled", "abandoned"})
RUN_PARKED = frozenset({"in_doubt", "human_in_the_loop"})
BATCH_WELL = frozenset({"finished"})
BATCH_BADLY = frozenset({"finished_with_errors", "cancelled"})
BATCH_PARKED = frozenset({"waiting", "paused"})


class Standing(Enum):
    """Where a piece of work stands, for somebody who waits for it."""

    MOVING = "moving"
    WELL = "well"
    BADLY = "badly"
    PARKED = "parked"


#: The worst of several decides.
_EXITS = ((Standing.MOVING, Exit.TIMED_OUT), (Standing.BADLY, Exit.FAILED), (Standing.PARKED, Exit.NEEDS_PERSON))


def standing_of_run(run: Mapping[str, Any]) -> Standing:
    """Return where a run stands."""
    return _standing(str(run["status"]), RUN_WELL, RUN_BADLY, RUN_PARKED)


def standing_of_batch(batch: Mapping[str, Any]) -> Standing:
    """Return where a batch stands."""
    return _standing(str(batch["status"]), BATCH_WELL, BATCH_BADLY, BATCH_PARKED)


def exit_of(standings: Sequence[Standing]) -> Exit:
    """Return the exit code for what became of the work; what still moves when the wait ends has timed out."""
    return next((code for standing, code in _EXITS if standing in standings), Exit.DONE)


def follow(
    ids: Sequence[str],
    *,
    look: Callable[[str], Mapping[str, Any]],
    standing: Callable[[Mapping[str, Any]], Standing],
    on_look: Callable[[Mapping[str, Any]], None],
    timeout_s: float | None = None,
    every_s: float = LOOK_EVERY_S,
    wait: Callable[[str, int], object] | None = None,
) -> tuple[list[Mapping[str, Any]], Exit]:
    """Look at each thing until it ended, or only a person can move it, or the time is over.

    Args:
        wait: waits at the server until there is news of one, so many seconds at most; without it, it is looked at
            again and again.

    Returns:
        What each looked like at last, in the order of `ids`, and the exit code.
    """
    until = None if timeout_s is None else time.monotonic() + timeout_s
    last: dict[str, Mapping[str, Any]] = {}
    parked = dict.fromkeys(ids, 0)
    open_ids = list(dict.fromkeys(ids))
    while True:
        for one in open_ids:
            last[one] = look(one)
            parked[one] = parked[one] + 1 if standing(last[one]) is Standing.PARKED else 0
            on_look(last[one])
        open_ids = [one for one in open_ids if standing(last[one]) is Standing.MOVING or 0 < parked[one] < PARKED_LOOKS]
        if not open_ids or (until is not None and time.monotonic() >= until):
            return [last[one] for one in ids], exit_of([standing(found) for found in last.values()])
        left_s = LONGEST_WAIT_S if until is None else max(until - time.monotonic(), 0)
        wait_s = int(min(left_s, LONGEST_WAIT_S if len(open_ids) == 1 else LONGEST_WAIT_OF_SEVERAL_S))
        if wait is not None and wait_s >= 1 and not any(parked[one] for one in open_ids):
            wait(open_ids[0], wait_s)
            # News may come faster than anybody reads.
            time.sleep(min(every_s * BREATH, left_s))
        else:
            time.sleep(min(every_s, left_s))


def _standing(status: str, well: frozenset[str], badly: frozenset[str], parked: frozenset[str]) -> Standing:
    if status in well:
        return Standing.WELL
    if status in badly:
        return Standing.BADLY
    return Standing.PARKED if status in parked else Standing.MOVING
