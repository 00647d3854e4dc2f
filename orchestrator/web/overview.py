"""The first page: is anything wrong, who is waited for, what is under way."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.engine import overview
from orchestrator.web.rendering import page
from orchestrator.web.visits import Reading

router = APIRouter(include_in_schema=False)


@router.get("/")
async def show_overview(visit: Reading) -> Response:
    """Show how everything stands, the worst first."""
    found = await overview.read_overview(visit.deps, visit.who)
    return await page(visit, "overview.html", title="Overview", room="overview", found=found)
