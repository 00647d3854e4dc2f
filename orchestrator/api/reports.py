"""Routes of reports: of a batch, of a period, of one run. Each one that is made is an event with its SHA-256."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from orchestrator.api.auth import Call, Reading
from orchestrator.api.openapi import described, parameter
from orchestrator.api.queries import Query
from orchestrator.api.schema_words import DAY_OR_TIME
from orchestrator.engine import report
from orchestrator.engine.report_order import Report, ReportFormat, ReportOptions
from orchestrator.errors import BadInput, Problem

router = APIRouter(tags=["reports"])

_OPTIONS = (
    parameter("format", {"type": "string", "enum": ["html", "csv", "json"], "default": "html"}, "of the report"),
    parameter("list", "string", "what a CSV holds: totals, runs, failures, doubts, acts, attempts, results, ticks, …"),
    parameter("tz", "string", "whose days and times are shown; UTC by default"),
)
_SUMS = (
    parameter("sum_input", "string", "fields of the inputs that are summed, a comma list"),
    parameter("sum_result", "string", "fields of the results that are summed and compared, a comma list"),
)
_PERIOD = (
    parameter("from", DAY_OR_TIME, "accepted at or after; a date is in tz", required=True),
    parameter("to", DAY_OR_TIME, "accepted before; a date is in tz", required=True),
    parameter("workflow", "string", "the provider's id of the workflow"),
)
_NAMES = ("format", "list", "tz")


@router.get("/batches/{batch_id:uuid}/report", **described("report", parameters=(*_OPTIONS, *_SUMS)))
async def report_batch(batch_id: UUID, call: Reading) -> Response:
    """Report on a batch: control totals, outcomes, timing, doubts, who did what."""
    query = Query(call.request.query_params, (*_NAMES, "sum_input", "sum_result"))
    options = options_of(query, sum_input=_list(query, "sum_input"), sum_result=_list(query, "sum_result"))
    made = await report.batch_report(call.deps, call.who, batch_id, options)
    return await sent(call, made, batch=str(batch_id))


@router.get("/reports/period", **described("report", parameters=(*_PERIOD, *_OPTIONS)))
async def report_period(call: Reading) -> Response:
    """Report on what was accepted in a period."""
    query = Query(call.request.query_params, ("from", "to", "workflow", *_NAMES))
    options = options_of(query)
    # The first of a month begins where the report's days begin, not in Greenwich.
    zone = report.zone_named(options.zone)
    since, until = query.moment("from", zone), query.moment("to", zone)
    if since is None or until is None:
        missing = Problem(message="is needed", code="field.missing", field="from" if since is None else "to")
        raise BadInput("a period needs from and to", code="field.missing", problems=[missing])
    workflow = query.text("workflow")
    made = await report.period_report(call.deps, call.who, since=since, until=until, workflow=workflow, options=options)
    return await sent(call, made, since=since.isoformat(), until=until.isoformat(), workflow=workflow)


@router.get("/runs/{run_id:uuid}/report", **described("report", parameters=_OPTIONS))
async def report_run(run_id: UUID, call: Reading) -> Response:
    """Report everything about one run, and whether its history proves itself."""
    query = Query(call.request.query_params, _NAMES)
    made = await report.run_dossier(call.deps, call.who, run_id, options_of(query))
    return await sent(call, made, run=str(run_id))


def options_of(query: Query, **sums: tuple[str, ...]) -> ReportOptions:
    """Return how a query wants its report.

    Raises:
        BadInput: it is no format.
    """
    asked = query.text("format") or ReportFormat.HTML
    if asked not in set(ReportFormat):
        raise BadInput(f"a report is {', '.join(ReportFormat)}, not {asked!r}", code="field.value")
    return ReportOptions(
        format=ReportFormat(asked), csv_list=query.text("list"), zone=query.text("tz") or "UTC", **sums
    )


def _list(query: Query, name: str) -> tuple[str, ...]:
    return tuple(word for word in (query.text(name) or "").split(",") if word)


async def sent(call: Call, made: Report, **about: Any) -> Response:
    """Write down that the report was made, and send it."""
    try:
        await report.note_made(call.deps, call.who, made, **about)
    except BaseException:
        made.close()
        raise
    return StreamingResponse(
        made.chunks(),
        media_type=made.media_type,
        headers={
            "Content-Length": str(made.size_bytes),
            "Content-Disposition": f'inline; filename="{made.filename}"',
            # The page has its styles within, and nothing that runs.
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
            "ETag": f'"{made.sha256}"',
            "X-Adds-Up": "yes" if made.adds_up else "no",
        },
    )
