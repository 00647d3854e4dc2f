"""Writes a report's document: its lists while the snapshot is open, all else when every figure is known."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.report.figures import Figures, Listing
from orchestrator.domain.report.totals import control_totals
from orchestrator.engine.report_document import Spool
from orchestrator.engine.report_order import ReportFormat, ReportOptions
from orchestrator.errors import BadInput
from orchestrator.reports import csv, html, json
from orchestrator.storage import report_rows
from orchestrator.storage.report_rows import Listed
from orchestrator.storage.report_scope import Scope

#: The list of a CSV that holds the figures themselves.
TOTALS = "totals"


def listed_in(options: ReportOptions) -> Sequence[Listed]:
    """Return the lists that the document holds whole."""
    match options.format:
        case ReportFormat.HTML:
            return ()
        case ReportFormat.JSON:
            return tuple(listed for listed in Listed if listed is not Listed.FAILURES)
        case ReportFormat.CSV:
            name = options.csv_list or Listed.RUNS
            if name == TOTALS:
                return ()
            if name not in set(Listed):
                known = ", ".join([TOTALS, *Listed])
                raise BadInput(f"a CSV holds one of {known}; not {name!r}", code="field.value")
            return (Listed(name),)


async def write_lists(
    connection: AsyncConnection, scope: Scope, format: ReportFormat, listed: Sequence[Listed], spool: Spool
) -> None:
    """Write the lists as they are read; a thread spells them, so that the process answers others meanwhile."""
    for place, name in enumerate(listed):
        read = await report_rows.stream(connection, name, scope)
        if format is ReportFormat.CSV:
            await spool.write(csv.lines([read.columns]))
        else:
            await spool.write(json.list_opening(name, is_first=place == 0))
        is_first = True
        async for block in read.blocks:
            if format is ReportFormat.CSV:
                await spool.write(await asyncio.to_thread(csv.lines, block))
            else:
                await spool.write(await asyncio.to_thread(json.items, read.columns, block, is_first=is_first))
                is_first = False
        if format is ReportFormat.JSON:
            await spool.write(json.LIST_END)


async def written(
    figures: Figures, lists: Mapping[str, Listing], options: ReportOptions, listed: Sequence[Listed], rows: Spool
) -> Spool:
    """Return the whole document."""
    if options.format is ReportFormat.CSV and listed:
        return rows
    control = control_totals(figures)
    spool = Spool()
    match options.format:
        case ReportFormat.HTML:
            await spool.write(await asyncio.to_thread(html.page, figures, control, lists))
        case ReportFormat.CSV:
            await spool.write(csv.totals(figures, control))
        case ReportFormat.JSON:
            # The sums are known last and stand first.
            await spool.write(json.opening(figures, control))
            async for block in rows.chunks():
                await spool.write(block)
            await spool.write(json.END)
    rows.close()
    return spool
