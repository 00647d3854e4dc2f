"""The CSV by which a wave's executions are adopted: `index,execution_id`, by the run's index in its batch. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.errors import BadInput, Problem

HEADER = ("index", "execution_id")
MAX_INDEX_DIGITS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptFile:
    """What a file says, and where: the server knows indexes, people know rows."""

    execution_ids: dict[int, str]
    places: dict[int, tuple[int, int]]


def read(content: bytes, name: str, *, skips_empty: bool = False) -> AdoptFile:
    """Read the file.

    Args:
        name: how it is called in messages.
        skips_empty: a row without an execution names none, and is no fault: a form that was filled in by half.

    Raises:
        BadInput: with every row that is not that.
    """
    ids: dict[int, str] = {}
    places: dict[int, tuple[int, int]] = {}
    problems: list[Problem] = []
    for row, line, cells in _rows(content, name):
        text, id_ = (cells.get("index") or "").strip(), (cells.get("execution_id") or "").strip()
        if not id_ and skips_empty:
            continue
        fault = _index_fault(text, ids)
        if fault is not None:
            problems.append(Problem(message=fault, code="field.value", row=row, line=line, field="index"))
        if not id_:
            problems.append(Problem(message="is empty", code="field.value", row=row, line=line, field="execution_id"))
        if fault is None:
            ids[int(text)], places[int(text)] = id_, (row, line)
    if problems or not ids:
        first = str(problems[0]) if problems else "it names no execution"
        raise BadInput(f"{name}: {first}", code="adopt_file", problems=problems)
    return AdoptFile(execution_ids=ids, places=places)


def _rows(content: bytes, name: str) -> Iterator[tuple[int, int, dict[str, str | None]]]:
    """Yield each data row with its number and its line in the file; blank lines are none."""
    try:
        found = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        missing = [name for name in HEADER if name not in (found.fieldnames or ())]
        if missing:
            raise BadInput(f"{name}: its header is {','.join(HEADER)}; missing: {', '.join(missing)}")
        for number, cells in enumerate(found, start=1):
            yield number, found.line_num, cells
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{name}: not a CSV file in UTF-8 ({error})") from None


def _index_fault(text: str, known: dict[int, str]) -> str | None:
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_INDEX_DIGITS):
        return f"{text!r} is no run's index: a whole number from 0"
    return f"{int(text)} stands above already" if int(text) in known else None
