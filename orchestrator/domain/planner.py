"""What to launch together, and which of what was launched to look at.

A provider batch runs its items about in order, `width` at a time, so only those that can be running are looked at: the
*window*. It begins at the first item that is not known to have ended and moves as endings are seen. The order is a
habit of the provider, not a promise: samples beyond the window test it, a wave that breaks it is watched whole, and
time alone widens the window until everything has been in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

#: The first wave of a workflow of which nothing is known, and the largest of one that is known well.
FIRST_WAVE = 20
LARGEST_WAVE = 1000

#: A wave should last about so long: long enough to cost few requests, short enough to pause soon.
WAVE_LASTS_S = 20 * 60.0

#: All launched and unseen items of a lane together must be seen by the looks of so long a time (a URL lives an hour).
SEEN_WITHIN_S = 40 * 60.0

#: The share of a lane's requests that may be counted on for looks.
LOOK_SHARE = 0.8

#: A wave that has waited so long for its slots has them reserved, for so long, and so often.
RESERVE_AFTER_S = 10.0
RESERVE_FOR_S = 16 * 60.0
RESERVE_EVERY_S = 3600.0

#: After so long everything in a wave stands in the window, whatever was seen.
WHOLE_WINDOW_S = 30 * 60.0

#: One look in so many samples beyond the window while the order is believed.
SAMPLE_EVERY = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveState:
    """One wave as its row knows it.

    Args:
        size: items in the wave.
        width: how many the provider runs side by side.
        ended: items seen to have ended.
        human: items that wait for a person.
        frontier: items at positions below it stand in the window; it never moves back.
        in_order: the provider has kept the order so far.
        looks: looks recorded for this wave.
    """

    size: int
    width: int
    ended: int = 0
    human: int = 0
    frontier: int = 0
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
    """What one look meant for its wave: where the item stands, and what was seen of it."""

    position: int
    has_started: bool
    has_ended: bool = False
    became_human: bool = False
    left_human: bool = False


def after_looks(wave: WaveState, looks: list[WaveLook], *, age_s: float) -> WaveState:
    """Return the wave after some looks: its window moved by what was seen and by its age."""
    ended = wave.ended + sum(look.has_ended for look in looks)
    human = wave.human + sum(look.became_human for look in looks) - sum(look.left_human for look in looks)
    beyond = any(look.has_started and look.position >= _possible(wave, ended) for look in looks)
    moved = replace(
        wave,
        ended=min(ended, wave.size),
        human=max(human, 0),
        in_order=wave.in_order and not beyond,
        looks=wave.looks + len(looks),
    )
    return replace(moved, frontier=_frontier(moved, age_s=age_s))


def _possible(wave: WaveState, ended: int) -> int:
    """Return the first position that cannot have started yet if the order holds.

    Endings that nobody has looked for yet move the truth ahead of what was seen, so there is slack of several widths.
    """
    return max(wave.frontier, ended + wave.human + wave.width) + 4 * wave.width + 8


def first_window(size: int, width: int) -> int:
    """Return the window of a wave that was just accepted."""
    return min(size, width)


def _frontier(wave: WaveState, *, age_s: float) -> int:
    if not wave.in_order:
        return wave.size
    by_endings = wave.ended + wave.human + wave.width
    by_age = math.ceil(wave.size * age_s / WHOLE_WINDOW_S)
    return min(wave.size, max(wave.frontier, by_endings, by_age))


def sample_position(wave: WaveState, *, unit: float, looked: int = 1) -> int | None:
    """Return a position beyond the window to look at once, or None when there is no need of a sample.

    Args:
        looked: looks that were recorded just now; they come in groups, and every twentieth asks for a sample.
        unit: a number in [0, 1), the caller's randomness.
    """
    beyond = wave.size - wave.frontier
    is_time = (wave.looks - looked) // SAMPLE_EVERY != wave.looks // SAMPLE_EVERY
    if not wave.in_order or beyond <= 0 or not is_time:
        return None
    return wave.frontier + int(unit * beyond)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDemand:
    """A batch that has something to launch, and all that decides how much of it goes now.

    Args:
        queued: runs not sent yet.
        width: the level's width at the provider; 1 where single launches are asked for.
        single: launch one by one instead of in waves (`--wave-size 1`, or a provider without waves).
        wave_size: the size that the user asked for, or None.
        wave_cap: the size above which the provider refused a wave lately, or None.
        live_waves: this batch's waves that are not over.
        slots_used, slot_limit: of the workflow, by all who use it.
        unseen: items launched on the lane and not seen to have ended.
        looks_per_minute: the lane's limit of requests a minute.
        mean_s: the learned mean duration of an execution.
        known: executions that the mean was learned from.
        max_items: the provider's own limit for one wave.
    """

    queued: int
    width: int
    single: bool
    wave_size: int | None
    wave_cap: int | None
    live_waves: tuple[WaveState, ...]
    slots_used: int
    slot_limit: int
    unseen: int
    looks_per_minute: int
    mean_s: float
    known: int
    max_items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Send so many now: in one wave, or each by itself."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Send nothing before then. `reason` is one of `slots`, `wave`, `unseen`; `slots` are those that a wave lacks."""

    reason: str
    until: datetime
    slots: int = 0


