"""How a report is wanted, and the report that comes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from orchestrator.domain.report.figures import Figures, ReportHead, ReportKind
from orchestrator.domain.report.totals import control_totals
from orchestrator.domain.report.verdict import verdict
from orchestrator.engine.report_document import Spool
from orchestrator.reports import csv, html, json


class ReportFormat(StrEnum):
    """What a report is printed as."""

    HTML = "html"
    CSV = "csv"
    JSON = "json"


TYPES: Mapping[ReportFormat, str] = {
    ReportFormat.HTML: html.TYPE,
    ReportFormat.CSV: csv.TYPE,
    ReportFormat.JSON: json.TYPE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """How a report is wanted.

    Args:
        csv_list: what a CSV holds: `totals`, or one of the lists (`runs`, `failures`, `doubts`, `acts`, `attempts`,
            `results`, `ticks`; of a run `history`, `attempts`, `launches`, `results`, `questions`). None: `runs`,
            `history`.
        zone: whose days and times are shown.
        sum_input, sum_result: fields whose numbers are summed, of a batch only. Given as many of each, the first of
            one is compared with the first of the other, and so on.
    """

    format: ReportFormat = ReportFormat.HTML
    csv_list: str | None = None
    zone: str = "UTC"
    sum_input: tuple[str, ...] = ()
    sum_result: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report that is finished, and its bytes, which can be read once.

    Args:
        adds_up: every control total holds; of a run: every check does.
        figures: what was counted, None for a run's dossier.
    """

    kind: ReportKind
    format: ReportFormat
    filename: str
    media_type: str
    size_bytes: int
    sha256: str
    made_at: datetime
    adds_up: bool
    headline: str
    figures: Figures | None
    spool: Spool

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the document."""
        return self.spool.chunks()

    def close(self) -> None:
        """Let go of a document that nobody reads."""
        self.spool.close()


def finished(
    options: ReportOptions,
    head: ReportHead,
    spool: Spool,
    *,
    name: str,
    adds_up: bool,
    headline: str,
    figures: Figures | None = None,
) -> Report:
    """Return a report whose document is written whole."""
    return Report(
        kind=head.kind,
        format=options.format,
        filename=f"{name}.{options.format}",
        media_type=TYPES[options.format],
        size_bytes=spool.size_bytes,
        sha256=spool.sha256,
        made_at=head.made_at,
        adds_up=adds_up,
        headline=headline,
        figures=figures,
        spool=spool,
    )


def summary(report: Report) -> dict[str, Any]:
    """Return what a page shows of a report beside the document: its headline, and its control totals one by one."""
    told: dict[str, Any] = {"headline": report.headline, "adds_up": report.adds_up, "made_at": report.made_at}
    if report.figures is None:
        return told | {"state": None, "needs": [], "totals": [], "runs": 1}
    control = control_totals(report.figures)
    line = verdict(report.figures, control)
    totals = [
        {
            "name": total.name,
            "equation": total.equation,
            "left": total.left.value,
            "right": [{"label": term.label, "counted": term.counted, "value": term.value} for term in total.right],
            "adds_up": total.adds_up,
            "verdict": total.verdict,
        }
        for total in control
    ]
    return told | {"state": line.state, "needs": list(line.needs), "totals": totals, "runs": report.figures.runs}
