"""What is submitted in a world, when, and what of it counts as late."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from orchestrator.rehearsal.model_provider import Execution
from orchestrator.rehearsal.world import World

#: A URL lives an hour; whoever has not looked after so long has no time left to fetch the file.
LATE_S = 55 * 60.0

#: From sending a request to having its answer; the provider is asked in the middle.
ROUND_TRIP_S = 0.2

#: The provider's limit for one batch request.
LARGEST_REQUEST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Something that is submitted at a time: the executions of a batch, or one single run.

    Args:
        part: its number among the world's batches and streams.
        width: how many the provider runs side by side; None for a single run.
        wave_size: of a batch, as its owner asked for it.
    """

    at_s: float
    part: int
    executions: tuple[Execution, ...]
    width: int | None
    order: str = "index"
    wave_size: int | None = None

    @property
    def is_launched_singly(self) -> bool:
        """Tell whether each execution is launched by itself."""
        return self.width is None or self.wave_size == 1


def arrivals(world: World) -> list[Arrival]:
    """Return everything that is submitted in a world, fresh, in the order of time."""
    found = []
    for part, batch in enumerate(world.batches):
        items = tuple(Execution(workflow=batch.workflow, part=part, index=n) for n in range(batch.n))
        found.append(
            Arrival(
                at_s=batch.arrive_s,
                part=part,
                executions=items,
                width=batch.width,
                order=batch.order,
                wave_size=batch.wave_size,
            ),
        )
    for part, stream in enumerate(world.singles, start=len(world.batches)):
        draw, at_s = Random(f"{world.seed}:arrivals:{part}"), 0.0
        for n in range(stream.n):
            at_s += draw.expovariate(stream.per_min / 60.0)
            one = Execution(workflow=stream.workflow, part=part, index=n)
            found.append(Arrival(at_s=at_s, part=part, executions=(one,), width=None))
    return sorted(found, key=lambda arrival: arrival.at_s)
