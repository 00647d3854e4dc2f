"""Makes reports: of a batch, of a period, of one run. Each is counted in one snapshot, and sent when that is closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.report.figures import Figures, Listing, ReportHead, ReportKind
from orchestrator.domain.report.totals import add_up, control_totals
from orchestrator.domain.report.verdict import verdict
from orchestrator.engine import report_amounts, report_dossier, report_figures, retired_reads
from orchestrator.engine.deps import Deps
from orchestrator.engine.report_document import Spool
from orchestrator.engine.report_order import Report, ReportFormat, ReportOptions, finished
from orchestrator.engine.report_print import listed_in, write_lists, written
from orchestrator.engine.who import Who
from orchestrator.errors import BadInput, NotFound, Unavailable
from orchestrator.reports.words import clock, zone_of
from orchestrator.storage import events, report_run, reports
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.report_rows import SummedFile
from orchestrator.storage.report_scope import Scope

#: Reads what the report is about, inside its snapshot.
HeadOf = Callable[[AsyncConnection, datetime], Awaitable[ReportHead]]

#: A report is made within so long, seconds: its snapshot keeps vacuum from cleaning behind it meanwhile.
WITHIN_S = 600.0


async def batch_report(deps: Deps, who: Who, batch_id: UUID, options: ReportOptions) -> Report:
    """Report on a batch.

    Raises:
        NotFound: there is no such batch.
        BadInput: an option makes no sense. TooLarge: sums over too many files.
        Unavailable: enough reports are being made, or the database is away or too slow.
    """
    scope = Scope(workspace=who.workspace_id, batch=batch_id)

    async def head(connection: AsyncConnection, made_at: datetime) -> ReportHead:
        row = await reports.batch(connection, scope)
        if row is None:
            raise NotFound(f"there is no batch {batch_id}", code="batch_not_found", hint="orchestrator batch list")
        return ReportHead(
            kind=ReportKind.BATCH,
            subject=row["name"] or f"Batch {batch_id}",
            workspace=await reports.workspace_name(connection, who.workspace_id),
            made_at=made_at,
            made_by=who.actor,
            zone=options.zone,
            facts=_batch_facts(batch_id, row, options.zone),
        )

    return await _make(deps, scope, options, head, name=f"batch-{batch_id}")


async def period_report(
    deps: Deps,
    who: Who,
    *,
    since: datetime,
    until: datetime,
    workflow: str | None = None,
    options: ReportOptions,
) -> Report:
    """Report on the runs that were accepted in [since, until), perhaps of one workflow.

    Args:
        since, until: aware times.
        workflow: the provider's id of it.
    """
    if since.tzinfo is None or until.tzinfo is None or since >= until:
        raise BadInput("a period begins before it ends, and both have a zone", code="field.value")
    if options.sum_input or options.sum_result:
        raise BadInput("fields are summed over a batch, not over a period", code="field.value")
    scope = Scope(workspace=who.workspace_id, since=since, until=until, workflow=workflow)

    async def head(connection: AsyncConnection, made_at: datetime) -> ReportHead:
        subject = "All workflows"
        if workflow is not None:
            found = await reports.workflow_name(connection, who.workspace_id, workflow)
            if found is None:
                raise NotFound(f"there is no workflow {workflow}", code="workflow_not_found")
            subject = f"{found} ({workflow})" if found != workflow else workflow
        return ReportHead(
            kind=ReportKind.PERIOD,
            subject=subject,
            workspace=await reports.workspace_name(connection, who.workspace_id),
            made_at=made_at,
            made_by=who.actor,
            zone=options.zone,
            since=since,
            until=until,
            facts={"still open": "yes, the period has not ended"} if until > made_at else {},
        )

    first, end = (moment.astimezone(zone_named(options.zone)) for moment in (since, until))
    return await _make(deps, scope, options, head, name=f"period-{first:%Y%m%d}-{end:%Y%m%d}")


async def run_dossier(deps: Deps, who: Who, run_id: UUID, options: ReportOptions) -> Report:
    """Report everything about one run, and whether its history verifies."""
    _check(options)
    async with _snapshot(deps) as (connection, made_at):
        record = await report_run.read(connection, who.workspace_id, run_id)
        if record is None:
            raise NotFound(f"there is no run {run_id}", code="run_not_found", hint="orchestrator run list")
        await retired_reads.refuse_stream(connection, who.workspace_id, run_id, what="a dossier of this run")
        workspace = await reports.workspace_name(connection, who.workspace_id)
    head = ReportHead(
        kind=ReportKind.RUN,
        subject=_subject(run_id, record.run),
        workspace=workspace,
        made_at=made_at,
        made_by=who.actor,
        zone=options.zone,
    )
    found = report_dossier.dossier(record, head)
    spool = Spool()
    await spool.write(await asyncio.to_thread(report_dossier.printed, found, options.format, options.csv_list))
    holds, headline = report_dossier.judged(found)
    return finished(options, head, spool, name=f"run-{run_id}", adds_up=holds, headline=headline)


async def note_made(deps: Deps, who: Who, made: Report, **about: object) -> None:
    """Write into the workspace's history who made which report, and the hash of what they were given."""
    facts = {"kind": made.kind, "format": made.format, "sha256": made.sha256, "adds_up": made.adds_up, **about}

    async def note(connection: AsyncConnection) -> None:
        told = who.tells("report_made", **facts)
        await events.append_to_workspace(connection, who.workspace_id, [told], at=await transaction_now(connection))

    await deps.db.run(note)


