"""Which tests are begun first, so that at the end of the suite no worker is left alone with long ones."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

#: The longest first. What has one line is run by one worker; a file whose tests share what they set up stays together.
LONGEST = (
    "tests/simulation/test_week.py",
    "tests/simulation/test_worlds.py::test_fresh_worlds",
    "tests/simulation/test_pressure.py",
    "tests/system/test_workers.py::test_killing",
    "tests/simulation/test_worlds.py::test_a_world_replays",
    "tests/web/",
    "tests/chaos/test_slice.py",
    "tests/simulation/test_worlds.py::test_most",
    "tests/benchmarks/test_benchmarks_run.py",
    "tests/cli/test_demo.py",
    "tests/simulation/test_worlds.py::test_a_world_that",
    "tests/guarantees/test_limits.py",
    "tests/guarantees/test_sent_at_most_once.py::test_at_default_times",
    "tests/system/test_workers.py",
    "tests/cli/test_up.py",
    "tests/guarantees/test_it_is_seen.py",
    "tests/api/test_described.py",
)


def dealt(items: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """Return the tests so that each worker's share, an equal part of the list, begins with some of the longest."""
    groups: list[list[pytest.Item]] = [[] for _ in LONGEST]
    others: list[pytest.Item] = []
    for item in items:
        place = next((n for n, name in enumerate(LONGEST) if item.nodeid.startswith(name)), None)
        (others if place is None else groups[place]).append(item)
    ordered: list[pytest.Item] = []
    for worker in range(workers):
        # Rounded as the scheduler does it: what is left, shared among the workers that are left.
        share = (len(items) - len(ordered)) // (workers - worker)
        long = [item for group in groups[worker::workers] for item in group]
        rest = max(share - len(long), 0) if worker < workers - 1 else len(others)
        ordered += long + others[:rest]
        others = others[rest:]
    return ordered
