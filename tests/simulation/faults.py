"""Which fault strikes where: drawn from the seed at every boundary, counted, and switched off to heal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

#: boundary -> what may go wrong there. The coverage table has a row for each pair, and no row may stay empty.
BOUNDARIES: Mapping[str, Sequence[str]] = {
    "db.connect": ("refused",),
    "db.statement": ("dropped",),
    "db.commit": ("lost_before", "done_but_reported_as_failed"),
    "net.resolve": ("no_such_name",),
    "net.connect": ("refused", "blackhole"),
    "net.request": ("reset_before", "cut", "done_but_reset"),
    "net.answer": ("lost", "cut", "late"),
    "store.put": ("full", "away", "slow", "done_but_reported_as_failed"),
}


@dataclass
class Faults:
    """Draws faults. `rates` gives each boundary's chance per visit; a boundary that is not in it is safe.

    Args:
        only: boundary/fault pairs to act out; None: all.
    """

    rng: Random
    rates: dict[str, float]
    only: frozenset[tuple[str, str]] | None = None
    hits: Counter[tuple[str, str]] = field(default_factory=Counter)
    is_on: bool = True

    def at(self, boundary: str, /) -> str | None:
        """Return the fault that strikes at this visit of a boundary, None for none."""
        names = BOUNDARIES[boundary]
        struck = self.rng.random() < self.rates.get(boundary, 0.0)
        name = names[self.rng.randrange(len(names))]
        if not struck or not self.is_on or (self.only is not None and (boundary, name) not in self.only):
            return None
        self.hits[boundary, name] += 1
        return name

    def count(self, boundary: str, name: str, times: int = 1) -> None:
        """Note faults that somebody else acted out: a kill, an outage, the provider's own."""
        if times:
            self.hits[boundary, name] += times

    @property
    def total(self) -> int:
        """How many faults struck."""
        return sum(self.hits.values())
