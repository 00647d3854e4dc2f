"""Compare every expression in every zone with the oracle: `python -m tests.calendar.full [FIRST_YEAR]`.

Several minutes of one core, so the suite runs a part of it each day (`test_oracle.py`).
"""

from __future__ import annotations

import sys
from datetime import date

from tests.calendar.grid import EXPRESSIONS, ZONES, difference

DEFAULT_YEAR = 2024


def main() -> int:
    """Print what differs, then how many pairs were compared; the exit code is 1 when anything does."""
    first = date(int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_YEAR, 1, 1)
    found = [
        said for zone in ZONES for expression in EXPRESSIONS if (said := difference(expression, zone, first=first))
    ]
    print("\n".join([*found, f"{len(ZONES) * len(EXPRESSIONS)} pairs from {first}, {len(found)} differ"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
