"""Measure whether the cost of work stays flat as an installation grows: `python -m benchmarks.scale`.

Two worlds are made on one embedded Postgres: a small one of `--small` runs that live, and a large one of `--runs`,
spread over a lane for each 200 of them, of which nine in ten are throttled. The product's own code is then asked the
same of both. One JSON line for each row, with what was to be reached, and whether it was:

  claim    what a claim of looks, of launches, of downloads touches, and how long it takes
  history  the same after as many ended runs have come in, with five events for each run that lives
  reads    lists, filters, single runs, counts of batches: what they touch, which tables they read from end to end
  retention  a month of the history is taken out: what claims touch before, meanwhile and after, and who waits
  idle     a worker beside work that all waits: share of a core, transactions a second
  memory   a worker in either world, and while it stores a result of 1 GiB
  accept   a batch of 10,000 over the API beside bare checks and a bare COPY; what a body of 40 MB takes

Exit code 0 once all was measured, reached or not. Most of the time goes into making the worlds; `--runs 1000000` takes
about three times as long.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

from benchmarks import progress
from benchmarks.load import Load
from benchmarks.scale import accept, claims, history, idle, memory, reads, retired, sites
from benchmarks.scale.sites import Site
from benchmarks.stage import Stage
from benchmarks.throughput import machine

#: The size that the others are compared with.
SMALL = 10_000
#: Thirty times as large: all of it in minutes. `--runs 1000000` shows one level more of most indexes, and takes long.
LARGE = 300_000


class Ground:
    """The two worlds, made when they are first asked for.

    Args:
        small, large: how many runs live in each.
    """

    def __init__(self, stage: Stage, *, small: int, large: int) -> None:
        self._stage = stage
        self._sizes = (small, large)

    @cached_property
    def small(self) -> Site:
        """The small world."""
        progress.say("scale", f"making the small world, {self._sizes[0]} runs")
        return sites.make(self._stage, "small", self._sizes[0])

    @cached_property
    def large(self) -> Site:
        """The large one."""
        progress.say("scale", f"making the large world, {self._sizes[1]} runs")
        return sites.make(self._stage, "large", self._sizes[1])

    @cached_property
    def unsettled(self) -> dict[str, int]:
        """What claims touched in the large world before it had a history."""
        return self.large.work(claims.count, claims.WORKER)

    @cached_property
    def settled(self) -> tuple[Site, Site]:
        """Both worlds, with their history."""
        assert self.unsettled, "asked before the history comes"
        for site in (self.small, self.large):
            progress.say("scale", f"making the history of the {site.name} world, {site.runs} runs")
            history.settle(site)
        return self.small, self.large


#: In the order in which they are measured: each finds what the ones before it left.
ROWS: Mapping[str, Callable[[Ground], dict[str, Any]]] = {
    "claim": lambda ground: claims.measure(ground.small, ground.large),
    "history": lambda ground: history.measure(ground.settled[1], ground.unsettled),
    "reads": lambda ground: reads.measure(*ground.settled),
    # Of what has a history the last: the large world has less of it then.
    "retention": lambda ground: retired.measure(ground.settled[1]),
    # From here on all lanes wait, so that nothing could be claimed.
    "idle": lambda ground: idle.measure(ground.large),
    "memory": lambda ground: memory.measure(ground.small, ground.large),
    "accept": lambda ground: accept.measure(ground.large, rows=min(10_000, ground.large.runs)),
}


def main(argv: list[str] | None = None) -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=LARGE, help="runs of the large world (default %(default)s)")
    parser.add_argument("--small", type=int, default=SMALL, help="runs of the small world (default %(default)s)")
    parser.add_argument("--only", choices=ROWS, action="append", help="leave the other rows out; may be given again")
    given = parser.parse_args(argv)
    if not 2_000 <= given.small <= given.runs:
        parser.error("--small is at least 2000, and --runs no less than --small")
    # An end by SIGTERM takes the same way out as Ctrl-C, so that nothing is left running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    progress.log_to_stderr()
    with Stage(Load(connections=1)) as stage:
        for line in measure(Ground(stage, small=given.small, large=given.runs), given.only or list(ROWS)):
            print(json.dumps(line), flush=True)
    return 0


def measure(ground: Ground, names: list[str]) -> Iterator[dict[str, Any]]:
    """Give the line of each row."""
    for name, row in ROWS.items():
        if name in names:
            progress.say("scale", f"measuring {name}")
            yield {"benchmark": "scale", "row": name, **row(ground), **machine()}


if __name__ == "__main__":
    sys.exit(main())
