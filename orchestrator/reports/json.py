"""JSON for programs: the figures, the totals with both sides, and the lists behind them, written as they are read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from orchestrator.domain.report.buckets import histogram
from orchestrator.domain.report.definitions import DEFINITIONS
from orchestrator.domain.report.dossier import Dossier, checks, facts
from orchestrator.domain.report.figures import Figures
from orchestrator.domain.report.totals import ControlTotal, add_up
from orchestrator.domain.report.verdict import verdict
from orchestrator.reports.words import instant, plain

TYPE = "application/json"

FORMAT = "orchestrator.report/1"


def _dumped(value: Any) -> str:
    # Half a surrogate pair cannot be written as UTF-8; an escape can.
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", errors="backslashreplace").decode()


def opening(figures: Figures, control: tuple[ControlTotal, ...]) -> bytes:
    """Return the document up to where its lists begin."""
    said = verdict(figures, control)
    counted = plain(figures)
    counted["durations"] = [{"under_s": bound, "runs": runs} for bound, runs in histogram(figures.durations)]
    document = {
        "format": FORMAT,
        "head": counted.pop("head"),
        "headline": said.headline,
        "state": said.state,
        "needs_a_person": list(said.needs),
        "adds_up": add_up(control),
        "control_totals": [_total(total) for total in control],
        "figures": counted,
        "definitions": dict(DEFINITIONS),
    }
    return (_dumped(document)[:-1] + ', "lists": {').encode()


def list_opening(name: str, *, is_first: bool) -> bytes:
    """Return the begin of one list."""
    return ("" if is_first else ",").encode() + f"\n{_dumped(name)}: [".encode()


def items(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, is_first: bool) -> bytes:
    """Return rows of a list, each an object on a line of its own."""
    told = [_dumped({name: plain(value) for name, value in zip(columns, row, strict=True)}) for row in rows]
    return (("\n" if is_first else ",\n") + ",\n".join(told)).encode() if told else b""


LIST_END = b"]"
END = b"\n}}\n"


def dossier(found: Dossier) -> bytes:
    """Return a run's dossier."""
    document = {
        "format": FORMAT,
        "head": plain(found.head),
        "run": plain(found.run),
        "checks": plain(checks(found)),
        "attempts": plain(found.attempts),
        "launches": plain(found.launches),
        "results": plain(found.results),
        "questions": plain(found.questions),
        "history": [
            {
                "seq": event.seq,
                "at": instant(event.at),
                "type": event.type,
                "actor": event.actor,
                "data": facts(event),
                "hash": event.hash.hex(),
            }
            for event in found.history
        ],
        "history_is_cut": found.truncated,
    }
    return (_dumped(document) + "\n").encode()


def _total(total: ControlTotal) -> dict[str, Any]:
    return {
        "name": total.name,
        "equation": total.equation,
        "left": {"label": total.left.label, "value": plain(total.left.value)},
        "right": [{"label": term.label, "value": plain(term.value)} for term in total.right],
        "difference": plain(total.difference),
        "adds_up": total.adds_up,
        "verdict": total.verdict,
    }
