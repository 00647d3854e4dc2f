"""What of a batch to launch together, and when.

A wave is as large as is good for its looks (`windows.py`): it must be seen whole before its results die, and it cannot
be paused. The next one follows so closely that the provider never runs dry.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.domain.windows import LOOK_SHARE, WaveState

#: The first wave of a workflow of which nothing is known, and the largest of one that is known well.
FIRST_WAVE = 20
LARGEST_WAVE = 1000

#: A wave should last about so long: long enough to cost few requests, short enough to pause soon.
WAVE_LASTS_S = 20 * 60.0

#: All launched and unseen items of a lane together must be seen by the looks of so long a time (a URL lives an hour).
SEEN_WITHIN_S = 40 * 60.0

#: A wave that has waited so long for its slots has them reserved, for so long, and so often.
RESERVE_AFTER_S = 10.0
RESERVE_FOR_S = 16 * 60.0
RESERVE_EVERY_S = 3600.0

#: A wave of a workflow that does not keep the order is watched whole: it is no larger than looks can see in this time.
UNORDERED_SEEN_WITHIN_S = 120.0

#: Where looks are what is short, the next wave is sent when so long a time of looks is left of the last.
LOOKS_LEFT_S = 20.0

#: Where several batches want one workflow, each gets a wave in about so long a time; but a wave lasts so many means.
ROUND_S = 240.0
LEAST_MEANS = 3


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
        rivals: other batches that have something to launch on the workflow.
        in_order: the workflow's waves have kept the order lately.
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
    rivals: int = 0
    in_order: bool = True

    @property
    def looks_per_s(self) -> float:
        """Looks that may be counted on."""
        return self.looks_per_minute * LOOK_SHARE / 60


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

    Waves overlap at the tail: a serial plan of small waves costs a fifth of the time.
    """
    if demand.single:
        return _plan_singles(demand, now=now)
    remaining = sum(w.remaining for w in demand.live_waves)
    may_overlap = remaining <= _overlap(demand)
    if remaining > demand.width and not may_overlap:
        ends_in_s = (remaining - demand.width) * demand.mean_s / demand.width
        return Wait(reason="wave", until=now + timedelta(seconds=min(max(ends_in_s / 2, 1.0), 30.0)))
    size = wave_size(demand)
    if size <= 0:
        return Wait(reason="unseen", until=now + timedelta(seconds=5))
    own = sum(w.slots for w in demand.live_waves)
    slots = min(demand.width, size)
    limit = max(demand.slot_limit, demand.width)
    if demand.slots_used + slots > limit and not (may_overlap and demand.slots_used - own + slots <= limit):
        only_its_own = demand.slots_used - own + slots <= limit
        until = now + timedelta(seconds=1 if only_its_own else 5)
        return Wait(reason="wave", until=until) if only_its_own else Wait(reason="slots", until=until, slots=slots)
    return Launch(count=size)


def _overlap(demand: BatchDemand) -> int:
    """Return how many items of a batch's last waves may be unseen when it sends the next beyond its slots.

    Half a width of stragglers leaves slots idle that the next wave fills; the provider holds back what is too much.
    Where looks are what is short, all of the wave has long ended when its last items are seen. With others in line
    for the slots, a batch waits for its own.
    """
    if demand.rivals:
        return 0
    if _are_looks_short(demand.looks_per_s, demand.mean_s, demand.width):
        return max(demand.width, int(demand.looks_per_s * max(LOOKS_LEFT_S, 2 * demand.mean_s)))
    return demand.width // 2


def makes_room(wave: WaveState, *, looks_per_minute: int, mean_s: float) -> bool:
    """Tell whether to plan launches anew when an item of a wave has ended: near its end, when its slots come free.

    Before that the next wave of its batch waits (`plan_launch`). Where looks are what is short, every ending counts:
    to plan only near the end cost 0.3 % of the makespan there, and saves little.
    """
    return wave.remaining <= wave.width or _are_looks_short(looks_per_minute * LOOK_SHARE / 60, mean_s, wave.width)


def _are_looks_short(looks_per_s: float, mean_s: float, width: int) -> bool:
    """Tell whether items end faster than looks can see it."""
    return looks_per_s * mean_s < width


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
    seeable = int(demand.looks_per_s * SEEN_WITHIN_S) - demand.unseen
    by_time = int(_lasts_s(demand) * demand.width / demand.mean_s)
    by_knowledge = FIRST_WAVE if demand.known < FIRST_WAVE else max(FIRST_WAVE, 5 * demand.known)
    by_order = LARGEST_WAVE if demand.in_order else int(demand.looks_per_s * UNORDERED_SEEN_WITHIN_S)
    planned = min(max(by_time, demand.width), by_knowledge, max(by_order, 1), LARGEST_WAVE)
    asked = demand.wave_size if demand.wave_size is not None else planned
    cap = demand.wave_cap if demand.wave_cap is not None else asked
    return max(0, min(asked, cap, seeable, demand.queued, demand.max_items))


def _lasts_s(demand: BatchDemand) -> float:
    """Return how long a wave should last: less where others wait for the workflow's slots meanwhile."""
    if not demand.rivals:
        return WAVE_LASTS_S
    side_by_side = max(1, demand.slot_limit // demand.width)
    share_s = ROUND_S * side_by_side / (demand.rivals + 1)
    return min(max(share_s, LEAST_MEANS * demand.mean_s), WAVE_LASTS_S)
