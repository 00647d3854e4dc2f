"""The list of runs: the query bar, its chips, a page of the list, and how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter
from starlette.datastructures import QueryParams
from starlette.responses import Response

from orchestrator.api import cursors
from orchestrator.engine import batch_look, reading, run_look
from orchestrator.errors import BadInput, NotFound
from orchestrator.web import commands, run_filters
from orchestrator.web.rendering import ENVIRONMENT, HEADERS, HTML, page
from orchestrator.web.visits import Reading
from orchestrator.web.wording import up_to

PATH = "/runs"

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def list_runs(visit: Reading) -> Response:
    """Show a page of runs, newest first. What was written into the bar is turned into the list's own parameters."""
    params = visit.request.query_params
    if "q" in params:
        return await _go(visit, params["q"])
    query = run_filters.query_of(params)
    try:
        filters = run_filters.filters_of(query)
    except BadInput as error:
        return await _page(visit, params, error=error)
    found, following = await reading.list_runs(
        visit.deps, visit.who, after=query.after(visit), limit=query.limit(), **filters
    )
    cursor = None if following is None else cursors.issue(visit.deps.sealer, query.bound_to(visit), following)
    return await _page(visit, params, found, cursor)


async def _page(
    visit: Reading,
    params: QueryParams,
    found: Sequence[dict[str, Any]] = (),
    cursor: str | None = None,
    *,
    written: str | None = None,
    error: BadInput | None = None,
) -> Response:
    """Show runs; or, below the bar as it was written, what is wrong in it."""
    spelled = run_filters.spelled(params)
    return await page(
        visit,
        "runs.html",
        title="Runs",
        room="runs",
        status=200 if error is None else 422,
        error=error,
        runs=found,
        written=run_filters.written(params) if written is None else written,
        chips=run_filters.chips(params, PATH),
        quick=[
            (title, run_filters.with_status(params, statuses, PATH), ",".join(statuses) == params.get("status", ""))
            for title, statuses in run_filters.QUICK
        ],
        query=spelled,
        next_page=None
        if cursor is None
        else f"{PATH}?{spelled}{'&' if spelled else ''}{urlencode({'cursor': cursor})}",
        is_first="cursor" not in params,
        commands=commands.list_runs(str(visit.request.base_url), params),
    )


@router.get(PATH + "/count")
async def count_runs(visit: Reading) -> Response:
    """Say how many runs a list has: asked for by the page once its rows stand."""
    query = run_filters.query_of(visit.request.query_params, paged=False)
    count = await run_look.count_runs(visit.deps, visit.who, **run_filters.filters_of(query))
    text = "" if count is None else up_to(count, "run")
    return Response(
        ENVIRONMENT.from_string("{{ text }}").render(text=text).encode(), media_type=HTML, headers=dict(HEADERS)
    )


async def _go(visit: Reading, text: str) -> Response:
    """Go where the bar says: to the run or the batch of an id, or to the list under its filters."""
    if run_filters.is_id(text):
        there = await _place_of(visit, UUID(text.strip()))
    else:
        try:
            pairs = run_filters.read_words(text, now=visit.deps.sources.utc_now())
        except BadInput as error:
            return await _page(visit, QueryParams(), written=text[: run_filters.MAX_CHARS], error=error)
        there = f"{PATH}?{urlencode(pairs)}" if pairs else PATH
    return Response(status_code=303, headers={"Location": there, **HEADERS})


async def _place_of(visit: Reading, id: UUID) -> str:
    """Return the page of a batch, if the id is one's; else that of a run, which says so if there is none."""
    try:
        await batch_look.batch_history(visit.deps, visit.who, id)
    except NotFound:
        return f"{PATH}/{id}"
    return f"/batches/{id}"
