"""Every run that meets some filters, with what a bulk act asks about it: walked page by page, by the same indexes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.statuses import RunStatus
from orchestrator.storage import run_pages, runs
from orchestrator.storage.database import rows

PAGE = 5_000

#: A label that very many runs carry, of which hardly any meet the rest: somebody has to name a period.
MAX_PAGES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """A run that meets the filters."""

    id: UUID
    index: int | None
    status: RunStatus
    is_erased: bool
    is_observed: bool
    provider: str


async def every(
    connection: AsyncConnection, workspace: UUID, conditions: Mapping[str, Any], *, most: int
) -> list[Matching] | None:
    """Return every run that meets the filters, newest first, within a batch in the file's order.

    Returns:
        None where there are more than `most`, or where too much would have to be judged.
    """
    found: list[Matching] = []
    place: dict[str, Any] = {}
    of_batch = "batch" in conditions
    for _ in range(MAX_PAGES):
        page = await _page(connection, workspace, {**conditions, **place})
        judged_to = await runs.last_judged(connection, workspace, {**conditions, **place})
        found += page if judged_to is None else [run for run in page if run.id >= judged_to]
        if len(found) > most:
            return None
        if len(page) == PAGE:
            place = {"after_index": found[-1].index} if of_batch else {"before": found[-1].id}
        elif judged_to is not None:
            place = {"before": judged_to}
        else:
            return found
    return None


async def _page(connection: AsyncConnection, workspace: UUID, conditions: Mapping[str, Any]) -> list[Matching]:
    order = "r.index" if "batch" in conditions else "r.id DESC"
    query = text(f"""
        SELECT r.id, r.index, r.status, r.erased_at IS NOT NULL AS is_erased, r.origin = 'observed' AS is_observed,
            n.provider
        FROM runs r JOIN connections n ON n.id = r.connection_id
        JOIN ({run_pages.query(conditions)}) page ON page.id = r.id ORDER BY {order}""")  # noqa: S608
    values = {"workspace": workspace, "limit": PAGE, **run_pages.values(conditions)}
    return [
        Matching(
            id=row.id,
            index=row._mapping["index"],
            status=RunStatus(row.status),
            is_erased=row.is_erased,
            is_observed=row.is_observed,
            provider=row.provider,
        )
        for row in await rows(connection, query, values)
    ]
