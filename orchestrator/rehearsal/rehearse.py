"""Rehearse a batch: several plays that stand for all that may come, one of plain backoff, and what they say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from orchestrator.domain.forecast import Bound, Forecast, forecast
from orchestrator.rehearsal.bounds import TimeShares, time_shares
from orchestrator.rehearsal.plays import Play, Stage, play, play_backoff, world_of
from orchestrator.rehearsal.timeline import NeverEnds

#: All plays together look about so often: some seconds of a processor. Large batches are played fewer times.
LOOKS_IN_ALL = 12_000
MOST_PLAYS = 15

_NORMAL = NormalDist()
_P90 = _NORMAL.inv_cdf(0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What a rehearsal says. `plain` is None where plain backoff was not done in months.

    Args:
        told: the forecast by arithmetic alone, as it stands on the live batch; it knows of no outage.
        middle: the play in the middle.
    """

    told: Forecast
    finishes_s: tuple[float, ...]
    middle: Play
    delays_s: tuple[float, ...]
    at_risk: int
    dead: int
    shares: TimeShares
    plain: Play | None

    @property
    def bound_by(self) -> Bound:
        """What binds for the longer time."""
        return Bound.SLOTS if self.shares.slots >= self.shares.rate else Bound.RATE

    def finish_s(self, share: float) -> float:
        """Return by when it is done in this share of cases, seconds from the start."""
        return _at(_points(self.finishes_s, self.told), _NORMAL.inv_cdf(share))

    def chance_by(self, at_s: float) -> float:
        """Return the chance that it is done by then: never quite 0 or 1."""
        points = _points(self.finishes_s, self.told)
        swapped = [(finish_s, z) for z, finish_s in points]
        return min(max(_NORMAL.cdf(_at(swapped, at_s)), 0.01), 0.99)


def plays_for(stage: Stage) -> int:
    """Return how many plays a batch of this size is worth."""
    return min(max(LOOKS_IN_ALL // max(forecast(stage.work).requests, 1), 1), MOST_PLAYS)


def rehearse(stage: Stage, *, plays: int, on_play: Callable[[int, int], None] = lambda done, of: None) -> Rehearsal:
    """Play a batch so many times.

    Args:
        on_play: hears how many plays are done, of how many; plain backoff is one more.
    """
    played: list[Play] = []
    for number in range(plays):
        on_play(number, plays + 1)
        played.append(play(world_of(stage, share=(number + 0.5) / plays)))
    on_play(plays, plays + 1)
    plain = _plain(stage)
    on_play(plays + 1, plays + 1)
    ordered = sorted(played, key=lambda one: one.finish_s)
    middle = ordered[len(ordered) // 2]
    return Rehearsal(
        told=forecast(stage.work),
        finishes_s=tuple(one.finish_s for one in ordered),
        middle=middle,
        delays_s=tuple(sorted(delay_s for one in played for delay_s in one.delays_s)),
        at_risk=max(one.at_risk for one in played),
        dead=max(one.dead for one in played),
        shares=time_shares(middle, stage),
        plain=plain,
    )


def _plain(stage: Stage) -> Play | None:
    try:
        return play_backoff(world_of(stage, share=0.5))
    except NeverEnds:
        return None


def _points(finishes_s: Sequence[float], told: Forecast) -> list[tuple[float, float]]:
    """Return finishes by their place in a normal's scale. One play alone has the spread that its forecast has."""
    if len(finishes_s) == 1:
        return [(0.0, finishes_s[0]), (_P90, finishes_s[0] * told.p90_s / told.p50_s)]
    return [(_NORMAL.inv_cdf((n + 0.5) / len(finishes_s)), finish_s) for n, finish_s in enumerate(finishes_s)]


def _at(points: Sequence[tuple[float, float]], x: float) -> float:
    """Return the height of a line through some points; beyond the last ones it goes on as it went."""
    place = next((n for n in range(1, len(points) - 1) if x <= points[n][0]), len(points) - 1)
    (x0, y0), (x1, y1) = points[place - 1], points[place]
    if math.isclose(x0, x1):
        return y1
    return y0 + (x - x0) * (y1 - y0) / (x1 - x0)
