"""Which of a wave's items to look at: its *window*, of those that can be running.

A provider batch runs its items about in order, `width` at a time. The window begins at the first item that is not known
to have ended and moves as endings are seen. The order is a habit of the provider, not a promise: an item that waits
while a later one has begun breaks it, and a wave without order is watched whole. Samples beyond the window look for
that, most where the window itself looks as if nothing had begun; and by age alone everything is looked at once in forty
minutes, whatever was seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.domain.look_timing import Timing

#: Every item is looked at in so long a time, beyond the window too; the first of those after so long.
SWEPT_WITHIN_S = 40 * 60.0
SWEPT_FROM_S = 10 * 60.0

#: One look in so many samples beyond the window, while what stands in it has mostly begun, and while it has not.
SAMPLE_EVERY = 100
SAMPLE_EVERY_IN_DOUBT = 4

#: The share of a lane's requests that may be counted on for looks.
LOOK_SHARE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveState:
    """One wave as its row knows it.

    Args:
        size: items in the wave.
        width: how many the provider runs side by side.
        ended: items seen to have ended.
        human: items that wait for a person.
        frontier: items at positions below it stand in the window; it never moves back.
        started_to: items at positions from here on were never seen to have begun.
        in_order: the provider has kept the order so far.
        looks: looks recorded for this wave.
    """

    size: int
    width: int
    ended: int = 0
    human: int = 0
    frontier: int = 0
    started_to: int = 0
    in_order: bool = True
    looks: int = 0

    @property
    def remaining(self) -> int:
        """Items that may still be running or waiting for their turn at the provider."""
        return max(0, self.size - self.ended - self.human)

    @property
    def slots(self) -> int:
        """The provider's slots that the wave can be using."""
        return min(self.width, self.size - self.ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveLook:
    """What one look meant for its wave: where the item stands, and what was seen of it.

    Args:
        waits: the provider has not begun it.
        ended_ago_s: about how long ago it ended, if it did and that can be told.
    """

    position: int
    has_started: bool
    waits: bool = False
    has_ended: bool = False
    became_human: bool = False
    left_human: bool = False
    ended_ago_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowMove:
    """What becomes due in a wave after some looks.

    Args:
        first: the first position that the window reached just now.
        began_ago_s: for each position from there, about how long ago it began.
        due_in_s: and when to look at it first, seconds from now.
        waiting: positions inside the window that have not begun: their time begins anew.
        swept_to: positions below it that nobody ever looked at, or not in `SWEPT_WITHIN_S`, are looked at now.
        sample: one position beyond the window to look at now.
    """

    first: int
    began_ago_s: tuple[float, ...] = ()
    due_in_s: tuple[float, ...] = ()
    waiting: tuple[int, ...] = ()
    swept_to: int = 0
    sample: int | None = None

    @property
    def next_due_s(self) -> float | None:
        """Seconds until the first of it is due; None where nothing came in."""
        if self.sample is not None or self.swept_to:
            return 0.0
        return min(self.due_in_s, default=None)


def first_window(size: int, width: int, *, in_order: bool = True) -> int:
    """Return the window of a wave that was just accepted."""
    return min(size, width) if in_order else size


def looks_apart_s(looks_per_minute: int) -> float:
    """Return how far apart to look at items that all come into a window at once."""
    return 60.0 / (looks_per_minute * LOOK_SHARE)


def after_looks(wave: WaveState, looks: Sequence[WaveLook]) -> WaveState:
    """Return the wave after some looks: its window moved by what was seen."""
    ended = wave.ended + sum(look.has_ended for look in looks)
    human = wave.human + sum(look.became_human for look in looks) - sum(look.left_human for look in looks)
    started_to = max([wave.started_to, *(look.position + 1 for look in looks if look.has_started)])
    overtaken = any(look.waits and look.position + _slack(wave) < started_to for look in looks)
    moved = replace(
        wave,
        ended=min(ended, wave.size),
        human=max(human, 0),
        started_to=min(started_to, wave.size),
        in_order=wave.in_order and not overtaken,
        looks=wave.looks + len(looks),
    )
    return replace(moved, frontier=_frontier(moved))


def _slack(wave: WaveState) -> int:
    """Return how many places an item may be overtaken by, and the order still be called one."""
    return 2 * wave.width + 4


def _frontier(wave: WaveState) -> int:
    if not wave.in_order:
        return wave.size
    return min(wave.size, max(wave.frontier, wave.ended + wave.human + wave.width))


def mean_by_throughput(wave: WaveState, *, age_s: float) -> float:
    """Return how long the executions of a wave take in the mean, by how many ended in its time (Little's law)."""
    return max(age_s, 0.05) * wave.width / max(wave.ended, 1)


def swept_to(wave: WaveState, *, age_s: float) -> int:
    """Return below which position everything must have been looked at once at this age."""
    share = (age_s - SWEPT_FROM_S) / (SWEPT_WITHIN_S - SWEPT_FROM_S)
    return min(wave.size, max(0, math.ceil(wave.size * min(share, 1.0))))


def sample_position(wave: WaveState, looks: Sequence[WaveLook], *, unit: float) -> int | None:
    """Return a position beyond the window to look at once, or None when there is no need of a sample.

    Args:
        looks: those that were recorded just now, and are counted in the wave.
        unit: a number in [0, 1), the caller's randomness.
    """
    beyond = wave.size - wave.frontier
    waiting = sum(look.waits for look in looks if look.position < wave.frontier)
    every = SAMPLE_EVERY_IN_DOUBT if waiting and 2 * waiting >= len(looks) else SAMPLE_EVERY
    is_time = (wave.looks - len(looks)) // every != wave.looks // every
    if not wave.in_order or beyond <= 0 or not is_time:
        return None
    return wave.frontier + int(unit * beyond)


def moved(
    before: WaveState,
    after: WaveState,
    looks: Sequence[WaveLook],
    *,
    age_s: float,
    timing: Timing | None,
    looks_per_minute: int,
    unit: float,
) -> WindowMove:
    """Return what becomes due in a wave whose looks moved it from one state to another.

    Args:
        age_s: seconds since the wave was launched.
        timing: when to look at its items; None: at once.
    """
    came = after.frontier - before.frontier
    in_order = after.in_order
    # Each end lets one more begin; which of them began at which end does not matter much, for all ends are used.
    ends = sorted((e for look in looks if (e := look.ended_ago_s) is not None), reverse=True) if in_order else []
    began_ago_s = tuple(ends[:came]) + (0.0,) * (came - len(ends))
    if in_order:
        first_s = timing.first_s() if timing is not None else 0.0
        due_in_s = tuple(max(0.0, first_s - ago_s) for ago_s in began_ago_s)
    else:
        due_in_s = tuple(n * looks_apart_s(looks_per_minute) for n in range(came))
    return WindowMove(
        first=before.frontier,
        began_ago_s=began_ago_s,
        due_in_s=due_in_s,
        waiting=tuple(look.position for look in looks if look.waits and look.position < before.frontier),
        swept_to=swept if (swept := swept_to(after, age_s=age_s)) > after.frontier else 0,
        sample=sample_position(after, looks, unit=unit),
    )
