"""The provider's limit, counted where requests arrive, while everything that can is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys


# The share is judged once the beginning is over, when it hardly depends on the seed: of one long world three minutes
# each came to 96.1 to 96.5 % from then on, and to 94.5 to 96 % before. The beginning is judged by itself.
def test_no_minute_at_the_provider_holds_more_than_the_limit_and_hardly_one_holds_less() -> None:
    command = [sys.executable, "-m", "tests.simulation", "--pressure", "--items", "400", "--seed", "5"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["requests"] >= 2 * 395
    assert found["worst"] <= found["limit"] == 100
    assert found["judged_s"] >= 120
    assert found["used"] >= 0.95
    assert found["used_before"] >= 0.90
