"""The route of stored files by URLs that expire: whoever holds one may fetch that file, without a token."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from orchestrator.api.downloads import attachment
from orchestrator.api.queries import Query
from orchestrator.engine import result_links
from orchestrator.engine.deps import Deps
from orchestrator.errors import Conflict, NotFound
from orchestrator.settings import Settings

router = APIRouter(include_in_schema=False)


@router.get(result_links.PATH + "/{run_id:uuid}/{n:int}")
async def fetch_result(run_id: UUID, n: int, request: Request) -> Response:
    """Stream the file of a link, byte for byte as it was stored."""
    deps: Deps = request.app.state.deps
    key = Query(request.query_params, ("key",)).needed("key")
    try:
        opened = await result_links.open_link(deps, run_id, n, key)
    except Conflict as gone:  # erased since the link was given out: to its holder it is not there
        raise NotFound(gone.message, code=gone.code) from None
    return attachment(opened, n)


def absolute(request: Request, settings: Settings, path: str) -> str:
    """Return a path of this server as a URL that whoever sent the request can reach."""
    base = settings.public_url or str(request.base_url)
    return base.rstrip("/") + path
