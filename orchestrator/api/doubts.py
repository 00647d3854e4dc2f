"""Routes of doubts: launches whose outcome nobody knows, and what a person says of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.acts import act
from orchestrator.api.answers import Answer, page
from orchestrator.api.auth import Approving, Reading
from orchestrator.api.bodies import Fields
from orchestrator.api.openapi import described, listed
from orchestrator.api.queries import Query
from orchestrator.engine import doubt_sight, doubts
from orchestrator.errors import BadInput, Problem

HOWS = ("adopt", "not_started", "relaunch", "abandon")

router = APIRouter(prefix="/doubts", tags=["doubts"])


@router.get("", **listed("Doubt"))
async def list_doubts(call: Reading) -> Response:
    """List open doubts, oldest first, each with the `seen` that a decision about it goes with."""
    query = Query(call.request.query_params, ("limit", "cursor"))
    found, following = await doubts.page_doubts(call.deps, call.who, after=query.after(call), limit=query.limit())
    return page(call, query, found, following)


@router.post("/{doubt_id:uuid}:resolve", **described("Resolved", body="Resolution"))
async def resolve_doubt(doubt_id: UUID, call: Approving) -> Response:
    """Say what happened to a run's or a wave's launch."""

    async def resolve(said: dict[str, Any]) -> Answer:
        return Answer(view=await doubts.resolve_doubt(call.deps, call.who, doubt_id, **said))

    return await act(call, _said, resolve)


def _said(fields: Fields) -> dict[str, Any]:
    by_index = fields.text_by_text("execution_ids")
    return {
        "how": fields.one_of("how", HOWS),
        "reason": fields.prose("reason"),
        "execution_id": fields.text_or_none("execution_id"),
        "execution_ids": {_index(key): found for key, found in by_index.items()} or None,
        "unverified": fields.flag("unverified"),
        "seen": fields.text_or_none("seen", max_chars=doubt_sight.MAX_SEEN_CHARS),
    }


def _index(key: str) -> int:
    if not (key.isascii() and key.isdigit() and len(key) <= 9):
        problem = Problem(message="its names are runs' indexes", code="field.value", field="execution_ids")
        raise BadInput(str(problem), code=problem.code, problems=(problem,))
    return int(key)
