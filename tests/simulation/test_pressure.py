"""The provider's limit, counted where requests arrive, while everything that can is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys


# So many items that what begins and ends beside a kill weighs little: of 350 a seed's chance decides about the share.
def test_no_minute_at_the_provider_holds_more_than_the_limit_and_hardly_one_holds_less() -> None:
    command = [sys.executable, "-m", "tests.simulation", "--pressure", "--items", "800", "--seed", "5"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["requests"] >= 2 * 795
    assert found["worst"] <= found["limit"] == 100
    assert found["used"] >= 0.95
