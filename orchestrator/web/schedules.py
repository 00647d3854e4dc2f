"""The list of schedules: what fires when, how the last ticks went, and which are paused by whom and why."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.queries import Query
from orchestrator.engine import schedule_look
from orchestrator.errors import BadInput
from orchestrator.web import commands
from orchestrator.web.rendering import page
from orchestrator.web.visits import Reading

PATH = "/schedules"

_QUICK = (("All", ""), ("Active", "active"), ("Paused", "paused"), ("Over", "over"))

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def list_schedules(visit: Reading) -> Response:
    """Show the schedules by name."""
    query = Query(visit.request.query_params, ("status",))
    status = query.text("status") or ""
    if status not in [word for _, word in _QUICK]:
        raise BadInput("status is one of active, paused, over", code="field.value")
    found = await schedule_look.list_with_outcomes(visit.deps, visit.who)
    return await page(
        visit,
        "schedules.html",
        title="Schedules",
        room="schedules",
        schedules=[one for one in found if status in ("", one["status"])],
        total=len(found),
        quick=[(title, f"{PATH}?status={word}" if word else PATH, word == status) for title, word in _QUICK],
        commands=commands.schedules(str(visit.request.base_url)),
    )
