"""Drafts: a file between its preview and its start, kept where every API process finds it, for a few hours."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.engine.deps import Deps
from orchestrator.engine.spool import Spool
from orchestrator.engine.submit import Within
from orchestrator.engine.who import Who
from orchestrator.errors import NotFound, TooLarge
from orchestrator.storage import drafts
from orchestrator.storage.drafts import DraftRow

__all__ = ["DraftRow", "became", "become", "change", "discard", "find", "keep", "read_into", "within"]

PIECE_BYTES = 1024 * 1024
#: Of all that a workspace has waiting: a few of the largest files that are taken.
MOST_WAITING_BYTES = 256 * 1024 * 1024


async def keep(
    deps: Deps, who: Who, content: Spool, *, filename: str | None, options: Mapping[str, Any], id: UUID | None = None
) -> UUID:
    """Keep a file for whoever sent it; return its id.

    Raises:
        TooLarge: too much waits already.
    """
    draft_id = id or deps.sources.new_id()
    row = {"id": draft_id, "filename": filename, "size_bytes": content.size_bytes, "options": options}

    async def write(connection: AsyncConnection) -> None:
        if await drafts.waiting_bytes(connection, who.workspace_id) + content.size_bytes > MOST_WAITING_BYTES:
            raise TooLarge(
                f"files of more than {MOST_WAITING_BYTES:,} bytes would wait to be started",
                hint=f"Start or discard one of them; what is not started goes after {drafts.LIFE_H} hours.",
            )
        await drafts.insert(connection, who.workspace_id, who.actor, row)
        for n, start in enumerate(range(0, content.size_bytes, PIECE_BYTES)):
            await drafts.insert_piece(connection, draft_id, n, content.read(start, PIECE_BYTES))

    await deps.db.run(write)
    return draft_id


async def find(deps: Deps, who: Who, draft_id: UUID) -> DraftRow:
    """Return a draft.

    Raises:
        NotFound: it was started, discarded, or has waited too long; or it is somebody else's.
    """
    found = await deps.db.run(partial(drafts.find, workspace=who.workspace_id, actor=who.actor, draft_id=draft_id))
    if found is None:
        raise _gone()
    return found


async def read_into(deps: Deps, draft: DraftRow, content: Spool) -> None:
    """Fetch a draft's content, piece by piece."""
    for n in range(-(-draft.size_bytes // PIECE_BYTES)):
        piece = await deps.db.run(partial(drafts.piece, draft_id=draft.id, n=n))
        if piece is None:
            raise _gone()
        content.write(piece)


async def change(deps: Deps, who: Who, draft_id: UUID, options: Mapping[str, Any]) -> None:
    """Keep what was chosen for a draft."""
    write = partial(drafts.change, workspace=who.workspace_id, actor=who.actor, draft_id=draft_id, options=options)
    if not await deps.db.run(write):
        raise _gone()


async def discard(deps: Deps, who: Who, draft_id: UUID) -> None:
    """Remove a draft.

    Raises:
        NotFound: there is none; it may have been started.
    """
    if not await deps.db.run(partial(drafts.discard, workspace=who.workspace_id, actor=who.actor, draft_id=draft_id)):
        raise _gone()


async def become(deps: Deps, who: Who, draft_id: UUID, batch_id: UUID) -> None:
    """Let go of a draft that came before, and remember as which batch, for whoever asks again."""
    write = partial(drafts.become, workspace=who.workspace_id, actor=who.actor, draft_id=draft_id, batch_id=batch_id)
    await deps.db.run(write)


async def became(deps: Deps, who: Who, draft_id: UUID) -> UUID:
    """Return which batch a draft is by now, if it is one: that of its own id, or one that was there before it."""
    read = partial(drafts.became, workspace=who.workspace_id, actor=who.actor, draft_id=draft_id)
    return await deps.db.run(read) or draft_id


def within(who: Who) -> Within:
    """Return what removes a draft in the transaction that stores its batch, which has its id."""

    async def remove(connection: AsyncConnection, batch_id: UUID) -> None:
        await drafts.discard(connection, who.workspace_id, who.actor, batch_id)

    return remove


def _gone() -> NotFound:
    return NotFound(
        "this file does not wait here any more: it was started or discarded, or it waited too long",
        code="draft_not_found",
        hint="Look at the batches; if it is not among them, upload it again.",
    )
