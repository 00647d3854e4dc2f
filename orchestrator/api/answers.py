"""What handlers return: a view, or a page of views."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from starlette.responses import Response

from orchestrator.api import cursors, etags
from orchestrator.api.auth import Call
from orchestrator.api.queries import Query

View = dict[str, Any]
JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an act came to.

    Args:
        kept: what a repeat under the same Idempotency-Key is told, when that must be less: a secret is shown once.
    """

    view: View
    status: int = 200
    kept: View | None = None


def text_of(view: View) -> str:
    """Return the JSON text of a view."""
    return json.dumps(view, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def shown(view: View, *, status: int = 200) -> Response:
    """Return a view."""
    return Response(text_of(view).encode(), status_code=status, media_type=JSON)


def nothing() -> Response:
    """Return 204: it is done, and there is nothing to show."""
    return Response(status_code=204)


def everything(call: Call, views: Sequence[View]) -> Response:
    """Return a list that has one page."""
    return tagged(call, {"data": [*views], "pagination": {"next_cursor": None, "has_more": False}})


def page(call: Call, query: Query, views: Sequence[View], following: UUID | int | None) -> Response:
    """Return one page of a list; `following` is the sort key after which the next one begins."""
    cursor = None if following is None else cursors.issue(call.deps.sealer, query.bound_to(call), following)
    return tagged(call, {"data": [*views], "pagination": {"next_cursor": cursor, "has_more": cursor is not None}})


def tagged(call: Call, view: View, *, state: str = "") -> Response:
    """Return a view with its ETag, or 304 when the request names it."""
    text = text_of(view)
    tag = etags.tag(text, state=state)
    if etags.is_named(tag, call.request.headers):
        return unchanged(tag)
    return Response(text.encode(), media_type=JSON, headers={"ETag": tag})


def unchanged(tag: str) -> Response:
    """Return 304: the request has it as it is."""
    return Response(status_code=304, headers={"ETag": tag})
