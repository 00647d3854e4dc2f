"""When what is left of a batch will have been seen to end, how sure that is, what binds, and what it costs.

The slots are worked off by executions whose durations were learned: their sum is nearly normal, the learned mean itself
is uncertain, and the last ones end one by one while slots stand empty. Beside that stands what the requests allow. All
is arithmetic on one small grid, so that it may be told with every look at a batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from statistics import NormalDist

from orchestrator.domain.backoff import PollPolicy
from orchestrator.domain.durations import UNKNOWN_LOG_SD, UNKNOWN_MEAN_S, Durations
from orchestrator.domain.governor import WINDOW_S
from orchestrator.domain.look_rows import LookRow, affordable_row
from orchestrator.domain.look_timing import SINGLE_SHARE, Timing, WaveClock
from orchestrator.domain.pace import Lognormal

#: From the time that a look is due to its answer: a worker's turn, and a round trip.
LOOK_TAKES_S = 0.5

#: From the look that frees a slot to the beginning of the execution that takes it, where each is launched by itself.
LAUNCH_TAKES_S = 0.6

#: The share of the limit that is used where requests are what is short.
BUDGET_USED = 0.98

#: All tokens are there when a batch begins on a key that rested: what is spent fast is worth so many seconds. The first
#: of them leave the faster the fewer are out: so many seconds for all.
HEAD_START_S = 18.0
FIRST_WINDOW_S = 26.0

#: What no estimate knows: deviations of the logarithm of the time, by the slots (beside that of the durations), and by
#: the requests. Measured with `benchmarks/forecasts.py`.
MODEL_LOG_SD = 0.05
RATE_LOG_SD = 0.08

#: Slots and requests that are about equally short hold single launches up together: the higher, the less.
HOLD_UP = 6

#: A wave of a known workflow takes about so many runs: enough to count launches by.
RUNS_A_WAVE = 100

#: The highest price at which an item of a wave is looked at, in means.
WAVE_PRICE_MEANS = 4.0


def _quantiles(count: int) -> tuple[float, ...]:
    return tuple(NormalDist().inv_cdf((n + 0.5) / count) for n in range(count))


#: The grid: equally likely values of the learned mean's error, of the sum's, and of the last ones' end.
_MEANS, _SUMS, _TAILS = _quantiles(11), _quantiles(9), 15
_AGES = 40


class Bound(StrEnum):
    """What holds a batch up: the slots that it may fill, or the requests that it may send."""

    SLOTS = "slots"
    RATE = "rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """Other work on the same key: what is left of it, and whether it wants the same slots."""

    runs: int
    mean_s: float
    shares_slots: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is left of a batch, and what it may use.

    Args:
        queued: runs that were not launched yet.
        running: runs that were launched and not seen to end.
        width: how many of them run side by side.
        slot_limit: of the workflow, by all who use it.
        single: each is launched by itself, and holds its slot until its end was seen.
        requests_per_minute: the key's limit.
        free: requests that may leave at once; None: all of the limit, as on a key that rested.
    """

    queued: int
    running: int = 0
    width: int
    slot_limit: int
    single: bool
    durations: Durations
    requests_per_minute: int
    free: int | None = None
    policy: PollPolicy = field(default_factory=PollPolicy)
    rivals: tuple[Rival, ...] = ()

    @property
    def left(self) -> int:
        """Runs that were not seen to end."""
        return self.queued + self.running

    @property
    def free_share(self) -> float:
        """The share of the limit that may leave at once."""
        return 1.0 if self.free is None else min(max(self.free / self.requests_per_minute, 0.0), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Seconds from now to the last sight, as likely as not and in nine of ten cases; what binds; what it costs.

    Args:
        delay_s: from an end to its sight, in the mean.
        slots_s, rate_s: how long it takes in the mean by the slots alone, and by the requests alone.
    """

    p50_s: float
    p90_s: float
    bound_by: Bound
    requests: int
    delay_s: float
    slots_s: float
    rate_s: float


def forecast(work: Work) -> Forecast:
    """Tell when what is left will have been seen to end."""
    pace, error = expected_pace(work.durations)
    row = _row(work, pace)
    holds = _with_mean(pace, pace.mean_s + (row.delay_s + LAUNCH_TAKES_S if work.single else 0.0))
    before_s, spread_s, last_s = _by_slots(work, holds)
    slots_s, rate_s = before_s + sum(last_s) / len(last_s), _by_rate(work, row)
    # A single launch waits for its slot, which waits for a look, which waits for requests; a wave goes on by itself.
    held_up = _longer_and_more if work.single else max
    found = sorted(
        held_up(
            (max(before_s + spread_s * luck, 0.0) + tail_s) * math.exp(error * wrong),
            rate_s * math.exp(RATE_LOG_SD * luck),
        )
        for wrong in _MEANS
        for luck in _SUMS
        for tail_s in last_s
    )
    # A single launch's slot is held until its end was seen; of a wave only the last end is still to be seen.
    after_s = 0.0 if work.single else row.delay_s
    launches = work.queued if work.single else math.ceil(work.queued / RUNS_A_WAVE)
    return Forecast(
        p50_s=found[len(found) // 2] + after_s,
        p90_s=found[9 * len(found) // 10] + after_s,
        bound_by=Bound.RATE if rate_s > slots_s or row.late_s > 0.0 else Bound.SLOTS,
        requests=math.ceil(work.left * row.looks) + launches,
        delay_s=row.delay_s,
        slots_s=slots_s,
        rate_s=rate_s,
    )


def _longer_and_more(slots_s: float, rate_s: float) -> float:
    """Return the longer of two, and more where they are alike."""
    return float((slots_s**HOLD_UP + rate_s**HOLD_UP) ** (1 / HOLD_UP))


def expected_pace(known: Durations) -> tuple[Lognormal, float]:
    """Return what is expected of durations, and how uncertain their mean is: the deviation of its logarithm.

    What is assumed of the unknown counts as one look at a mean that may be anything; each execution seen adds its own.
    """
    shape = known.pace
    noise = shape.log_sd**2 + shape.log_sd**4 / 2
    weight = known.count / (known.count + noise / UNKNOWN_LOG_SD**2)
    log_mean = weight * math.log(known.mean_s) + (1 - weight) * math.log(UNKNOWN_MEAN_S)
    pace = Lognormal(log_mean=log_mean - shape.log_sd**2 / 2, log_sd=shape.log_sd)
    # While few were seen, the spread itself is half assumed.
    variance = noise * weight / max(known.count, 1) + (1 - weight) * UNKNOWN_LOG_SD**2
    return pace, math.sqrt(variance + MODEL_LOG_SD**2)


def _with_mean(pace: Lognormal, mean_s: float) -> Lognormal:
    """Return durations of the same shape with another mean."""
    return replace(pace, log_mean=pace.log_mean + math.log(mean_s / pace.mean_s))


def _row(work: Work, pace: Lognormal) -> LookRow:
    """Return the looks that the key can pay for, at the pace at which the slots are worked off."""
    side_by_side = min(work.width, work.left) or 1
    clock = None if work.single else WaveClock(width=work.width, remaining=work.left, in_order=True)
    timing = Timing(policy=work.policy, durations=work.durations, wave=clock)
    lasts_s = work.left * pace.mean_s / side_by_side
    head_start = 1 + HEAD_START_S * work.free_share / lasts_s if lasts_s else 1.0
    budget = work.requests_per_minute * BUDGET_USED / WINDOW_S / (1 + len(work.rivals)) * head_start

    def costs(row: LookRow) -> float:
        takes_s = pace.mean_s + (row.delay_s + LOOK_TAKES_S + LAUNCH_TAKES_S if work.single else 0.0)
        return side_by_side / takes_s * (row.looks + (1.0 if work.single else 0.0)) / budget

    highest_s = pace.mean_s * (SINGLE_SHARE if work.single else WAVE_PRICE_MEANS)
    row = affordable_row(timing, highest_price_s=highest_s, costs=costs)
    return replace(row, delay_s=row.delay_s + LOOK_TAKES_S)


def _stretch(work: Work, mean_s: float) -> float:
    """Return how much longer the slots take because others want them: all get on alike until they are done."""
    own_s = work.left * mean_s
    others_s = sum(min(r.runs * r.mean_s, own_s) for r in work.rivals if r.shares_slots)
    return max(1.0, (own_s + others_s) * work.width / (max(work.slot_limit, work.width) * own_s)) if own_s else 1.0


def _by_rate(work: Work, row: LookRow) -> float:
    """Return how long the requests take that are left, with what others send meanwhile."""
    each = row.looks + (1.0 if work.single and work.queued else 0.0)
    others = sum(min(rival.runs, work.left) for rival in work.rivals)
    windows = (work.left + others) * each / work.requests_per_minute
    if windows < work.free_share:
        return FIRST_WINDOW_S * windows**2
    return windows * WINDOW_S / BUDGET_USED - HEAD_START_S * work.free_share


def _by_slots(work: Work, pace: Lognormal) -> tuple[float, float, Sequence[float]]:
    """Return when the last one begins (mean and deviation), and how long after that the last one ends (quantiles)."""
    side_by_side = min(work.width, work.left)
    if not side_by_side:
        return 0.0, 0.0, (0.0,)
    begun = min(work.running, side_by_side)
    if work.left <= side_by_side:
        return 0.0, 0.0, _last_end(pace, fresh=work.left - begun, midway=begun)
    in_all_s = (work.left - begun) * pace.mean_s + begun * pace.mean_left_s
    left_s = pace.mean_s + (side_by_side - 1) * pace.mean_left_s
    variance = (work.left - 1) * pace.mean_s**2 * math.expm1(pace.log_sd**2)
    before_s = max(in_all_s - left_s, 0.0) / side_by_side
    stretch = _stretch(work, pace.mean_s)
    spread_s = math.sqrt(variance * stretch) / side_by_side
    return before_s * stretch, spread_s, _last_end(pace, fresh=1, midway=side_by_side - 1)


def _last_end(pace: Lognormal, *, fresh: int, midway: int) -> tuple[float, ...]:
    """Return equally likely times in which the last of some ends: some that just began, some anywhere in their time."""
    from_s, to_s = math.exp(pace.log_mean - 3 * pace.log_sd), math.exp(pace.log_mean + 4.5 * pace.log_sd)
    step = (to_s / from_s) ** (1 / (_AGES - 1))
    ages = [from_s * step**n for n in range(_AGES)]
    ended = [pace.ended(age_s) ** fresh * pace.left_ended(age_s) ** midway for age_s in ages]
    found, place = [], 0
    for n in range(_TAILS):
        share = (n + 0.5) / _TAILS
        while place < _AGES - 1 and ended[place] < share:
            place += 1
        low = ended[place - 1] if place else 0.0
        part = (share - low) / (ended[place] - low) if ended[place] > low else 1.0
        begin_s = ages[place - 1] if place else 0.0
        found.append(begin_s + (ages[place] - begin_s) * min(part, 1.0))
    return tuple(found)
