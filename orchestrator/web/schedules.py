"""The list of schedules: what fires when, how the last ticks went, and which are paused by whom and why."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.queries import Query
from orchestrator.engine import schedule_look
from orchestrator.web import commands
from orchestrator.web.rendering import page
from orchestrator.web.visits import Reading
from orchestrator.web.wording import link

PATH = "/schedules"

_QUICK = (("All", ""), ("Active", "active"), ("Paused", "paused"), ("Over", "over"))

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def list_schedules(visit: Reading) -> Response:
    """Show the schedules by name."""
    query = Query(visit.request.query_params, ("status", "after", "limit"))
    status = query.one_of("status", [word for _, word in _QUICK if word]) or ""
    found, following = await schedule_look.list_with_outcomes(
        visit.deps, visit.who, status=status, after=query.text("after"), limit=query.limit()
    )
    return await page(
        visit,
        "schedules.html",
        title="Schedules",
        room="schedules",
        schedules=found,
        is_filtered=bool(status) or "after" in visit.request.query_params,
        quick=[(title, link(PATH, status=word), word == status) for title, word in _QUICK],
        first_page=link(PATH, status=status),
        next_page=None if following is None else link(PATH, status=status, after=following),
        is_first="after" not in visit.request.query_params,
        commands=commands.schedules(str(visit.request.base_url)),
    )
