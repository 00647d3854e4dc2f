"""One act for many runs: those that were ticked, or all that the list's filter names. First a preview, then a POST."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.datastructures import QueryParams
from starlette.responses import Response

from orchestrator.domain.bulk import BULK_RESOLUTIONS, BulkVerb, Intention
from orchestrator.domain.operator_decisions import Resolution
from orchestrator.engine import operations
from orchestrator.engine.operations import OperationSpec
from orchestrator.errors import BadInput, Problem
from orchestrator.web import forms, run_filters
from orchestrator.web.rendering import page
from orchestrator.web.visits import Operating
from orchestrator.web.wording import number

MAX_TICKED = 200
MAX_QUERY_CHARS = 4_000

router = APIRouter(include_in_schema=False)


@router.post("/runs/bulk")
async def preview(visit: Operating) -> Response:
    """Show what an act would take, and what not and why. Nothing is done yet."""
    form = await forms.read(visit.request)
    spec = _spec(form)
    found = await operations.preview_operation(visit.deps, visit.who, spec)
    return await page(
        visit,
        "bulk.html",
        title=f"{str(spec.intention.verb).capitalize()} many runs",
        room="runs",
        found=found,
        act=form.needed("act"),
        ticked=form.every("id") if form.text("scope") == "ticked" else [],
        query=form.text("query", max_chars=MAX_QUERY_CHARS) or "",
    )


@router.post("/operations")
async def start(visit: Operating) -> Response:
    """Start what was previewed. Its runs are named now, once and for all."""
    form = await forms.read(visit.request)
    made = await operations.create_operation(visit.deps, visit.who, _spec(form))
    seen, total = form.text("seen"), made["total"]
    text = f"Started for {number(total)} run{'' if total == 1 else 's'}."
    if seen is not None and seen != str(total):
        text += f" The preview said {seen}; some have moved since."
    return forms.done(visit.request, f"/operations/{made['id']}", text)


def _spec(form: forms.Form) -> OperationSpec:
    filters, kept = _ticked(form) if form.text("scope") == "ticked" else _matching(form)
    return OperationSpec(intention=_intention(form), filters=filters, kept=kept, reason=form.reason())


def _intention(form: forms.Form) -> Intention:
    """Return what `act` asks for: `retry`, `cancel`, or `resolve:<how>`."""
    verb, _, how = form.needed("act").partition(":")
    if verb not in set(BulkVerb) or (how and how not in set(BULK_RESOLUTIONS)):
        raise _wrong("act", "choose what is to be done")
    relaunch = form.ticked("relaunch")
    return Intention(verb=BulkVerb(verb), how=Resolution(how) if how else None, relaunch=relaunch)


def _ticked(form: forms.Form) -> tuple[dict[str, Any], dict[str, Any]]:
    given = form.every("id")
    if not given or len(given) > MAX_TICKED or not all(run_filters.is_id(one) for one in given):
        raise _wrong("id", f"tick 1 to {MAX_TICKED} runs first, or choose all that match")
    ids = [UUID(one) for one in given]
    return {"ids": ids}, {"ids": [str(one) for one in ids]}


def _matching(form: forms.Form) -> tuple[dict[str, Any], dict[str, Any]]:
    params = QueryParams(form.text("query", max_chars=MAX_QUERY_CHARS) or "")
    return run_filters.filters_of(run_filters.query_of(params, paged=False)), run_filters.kept_of(params)


def _wrong(field: str, message: str) -> BadInput:
    return BadInput(message, problems=(Problem(message=message, code="field.value", field=field),))
