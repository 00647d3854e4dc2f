"""The list of batches: how far each is, how fast, and when it will be done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.datastructures import QueryParams
from starlette.responses import Response

from orchestrator.api import cursors
from orchestrator.api.queries import Query
from orchestrator.domain.statuses import BatchStatus
from orchestrator.engine import batch_look, reading
from orchestrator.errors import BadInput
from orchestrator.web import commands, forms
from orchestrator.web.rendering import page
from orchestrator.web.run_filters import Chip
from orchestrator.web.visits import Reading

PATH = "/batches"
FILTERS = ("status", "workflow", "connection", "external_id", "dateFrom", "dateTo")
B = BatchStatus

#: Offered above the list: a title, its statuses.
QUICK: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("All", ()),
    ("In progress", (B.ACCEPTED, B.RUNNING, B.CANCELLING)),
    ("Paused or waiting", (B.PAUSING, B.PAUSED, B.WAITING)),
    ("With errors", (B.FINISHED_WITH_ERRORS,)),
    ("Finished", (B.FINISHED,)),
    ("Cancelled", (B.CANCELLED,)),
)

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def list_batches(visit: Reading) -> Response:
    """Show a page of batches, newest first."""
    # A form sends its empty fields too: they filter nothing.
    params = QueryParams([(name, value) for name, value in visit.request.query_params.multi_items() if value])
    query = Query(params, (*FILTERS, "limit", "cursor"))
    try:
        sought = _sought(query)
    except BadInput as error:
        return await _page(visit, params, error=error)
    after, limit = query.after(visit), query.limit()
    found, following = await reading.list_batches(visit.deps, visit.who, **sought, after=after, limit=limit)
    cursor = None if following is None else cursors.issue(visit.deps.sealer, query.bound_to(visit), following)
    return await _page(visit, params, found, cursor)


def _sought(query: Query) -> dict[str, Any]:
    """Return the filters as the engine takes them.

    Raises:
        BadInput: one of them is malformed.
    """
    return {
        "statuses": query.batch_statuses(),
        "workflow": query.text("workflow"),
        "connection": query.text("connection"),
        "external_id": query.text("external_id"),
        "since": query.since(),
        "until": query.until(),
    }


async def _page(
    visit: Reading,
    params: QueryParams,
    found: Sequence[dict[str, Any]] = (),
    cursor: str | None = None,
    *,
    error: BadInput | None = None,
) -> Response:
    """Show batches; or, beside a filter's own field, what is wrong with it."""
    kept = [(name, params[name]) for name in FILTERS if name in params]
    return await page(
        visit,
        "batches.html",
        title="Batches",
        room="batches",
        status=200 if error is None else 422,
        error=error,
        wrong=forms.wrong_fields(error),
        batches=found,
        paces=await batch_look.paces(visit.deps, visit.who, found),
        given=params,
        chips=_chips(kept),
        quick=[(title, _with_status(kept, of), ",".join(of) == params.get("status", "")) for title, of in QUICK],
        first_page=_path(kept),
        next_page=None if cursor is None else _path([*kept, ("cursor", cursor)]),
        is_first="cursor" not in params,
        commands=commands.list_batches(str(visit.request.base_url), params),
    )


def _with_status(kept: list[tuple[str, str]], statuses: tuple[str, ...]) -> str:
    rest = [(name, value) for name, value in kept if name != "status"]
    return _path([("status", ",".join(statuses)), *rest] if statuses else rest)


def _chips(kept: list[tuple[str, str]]) -> list[Chip]:
    titles = {"dateFrom": "from", "dateTo": "to", "external_id": "external id"}
    return [
        Chip(
            titles.get(name, name),
            value.replace(",", " or ").replace("_", " ") if name == "status" else value,
            _path(kept[:at] + kept[at + 1 :]),
        )
        for at, (name, value) in enumerate(kept)
    ]


def _path(pairs: list[tuple[str, str]]) -> str:
    return f"{PATH}?{urlencode(pairs)}" if pairs else PATH
