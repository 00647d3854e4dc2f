"""The system: what is wrong and its cure, who works, what is due, where things lie, and every setting."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.queries import Query
from orchestrator.engine import configuration, system_look
from orchestrator.engine.own_place import Disks
from orchestrator.web.rendering import page
from orchestrator.web.visits import Administering, Reading

PATH = "/system"
SETTINGS = PATH + "/settings"

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def show_system(visit: Reading) -> Response:
    """Show how the installation is doing."""
    Query(visit.request.query_params, ())
    disks: Disks = visit.request.app.state.disks
    return await page(
        visit,
        "system.html",
        title="System",
        room="system",
        found=await system_look.look_at_system(visit.deps, visit.who, disks),
    )


@router.get(SETTINGS)
async def show_settings(visit: Administering) -> Response:
    """Show every setting of this process, and where its value is from. Secrets are not shown."""
    Query(visit.request.query_params, ())
    return await page(
        visit, "settings.html", title="Settings", room="system", settings=configuration.listed(visit.deps.settings)
    )
