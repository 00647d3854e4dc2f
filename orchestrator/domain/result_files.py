"""Where a batch's result files lie once they leave us, and the table over all of them: the same in a folder and a ZIP.

Shape: runs are views, as the API shows them; `<index>-<run id>/<safe filename>` and `results.csv` in input order.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.domain.filenames import safe_name

Run = Mapping[str, Any]

TABLE = "results.csv"
#: How a spreadsheet begins a formula; an apostrophe before it makes it text again.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
HEADER = (
    *("index", "run_id", "external_id", "status", "error_code", "error_message"),
    *("execution_id", "files", "sha256", "size_bytes", "paths"),
)


def folder_name(run: Run) -> str:
    """Return the name of a run's folder: its index in the batch leads, a single run has none."""
    return str(run["id"]) if run.get("index") is None else f"{run['index']}-{run['id']}"


def named(run: Run) -> list[tuple[Mapping[str, Any], str]]:
    """Return each stored result of a run with its name in the run's folder: safe, and no two alike."""
    taken: set[str] = set()
    found = []
    for number, result in enumerate(run.get("results") or ()):
        n = int(result.get("n", number))
        found.append((result, safe_name(str(result["filename"]), f"result-{n}", taken=taken)))
    return found


def row(run: Run, paths: Sequence[str]) -> list[str]:
    """Return a run's row of the table.

    Args:
        paths: where its files lie, below the table's folder.
    """
    error = run.get("error") or {}
    offered = run.get("results") or []
    is_erased = bool(run.get("erased_at"))
    values = [run.get("index"), run["id"], run.get("external_id"), run["status"]]
    values += [error.get("code"), error.get("message"), run.get("execution_id"), 0 if is_erased else len(offered)]
    values += [_joined(result["sha256"] for result in offered), _joined(result["size_bytes"] for result in offered)]
    values += ["erased" if is_erased else _joined(paths)]
    return [guarded(value) for value in values]


def guarded(value: object) -> str:
    """Return a value as the text of a cell that no spreadsheet runs as a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def line(cells: Iterable[str], *, delimiter: str = ",", end: str = "\n") -> str:
    """Return cells as one record of CSV."""
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=delimiter, lineterminator=end).writerow(cells)
    return written.getvalue()


def _joined(values: Iterable[Any]) -> str:
    """Put several values into one cell, as one line of CSV of their own: filenames may hold any separator."""
    one = line(map(str, values), delimiter=";", end="")
    return one if one != '""' else ""