def plan_launch(demand: BatchDemand, *, now: datetime) -> Launch | Wait:
    """Decide what of a batch to launch now.

    Waves overlap at the tail: the next is sent when what remains of the last no longer fills the width, just before it
    runs dry; a serial plan of small waves costs a fifth of the time.
    """
    if demand.single:
        return _plan_singles(demand, now=now)
    remaining = sum(w.remaining for w in demand.live_waves)
    if remaining > demand.width:
        ends_in_s = (remaining - demand.width) * demand.mean_s / demand.width
        return Wait(reason="wave", until=now + timedelta(seconds=min(max(ends_in_s / 2, 1.0), 30.0)))
    size = wave_size(demand)
    if size <= 0:
        return Wait(reason="unseen", until=now + timedelta(seconds=5))
    slots = min(demand.width, size)
    if demand.slots_used + slots > max(demand.slot_limit, demand.width):
        return Wait(reason="slots", until=now + timedelta(seconds=5), slots=slots)
    return Launch(count=size)


def reserves(waited_s: float) -> bool:
    """Tell whether a wave that has waited so long for slots keeps others from taking those that come free.

    A wave needs several at once, single launches take each as it comes: without a reservation a steady stream of them
    would hold it up for ever. It ends after the longest that an execution may last and comes back later, because what
    waits for a person holds its slot for days, and must not stop the single launches beside it.
    """
    phase_s = waited_s % RESERVE_EVERY_S
    return RESERVE_AFTER_S <= phase_s < RESERVE_AFTER_S + RESERVE_FOR_S


def _plan_singles(demand: BatchDemand, *, now: datetime) -> Launch | Wait:
    free = min(demand.slot_limit - demand.slots_used, demand.queued)
    if free <= 0:
        return Wait(reason="slots", until=now + timedelta(seconds=5))
    return Launch(count=free)


def wave_size(demand: BatchDemand) -> int:
    """Return how many items the next wave takes.

    About `WAVE_LASTS_S` of work, at most what the lane's looks can see in `SEEN_WITHIN_S`, and no more than five
    times what is known: the first wave of a new workflow is small, because its durations are a guess.
    """
    seeable = int(demand.looks_per_minute * LOOK_SHARE * SEEN_WITHIN_S / 60) - demand.unseen
    by_time = int(WAVE_LASTS_S * demand.width / demand.mean_s)
    by_knowledge = FIRST_WAVE if demand.known < FIRST_WAVE else max(FIRST_WAVE, 5 * demand.known)
    planned = min(max(by_time, demand.width), by_knowledge, LARGEST_WAVE)
    asked = demand.wave_size if demand.wave_size is not None else planned
    cap = demand.wave_cap if demand.wave_cap is not None else asked
    return max(0, min(asked, cap, seeable, demand.queued, demand.max_items))
