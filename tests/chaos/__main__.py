"""`python -m tests.chaos --items 2000 --kills 200 --seed 1`: prints its progress, and last a line of JSON.

Exit code 8: a promise was broken; `complaints` says which.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

from tests.chaos.campaign import wage

VERIFICATION_FAILED = 8


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.partition("\n")[0])
    parser.add_argument("--items", type=int, default=2_000, help="runs to submit, singly and in batches")
    parser.add_argument("--kills", type=int, default=200, help="kill -9 of workers, the API and Postgres")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--pause-s", type=float, default=3.0, help="between two kills, on average")
    parser.add_argument("--calm-deaths", type=int, default=20, help="workers that die afterwards, to measure recovery")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    parser.add_argument("--keep", type=Path, help="a folder for everything, logs too, that stays")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        result = asyncio.run(
            wage(
                given.keep or Path(temporary),
                items=given.items,
                kills=given.kills,
                seed=given.seed,
                workers=given.workers,
                pause_s=given.pause_s,
                calm_deaths=given.calm_deaths,
                say=lambda line: print(line, flush=True),
            )
        )
    print(json.dumps(result))
    return VERIFICATION_FAILED if result["complaints"] else 0


if __name__ == "__main__":
    sys.exit(main())
