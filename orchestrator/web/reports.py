"""Reports: asked for, counted while one waits, opened and saved; and whether a file is one that was made here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter
from starlette.datastructures import QueryParams
from starlette.responses import Response

from orchestrator.api import reports as api
from orchestrator.api.queries import Query
from orchestrator.engine import audit_look, report
from orchestrator.engine.report_order import Report, ReportFormat, ReportOptions, summary
from orchestrator.errors import BadInput, OrchestratorError, Problem
from orchestrator.web.rendering import HEADERS, HTML, now, page, render
from orchestrator.web.visits import Reading

PATH = "/reports"
MADE_LATELY = 10
_NAMES = ("kind", "batch", "run", "from", "to", "workflow", "tz", "sum_input", "sum_result")

#: What a CSV of each kind holds, by the page's links.
LISTS: Mapping[str, tuple[str, ...]] = {
    "batch": ("totals", "runs", "failures", "doubts", "acts", "attempts", "results"),
    "period": ("totals", "runs", "failures", "doubts", "acts", "attempts", "results", "ticks"),
    "run": ("history", "attempts", "launches", "results", "questions"),
}

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which report is wanted, and the query that asks for it again."""

    kind: str
    subject: UUID | None
    zone: str
    spelled: str
    since: datetime | None = None
    until: datetime | None = None
    workflow: str | None = None
    sums: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def about(self) -> dict[str, Any]:
        """What the history keeps of what was asked."""
        if self.kind != "period":
            return {self.kind: str(self.subject)}
        assert self.since is not None and self.until is not None, "a period has both"
        return {"since": self.since.isoformat(), "until": self.until.isoformat(), "workflow": self.workflow}


@router.get(PATH)
async def ask(visit: Reading) -> Response:
    """Show what can be asked for, what was made lately, and whether a hash is one of those."""
    query = Query(_filled(visit.request.query_params), ("sha256",))
    wanted = query.text("sha256")
    made, _ = await audit_look.list_events(
        visit.deps, visit.who, before=None, limit=MADE_LATELY, types=("report_made",)
    )
    return await page(
        visit,
        "reports.html",
        title="Reports",
        room="reports",
        made=made,
        periods=_periods(now(visit)),
        verified=None if wanted is None else await audit_look.find_report(visit.deps, visit.who, wanted),
        wanted=wanted,
    )


@router.get(PATH + "/one")
async def show(visit: Reading) -> Response:
    """Show one report's place: its totals, which are counted while the page stands, and its files."""
    asked = _asked(Query(_filled(visit.request.query_params), _NAMES))
    return await page(
        visit,
        "report.html",
        title={"batch": "Report on a batch", "period": "Report on a period", "run": "Dossier of a run"}[asked.kind],
        room="reports",
        order=asked,
        lists=LISTS[asked.kind],
    )


@router.get(PATH + "/totals")
async def count(visit: Reading) -> Response:
    """Count the totals of a report: asked for by its page."""
    asked = _asked(Query(_filled(visit.request.query_params), _NAMES))
    csv_list = "history" if asked.kind == "run" else "totals"
    found, error = None, None
    try:
        made = await _make(visit, asked, ReportFormat.CSV, csv_list)
    except OrchestratorError as refused:
        error = refused  # it is told in its place: the rest of the page stands already
    else:
        made.close()
        found = summary(made)
    text = render(
        visit.request,
        "report_totals.html",
        title="Totals",
        room="reports",
        now=now(visit),
        who=visit.who,
        found=found,
        error=error,
    )
    return Response(text.encode(), media_type=HTML, headers=dict(HEADERS))


@router.get(PATH + "/file")
async def give(visit: Reading) -> Response:
    """Make the report and send it, as the API does: that it was made, and its hash, is an event."""
    query = Query(_filled(visit.request.query_params), (*_NAMES, "format", "list"))
    asked, options = _asked(query), api.options_of(query)
    made = await _make(visit, asked, options.format, options.csv_list)
    answer = await api.sent(visit, made, **asked.about)
    if options.format is not ReportFormat.HTML:
        answer.headers["Content-Disposition"] = f'attachment; filename="{made.filename}"'
    return answer


async def _make(visit: Reading, asked: Asked, format: ReportFormat, csv_list: str | None) -> Report:
    options = ReportOptions(format=format, csv_list=csv_list, zone=asked.zone, **asked.sums)
    if asked.kind == "period":
        assert asked.since is not None and asked.until is not None, "a period has both"
        return await report.period_report(
            visit.deps, visit.who, since=asked.since, until=asked.until, workflow=asked.workflow, options=options
        )
    assert asked.subject is not None, "it was checked"
    if asked.kind == "batch":
        return await report.batch_report(visit.deps, visit.who, asked.subject, options)
    return await report.run_dossier(visit.deps, visit.who, asked.subject, options)


def _filled(params: QueryParams) -> QueryParams:
    """Return what was filled in: a browser sends empty fields too."""
    return QueryParams([(name, value) for name, value in params.multi_items() if value.strip()])


def _asked(query: Query) -> Asked:
    kind = query.needed("kind")
    if kind not in LISTS:
        raise _wrong("kind", f"is one of {', '.join(LISTS)}")
    zone = query.text("tz") or "UTC"
    where = report.zone_named(zone)
    spelled = [(name, value) for name in _NAMES if (value := query.text(name)) is not None]
    told: dict[str, Any] = {"kind": kind, "zone": zone, "spelled": urlencode(spelled)}
    if kind != "period":
        subject = query.id(kind)
        if subject is None:
            raise _wrong(kind, "is needed: the id of the " + kind)
        sums = {name: query.words(name) for name in ("sum_input", "sum_result")} if kind == "batch" else {}
        return Asked(**told, subject=subject, sums=sums)
    since, until = query.moment("from", where), query.moment("to", where)
    if since is None or until is None:
        raise _wrong("from" if since is None else "to", "is needed: a day, or a time with its zone")
    if since >= until:
        raise _wrong("to", "is later than from")
    return Asked(**told, subject=None, since=since, until=until, workflow=query.text("workflow"))


def _periods(now: datetime) -> list[tuple[str, str]]:
    """Return periods that are often asked for, each with its query. A day begins and ends in UTC."""
    today = now.date()
    first = today.replace(day=1)
    before = (first - timedelta(days=1)).replace(day=1)
    named = {
        "Today": (today, today + timedelta(days=1)),
        "Yesterday": (today - timedelta(days=1), today),
        "Last 7 days": (today - timedelta(days=6), today + timedelta(days=1)),
        "This month": (first, today + timedelta(days=1)),
        f"{before:%B}": (before, first),
    }
    return [(word, urlencode({"kind": "period", "from": a, "to": b, "tz": "UTC"})) for word, (a, b) in named.items()]


def _wrong(name: str, message: str) -> BadInput:
    return BadInput(f"{name} {message}", problems=(Problem(message=message, code="field.value", field=name),))
