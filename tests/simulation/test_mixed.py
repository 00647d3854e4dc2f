"""A slice of the mixed world in the suite: both providers at once, under faults; nothing twice, and no job in doubt.

The whole of it: `python -m tests.simulation.mixed --runs 500 --seed 1`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

RUNS = 20


def test_runs_of_both_providers_come_to_their_end_under_faults_and_no_job_is_in_doubt() -> None:
    command = [sys.executable, "-m", "tests.simulation.mixed", "--runs", str(RUNS), "--seed", "16"]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout, done.stderr[-4000:]
    found = json.loads(done.stdout)
    assert (found["is_well"], found["broken"]) == (True, []), found
    assert (found["duplicates"], found["doubts"]["scripe"]) == (0, 0)
    assert found["job_launches_reset_after_acceptance"] >= 1 and found["faults"] >= RUNS / 2, found
