"""Routes of tokens: who may call this API. A secret is shown once."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.acts import act
from orchestrator.api.answers import Answer, everything, nothing
from orchestrator.api.auth import Administering
from orchestrator.api.bodies import Fields
from orchestrator.api.openapi import REASON, described, listed
from orchestrator.api.queries import Query
from orchestrator.engine import tokens

router = APIRouter(prefix="/tokens", tags=["tokens"])


@router.post("", status_code=201, **described("CreatedToken", body="NewToken", status=201))
async def create_token(call: Administering) -> Response:
    """Make a token. `secret` is shown in this answer only; a repeat of the request shows null."""

    async def create(asked: dict[str, Any]) -> Answer:
        secret, view = await tokens.create_token(call.deps, call.who.workspace_id, actor=call.who.actor, **asked)
        return Answer(view=view | {"secret": secret}, status=201, kept=view | {"secret": None})

    return await act(call, _asked, create)


def _asked(fields: Fields) -> dict[str, Any]:
    return {
        "name": fields.text("name", max_chars=100),
        "scopes": fields.texts("scopes") or None,
        "expires_at": fields.moment_or_none("expires_at"),
        "is_test": fields.flag("test"),
        "connection": fields.text_or_none("connection"),
    }


@router.get("", **listed("Token", paged=False))
async def list_tokens(call: Administering) -> Response:
    """List every token, without its secret."""
    Query(call.request.query_params, ())
    return everything(call, await tokens.list_tokens(call.deps, call.who))


@router.delete("/{token_id:uuid}", status_code=204, **described(None, status=204, parameters=(REASON,)))
async def revoke_token(token_id: UUID, call: Administering) -> Response:
    """Make a token useless at once."""
    reason = Query(call.request.query_params, ("reason",)).reason()
    await tokens.revoke_token(call.deps, call.who, token_id, reason=reason)
    return nothing()
