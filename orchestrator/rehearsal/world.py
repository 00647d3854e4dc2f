"""A world: what is submitted when, how long executions take, and how many requests a minute there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.domain.backoff import PollPolicy
from orchestrator.domain.durations import Durations

#: The provider's own limit for live executions of one workflow, where a world says nothing else.
SLOTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long a workflow's executions take: lognormal, perhaps shifting once, perhaps with some slow ones.

    Args:
        mean_s, sigma: of the lognormal; sigma 0 makes every one take the mean.
        shift_after_n: from the n-th started execution on, all take `shift_factor` times as long.
        slow_share: this share takes `slow_factor` times as long.
        polite: how politely the product looks at it (`--poll polite=1`).
    """

    mean_s: float
    sigma: float = 0.0
    shift_after_n: int | None = None
    shift_factor: float = 1.0
    slow_share: float = 0.0
    slow_factor: float = 1.0
    polite: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch that is submitted whole. `order` is how the provider starts the items of one request.

    Args:
        wave_size: as many go in one request; 1: each by itself; None: as many as the planner says.
    """

    workflow: str
    n: int
    width: int = 5
    order: str = "index"
    arrive_s: float = 0.0
    wave_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Singles:
    """A stream of single runs, arriving at random `per_min` times a minute; `slots` may be alive at once."""

    workflow: str
    per_min: float
    n: int
    slots: int = SLOTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Kills:
    """A worker that dies every `every_s`; what it had in hand is taken up by another `down_s` later."""

    every_s: float
    down_s: float = 25.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A time in which the provider runs on, and answers nobody."""

    from_s: float
    lasts_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One key with its limit, and all that is to run on it.

    Args:
        known: what the product knows of a workflow's durations when it begins; else nothing.
        polls: a workflow's schedule of looks; else the default, as politely as its pace says.
        drawn: how long a workflow's executions take, in the order in which they start; else its pace says so.
        max_concurrent: how many executions of a workflow may be alive; else its singles say so, or `SLOTS`.
    """

    workflows: Mapping[str, Pace]
    rate_per_min: int = 100
    seed: int = 1
    url_hour: str = "look"
    batches: tuple[Batch, ...] = ()
    singles: tuple[Singles, ...] = ()
    kills: Kills | None = None
    outages: tuple[Outage, ...] = ()
    known: Mapping[str, Durations] = field(default_factory=dict)
    polls: Mapping[str, PollPolicy] = field(default_factory=dict)
    drawn: Mapping[str, Sequence[float]] = field(default_factory=dict)
    max_concurrent: Mapping[str, int] = field(default_factory=dict)
    name: str = field(default="world", compare=False)

    @property
    def executions(self) -> int:
        """How many executions there are in all."""
        return sum(b.n for b in self.batches) + sum(s.n for s in self.singles)

    def slots(self, workflow: str) -> int:
        """Return how many single launches of a workflow may be alive at once."""
        if workflow in self.max_concurrent:
            return self.max_concurrent[workflow]
        return next((s.slots for s in self.singles if s.workflow == workflow), SLOTS)
