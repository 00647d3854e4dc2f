"""Simulated worlds in the suite: some that are always the same, and a slice of fresh ones whose seed is printed.

They run in a process of their own, because a world replaces what the product asks of the outside.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

#: Worlds that are always the same, and small: seed -> runs. One of waves, and the two seeds that have found something.
FIXED = {15: 24, 9: 20, 5001: 20}

#: For so long fresh worlds are begun, real seconds, one after the other: beside them other tests run. So many runs live
#: in each.
SLICE_S, SLICE_SIZE = 90, 40


def simulate(*arguments: str) -> tuple[dict[str, Any], str]:
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.stdout, done.stderr[-4000:]
    return json.loads(done.stdout), done.stderr


def test_a_world_replays_exactly_and_breaks_nothing() -> None:
    found, said = simulate("--seed", "15", "--size", str(FIXED[15]))
    assert found["failed_seeds"] == [], said
    assert found["replays_alike"], said
    assert found["faults"] > FIXED[15]


@pytest.mark.parametrize("seed", [seed for seed in FIXED if seed != 15])
def test_a_world_that_found_something_is_well(seed: int) -> None:
    found, said = simulate("--once", "--seed", str(seed), "--size", str(FIXED[seed]))
    assert found["failed_seeds"] == [], said
    assert found["faults"] > FIXED[seed]


def test_fresh_worlds_break_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    found, said = simulate("--fresh", "--budget-s", str(SLICE_S), "--size", str(SLICE_SIZE), "--jobs", "1")
    with capfd.disabled():  # whether the test passes or fails, and side by side with others, too
        sys.stderr.write(f"\nsimulated {found['lifecycles']} lifecycles, {said.splitlines()[0]}\n")
    assert found["failed_seeds"] == [], said
    assert found["lifecycles"] >= SLICE_SIZE


def test_most_of_a_world_is_lived_under_fire() -> None:
    found, said = simulate("--once", "--seed", "24", "--seed", "23", "--size", "40")
    assert found["requests_before_heal"] >= 0.6 * found["requests"], said
    assert found["ended_before_heal"] >= 0.6 * found["lifecycles"], said
    assert found["faults_by_family"]["db"] < 0.6 * found["faults"], said