@asynccontextmanager
async def _snapshot(deps: Deps) -> AsyncIterator[tuple[AsyncConnection, datetime]]:
    """Open a report's transaction, for a bounded time."""
    try:
        async with asyncio.timeout(WITHIN_S), deps.db.transaction() as connection:
            yield connection, await reports.begin(connection)
    except TimeoutError as error:
        raise Unavailable(
            f"the report was not made within {WITHIN_S:.0f} s", code="report_too_slow", hint="ask for a shorter period"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted:
    """What was read in the snapshot."""

    figures: Figures
    lists: Mapping[str, Listing]
    files: Sequence[SummedFile]


async def _make(deps: Deps, scope: Scope, options: ReportOptions, head: HeadOf, *, name: str) -> Report:
    _check(options)
    listed = listed_in(options)
    rows = Spool()
    try:
        async with _snapshot(deps) as (connection, made_at):
            named = await head(connection, made_at)
            await retired_reads.refuse_scope(connection, scope)
            counted = await _count(connection, scope, options, named)
            await write_lists(connection, scope, options.format, listed, rows)
        sums = await report_amounts.of_results(deps.store, counted.files, options.sum_result)
        figures = replace(counted.figures, result_sums=sums)
        spool = await written(figures, counted.lists, options, listed, rows)
    except BaseException:
        rows.close()
        raise
    control = control_totals(figures)
    headline = verdict(figures, control).headline
    return finished(
        options, figures.head, spool, name=name, adds_up=add_up(control), headline=headline, figures=figures
    )


async def _count(connection: AsyncConnection, scope: Scope, options: ReportOptions, head: ReportHead) -> _Counted:
    figures = await report_figures.count(connection, scope, head)
    figures = replace(figures, input_sums=await report_amounts.of_inputs(connection, scope, options.sum_input))
    is_page = options.format is ReportFormat.HTML
    return _Counted(
        figures=figures,
        lists=await report_figures.lists(connection, scope, figures) if is_page else {},
        files=await report_amounts.files_of(connection, scope, options.sum_result),
    )


def zone_named(name: str) -> tzinfo:
    """Return a time zone.

    Raises:
        BadInput: none has that name.
    """
    if name not in available_timezones():
        raise BadInput(f"no time zone is named {name!r}", code="field.value", hint="such as Europe/Berlin")
    return zone_of(name)


def _check(options: ReportOptions) -> None:
    zone_named(options.zone)
    report_amounts.check(options.sum_input, option="sum_input")
    report_amounts.check(options.sum_result, option="sum_result")


def _subject(run_id: UUID, run: Mapping[str, Any]) -> str:
    if run["erased_at"] is not None:
        return f"Run {run_id}, whose content was erased"
    return run["external_id"] or f"Run {run_id}"


def _batch_facts(batch_id: UUID, row: Mapping[str, Any], zone: str) -> dict[str, str]:
    def at(moment: datetime | None) -> str | None:
        return clock(moment, zone) or None

    facts = {
        "batch": str(batch_id),
        "external id": row["external_id"],
        "workflow": f"{row['workflow_name']} ({row['workflow']})",
        "connection": row["connection"],
        "submitted": f"{at(row['created_at'])} by {row['created_by']}",
        "ended": at(row["ended_at"]) or "not yet",
        "cancelled": at(row["cancelled_at"]),
        "erased": at(row["erased_at"]),
        "paused": row["paused_because"],
        "concurrency": row["concurrency"],
        "file": f"{row['source_format']}, SHA-256 {row['source_sha256']}",
    }
    return {label: value for label, value in facts.items() if value is not None}
