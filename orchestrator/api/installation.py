"""The route of the installation: what is wrong and its cure, who works, what is due, where things lie."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.answers import tagged
from orchestrator.api.auth import Reading
from orchestrator.api.openapi import described
from orchestrator.api.queries import Query
from orchestrator.engine import system_look
from orchestrator.engine.own_place import Disks

router = APIRouter(tags=["system"])


@router.get("/system", **described("System"))
async def show_system(call: Reading) -> Response:
    """Show how the installation is doing. Of other workspaces it tells nothing but sums."""
    Query(call.request.query_params, ())
    disks: Disks = call.request.app.state.disks
    return tagged(call, await system_look.look_at_system(call.deps, call.who, disks))
