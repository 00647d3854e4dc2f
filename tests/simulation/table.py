"""`python -m tests.simulation.table HITS.json`: write the table fault × boundary of a campaign into docs/guarantees.md.

The hits come from `python -m tests.simulation … --table HITS.json`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.simulation.campaign import cells

PAGE = Path(__file__).parents[2] / "docs" / "guarantees.md"
BEGIN = "<!-- hits: begin -->"
END = "<!-- hits: end -->"


def main(path: str) -> int:
    """Write the table; return 8 when a cell is empty."""
    hits: dict[str, int] = json.loads(Path(path).read_text())
    page = PAGE.read_text()
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n{table(hits)}{END}{tail}")
    empty = [f"{boundary}|{name}" for boundary, name in cells() if not hits.get(f"{boundary}|{name}")]
    sys.stderr.write(f"{len(cells())} cells, {len(empty)} empty {empty or ''}\n")
    return 8 if empty else 0


def table(hits: Mapping[str, int]) -> str:
    """Return a row for each boundary, with each of its faults and how often it struck."""
    rows: dict[str, list[str]] = {}
    for boundary, name in cells():
        rows.setdefault(boundary, []).append(f"{name} {hits.get(f'{boundary}|{name}', 0)}")
    lines = [f"| `{boundary}` | {', '.join(faults)} |" for boundary, faults in rows.items()]
    return "\n".join(["| Boundary | Faults, and how often each struck |", "|---|---|", *lines]) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
