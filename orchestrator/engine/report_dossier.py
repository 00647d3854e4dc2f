"""Puts a run's dossier together and has it printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.domain.report.dossier import Dossier, checks
from orchestrator.domain.report.figures import ReportHead
from orchestrator.errors import BadInput
from orchestrator.reports import csv, html_run, json
from orchestrator.storage.report_run import RunRecord

#: What a dossier's CSV may hold.
LISTS = ("history", "attempts", "launches", "results", "questions")

_HISTORY = ("seq", "at", "type", "actor", "data", "hash")


def dossier(record: RunRecord, head: ReportHead) -> Dossier:
    """Return what was read as a dossier."""
    return Dossier(
        head=head,
        run=record.run,
        history=record.history,
        stream_head=record.stream_head,
        attempts=record.attempts,
        launches=record.launches,
        results=record.results,
        questions=record.questions,
        input=record.input,
        truncated=record.is_cut,
    )


def printed(found: Dossier, format: str, csv_list: str | None) -> bytes:
    """Return the dossier's document."""
    match format:
        case "html":
            return html_run.page(found)
        case "json":
            return json.dossier(found)
        case _:
            return csv.lines(_rows(found, csv_list or "history"))


def judged(found: Dossier) -> tuple[bool, str]:
    """Return whether every check holds, and the dossier's headline."""
    broken = [check for check in checks(found) if not check.holds]
    status = found.run["status"]
    if not broken:
        return True, f"{status}; its history verifies"
    return False, f"{status}; " + "; ".join(f"{check.name}: {check.says}" for check in broken)


def _rows(found: Dossier, name: str) -> list[Sequence[Any]]:
    if name not in LISTS:
        raise BadInput(f"a run's CSV holds one of {', '.join(LISTS)}; not {name!r}", code="field.value")
    if name == "history":
        return [_HISTORY, *([getattr(event, field) for field in _HISTORY] for event in found.history)]
    rows: Sequence[Any] = getattr(found, name)
    return [tuple(rows[0]), *(tuple(row.values()) for row in rows)] if rows else []
