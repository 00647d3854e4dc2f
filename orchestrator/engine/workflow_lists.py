"""Lists of a connection's workflows: as the provider tells them, and what is known of them while it is away."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.answers import WorkflowSummary
from orchestrator.engine import budgeted, heard
from orchestrator.engine.deps import Deps
from orchestrator.engine.shown import shown
from orchestrator.engine.who import Who
from orchestrator.engine.workflows import brief, find_connection
from orchestrator.errors import BadInput, KeyRefused, ProviderError, Refused, Unavailable
from orchestrator.storage import workflows
from orchestrator.storage.connections import ConnectionRow
from orchestrator.storage.workflows import WorkflowRow

#: Pages of the provider's list that are read at most: 100 workflows each.
MAX_PAGES = 20

#: Of so many connections, so many workflows each are offered at most to whoever fills in a form.
MOST_ASKED = 20
MOST_OFFERED = 200

#: What a cursor begins with that leads through what is known, while the provider is away.
KNOWN = "known:"


async def list_workflows(deps: Deps, who: Who, connection: str) -> list[dict[str, Any]]:
    """Return the connection's workflows: the provider's list, or what is cached of it while the provider is away."""
    found = await find_connection(deps, who, connection)
    stale = False
    try:
        summaries = await fetch_list(deps, found)
    except (ProviderError, Unavailable):
        stale = True
    else:
        await _remember(deps, found, summaries)
    return [{**brief(row, found), "stale": stale} for row in await _known(deps, found)]


async def known_workflows(deps: Deps, who: Who, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the workflows that are known of these connections, of a few where they are many. Asks no provider."""

    async def read(session: AsyncConnection) -> list[dict[str, Any]]:
        return await workflows.offered(session, who.workspace_id, names[:MOST_ASKED], each=MOST_OFFERED)

    return await deps.db.run(read)


async def page_of_workflows(
    deps: Deps, who: Who, connection: str, *, cursor: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Return one page of the provider's list as it is, and its own cursor; while it is away, of what is known of it.

    Raises:
        BadInput: the provider refuses the cursor.
        Unavailable: the provider is away in the middle of its list.
    """
    found = await find_connection(deps, who, connection)
    access = deps.access_to(found)
    listed = partial(deps.provider(found.provider).list_workflows, access, cursor=cursor, limit=limit)
    if cursor is None or not cursor.startswith(KNOWN):
        try:
            page = await budgeted.call(deps, found.lane_id, listed, ears=heard.ears(found.provider, found.id))
        except (ProviderError, Unavailable) as error:
            if cursor is not None:
                raise _in_the_middle(error) from error
        else:
            await _remember(deps, found, page.workflows)
            return [_summary(summary) for summary in page.workflows], page.cursor
    known = await _known(deps, found)
    begin = _number(cursor)
    following = f"{KNOWN}{begin + limit}" if len(known) > begin + limit else None
    return [brief(row, found) for row in known[begin : begin + limit]], following


def _in_the_middle(error: ProviderError | Unavailable) -> BadInput | Unavailable:
    if isinstance(error, Refused) and not isinstance(error, KeyRefused):
        return BadInput("this cursor belongs to no page of the list", code="cursor.invalid")
    return Unavailable(
        "the provider does not answer in the middle of its list", code="list_interrupted", retry_after_s=30
    )


def _number(cursor: str | None) -> int:
    """Return where a page of what is known begins."""
    digits = "0" if cursor is None else cursor.removeprefix(KNOWN)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 6):
        raise BadInput("this cursor belongs to no page of the list", code="cursor.invalid")
    return int(digits)


async def _remember(deps: Deps, found: ConnectionRow, summaries: Sequence[WorkflowSummary]) -> None:
    async def save(session: AsyncConnection) -> None:
        for summary in sorted(summaries, key=lambda s: s.remote_id):
            await workflows.save_name(session, new_id=deps.sources.new_id(), connection_id=found.id, summary=summary)

    await deps.db.run(save)


async def _known(deps: Deps, found: ConnectionRow) -> list[WorkflowRow]:
    async def read(session: AsyncConnection) -> list[WorkflowRow]:
        return await workflows.page(session, found.id)

    return await deps.db.run(read)


async def fetch_list(deps: Deps, found: ConnectionRow) -> list[WorkflowSummary]:
    """Ask the provider for its workflows, page by page."""
    access = deps.access_to(found)
    provider = deps.provider(found.provider)
    summaries: list[WorkflowSummary] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        listed = partial(provider.list_workflows, access, cursor=cursor)
        page = await budgeted.call(deps, found.lane_id, listed, ears=heard.ears(found.provider, found.id))
        summaries += page.workflows
        cursor = page.cursor
        if cursor is None:
            break
    return summaries


def _summary(summary: WorkflowSummary) -> dict[str, Any]:
    dates = {"created_at": summary.created_at, "updated_at": summary.updated_at}
    return shown({"id": summary.remote_id, "name": summary.name, **dates})
