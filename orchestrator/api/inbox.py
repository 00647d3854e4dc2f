"""Routes of the inbox: questions for a person."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.answers import everything, shown
from orchestrator.api.auth import Reading
from orchestrator.api.openapi import LIMIT, described, listed
from orchestrator.api.queries import Query
from orchestrator.engine import reading

router = APIRouter(prefix="/inbox", tags=["inbox"])


@router.get("", **listed("InboxItem", LIMIT, paged=False))
async def list_inbox(call: Reading) -> Response:
    """List open questions, oldest first. One page: who has more than 200 open has another problem than paging."""
    query = Query(call.request.query_params, ("limit",))
    return everything(call, await reading.list_inbox(call.deps, call.who, limit=query.limit()))


@router.get("/{item_id:uuid}", **described("InboxItem"))
async def show_inbox(item_id: UUID, call: Reading) -> Response:
    """Show one question, open or settled."""
    Query(call.request.query_params, ())
    return shown(await reading.show_inbox(call.deps, call.who, item_id))
