"""A slice of the campaign, small enough for every run of the suite, with a fresh seed that is printed on failure."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.campaign import fired, resets, wage

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

#: Two launches lost one after the other, by a kill and a reset, have their lane wait for four minutes (ADR 9).
QUIET_WITHIN_S = 330

SHORT = {
    "ORCH_HEARTBEAT_S": "1",
    "ORCH_SWEEP_INTERVAL_S": "1",
    "ORCH_POLL_MIN_INTERVAL_S": "0.2",
    "ORCH_POLL_MAX_INTERVAL_S": "1",
}


async def test_nothing_is_lost_or_done_twice_while_everything_is_killed(tmp_path: Path) -> None:
    said: list[str] = []
    seed = int.from_bytes(os.urandom(3))
    result = await wage(
        tmp_path,
        items=60,
        kills=8,
        seed=seed,
        workers=2,
        pause_s=1.0,
        times=SHORT,
        calm_deaths=0,
        quiet_within_s=QUIET_WITHIN_S,
        say=said.append,
    )
    assert result["complaints"] == [], f"seed {seed}\n{result}\n" + "\n".join(said)
    assert result["runs"] == 60
    assert sum(result["kills"].values()) == 8
    assert sum(result["faults"][name] for name in fired(resets(60))) > 0, result["faults"]
