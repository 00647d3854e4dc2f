"""Counts everything that a report says, inside its snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.report.buckets import DAY_S, MINUTE_S, step_for
from orchestrator.domain.report.figures import Figures, Listing, ReportHead, ReportKind
from orchestrator.domain.report.verdict import FAILURES
from orchestrator.domain.statuses import RunStatus
from orchestrator.storage import report_ledger, report_rows, reports
from orchestrator.storage.report_ledger import Told
from orchestrator.storage.report_rows import Listed
from orchestrator.storage.report_scope import Scope
from orchestrator.storage.reports import Spread

#: Rows of a list that the page shows; the rest is in the CSV.
SHOWN_ROWS = 1_000
#: A month's first results say little, and would be the most of its sheets; a batch's are what was ordered.
SHOWN_OF_PERIOD = {Listed.FAILURES: 200, Listed.RESULTS: 100}


async def count(connection: AsyncConnection, scope: Scope, head: ReportHead) -> Figures:
    """Count a batch or a period. The transaction is a report's."""
    spread = await reports.spread(connection, scope)
    by_status, causes = await reports.statuses(connection, scope)
    told = await report_ledger.told(connection, scope, spread)
    standing = by_status.get(RunStatus.IN_DOUBT, 0)
    doubts = await report_ledger.doubts(connection, scope, told, standing=standing)
    step_s = _step_s(head.kind, spread)
    return Figures(
        head=head,
        runs=spread.runs,
        erased=spread.erased,
        by_status={status: by_status[status] for status in RunStatus if status in by_status},
        intake=await report_ledger.intake(connection, scope, spread, told),
        launches=await report_ledger.launches(connection, scope, spread, told),
        results=await report_ledger.results(connection, scope, told),
        doubts=doubts,
        doubt_groups=await report_ledger.doubt_groups(connection, scope, told),
        passes=await reports.passes(connection, scope),
        retries=_retries(told),
        timings=await reports.timings(connection, scope),
        causes=causes,
        slices=await reports.slices(connection, scope, step_s=step_s, zone=head.zone) if step_s else (),
        step_s=step_s,
        steps_by="by when the runs ended" if head.kind is ReportKind.BATCH else "by when the runs were accepted",
        durations=await reports.durations(connection, scope),
        acts=await report_ledger.acts(connection, scope),
        submitters=told.accepted_by,
        questions=await reports.questions(connection, scope),
        fires=await report_ledger.fires(connection, scope),
        ticks=await report_ledger.ticks(connection, scope),
        parts=await reports.parts(connection, scope) if head.kind is ReportKind.PERIOD else (),
    )


def _step_s(kind: ReportKind, spread: Spread) -> int:
    """Return how finely the time is cut: a batch's by its endings, a period's by days at least."""
    first, last = spread.first_created_at, spread.last_created_at
    if kind is ReportKind.BATCH:
        first, last = spread.first_ended_at, spread.last_ended_at
    if first is None or last is None:
        return 0
    return step_for(_span_s(first, last), least_s=MINUTE_S if kind is ReportKind.BATCH else DAY_S)


def _span_s(first: datetime, last: datetime) -> float:
    return max(0.0, (last - first).total_seconds())


def _retries(told: Told) -> dict[str, int]:
    return {"reopened by a person": told.by_type.get("reopened", 0)}


async def lists(connection: AsyncConnection, scope: Scope, figures: Figures) -> dict[str, Listing]:
    """Return the first rows of the lists that the page shows."""
    totals = {
        Listed.FAILURES: sum(figures.by_status.get(status, 0) for status in FAILURES),
        Listed.RESULTS: figures.results.offered,
    }
    limits = SHOWN_OF_PERIOD if figures.head.kind is ReportKind.PERIOD else {}
    found = {}
    for listed, total in totals.items():
        rows: list[Mapping[str, Any]] = []
        if total:
            read = await report_rows.stream(connection, listed, scope, limit=limits.get(listed, SHOWN_ROWS))
            async for block in read.blocks:
                rows += [dict(zip(read.columns, row, strict=True)) for row in block]
        found[str(listed)] = Listing(rows=rows, total=max(total, len(rows)))
    return found
