"""Walks through a batch's runs in input order, a page at a time: whoever reads slowly keeps no transaction open."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.engine import views
from orchestrator.engine.deps import Deps
from orchestrator.engine.who import Who
from orchestrator.errors import NotFound
from orchestrator.storage import batches, result_inputs, runs
from orchestrator.storage.batches import BatchRow
from orchestrator.storage.result_inputs import SmallInput
from orchestrator.storage.runs import FileRow

#: Runs of a page. A page is as old as its last file is late, so it is short.
PAGE_RUNS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkedRun:
    """A run on the way: its view, its stored files by number, and its input if that was asked for."""

    view: Mapping[str, Any]
    files: Mapping[int, FileRow]
    input: SmallInput | None


async def find(deps: Deps, who: Who, batch_id: UUID) -> BatchRow:
    """Return the batch. Raises `NotFound` when the workspace has no such."""

    async def read(connection: AsyncConnection) -> BatchRow | None:
        return await batches.read(connection, who.workspace_id, batch_id)

    found = await deps.db.run(read)
    if found is None:
        raise NotFound(f"there is no batch {batch_id}", code="batch_not_found", hint="orchestrator batch list")
    return found


async def walk(
    deps: Deps, who: Who, batch_id: UUID, *, input_bytes: int | None = None
) -> AsyncGenerator[WalkedRun, None]:
    """Give every run of a batch in input order. Each page is read in a transaction of its own, over when it is given.

    Args:
        input_bytes: read inputs up to this length too; None: read none.
    """
    after: int | None = None
    while True:
        page = await _page(deps, who, batch_id, after, input_bytes)
        for walked in page:
            yield walked
        if len(page) < PAGE_RUNS:
            return
        after = page[-1].view["index"]


async def _page(deps: Deps, who: Who, batch_id: UUID, after: int | None, input_bytes: int | None) -> list[WalkedRun]:
    conditions: dict[str, Any] = {"batch": batch_id} | ({} if after is None else {"after_index": after})

    async def read(connection: AsyncConnection) -> list[WalkedRun]:
        found = await runs.page(connection, who.workspace_id, conditions, limit=PAGE_RUNS)
        ids = [row.id for row in found]
        files = await runs.files(connection, ids)
        inputs = {} if input_bytes is None else await result_inputs.small(connection, ids, most_bytes=input_bytes)
        # One reading for the view and for the bytes: what is stored between two would be offered, and called missing.
        shown = await views.runs(connection, found, files=files)
        return [
            WalkedRun(
                view=view,
                files={file.n: file for file in files.get(row.id, []) if file.stored_at is not None},
                input=inputs.get(row.id),
            )
            for row, view in zip(found, shown, strict=True)
        ]

    return await deps.db.run(read)
