"""What a run's page shows beside the run itself: attempts, input and results as inert text, the chain's state."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import chain, redaction
from orchestrator.domain.chain import Event, Head
from orchestrator.engine import reading, views
from orchestrator.engine.deps import Deps
from orchestrator.engine.shown import shown
from orchestrator.engine.who import Who
from orchestrator.errors import NotFound
from orchestrator.storage import events, run_look

#: What a page shows of an input or a result; the rest is a download.
PREVIEW_BYTES = 64 * 1024
#: Events that a page shows and verifies; a run has six, one with a bad life some dozens.
MOST_EVENTS = 500


async def run_attempts(deps: Deps, who: Who, run_id: UUID) -> list[dict[str, Any]]:
    """Return a run's attempts at the provider, the latest first."""

    async def read(connection: AsyncConnection) -> list[dict[str, Any]]:
        return await run_look.attempts(connection, who.workspace_id, run_id)

    return [shown(row) for row in await deps.db.run(read)]


async def run_input(deps: Deps, who: Who, run_id: UUID) -> dict[str, Any] | None:
    """Return a run's input as text, redacted; None when it was erased."""

    async def read(connection: AsyncConnection) -> tuple[bytes, int] | None:
        return await run_look.input_head(connection, who.workspace_id, run_id, most=PREVIEW_BYTES)

    found = await deps.db.run(read)
    return None if found is None else _preview(*found)


async def preview_result(deps: Deps, who: Who, run_id: UUID, n: int) -> dict[str, Any]:
    """Return the beginning of a stored result as text, or that it is none.

    Raises:
        NotFound, Conflict, Unavailable: as `reading.open_result`.
    """
    opened = await reading.open_result(deps, who, run_id, n)
    head = b""
    async for chunk in opened.chunks:
        head += chunk[: PREVIEW_BYTES - len(head)]
        if len(head) >= PREVIEW_BYTES:
            break
    told = _preview(head, opened.size_bytes)
    return told | {"filename": opened.filename, "sha256": opened.sha256}


async def run_history(deps: Deps, who: Who, run_id: UUID) -> dict[str, Any]:
    """Return a run's history, and whether its chain of hashes is whole up to what the run's row says.

    `broken` is what is wrong with it, None when it is whole, or too long to be walked here (`is_cut`).
    """

    async def read(connection: AsyncConnection) -> tuple[Head | None, list[Event]]:
        head = await run_look.head(connection, who.workspace_id, run_id)
        return head, [] if head is None else await events.read(connection, run_id, limit=MOST_EVENTS + 1)

    head, found = await deps.db.run(read)
    if head is None:
        raise NotFound(f"there is no run {run_id}", code="run_not_found", hint="orchestrator run list")
    is_cut, is_retired = len(found) > MOST_EVENTS, not found and head.seq > 0
    broken = None if is_retired else chain.first_break(found[:MOST_EVENTS])
    if broken is None and not is_cut and not is_retired and found and found[-1].hash != head.hash:
        broken = "its last event is not the one that the run's row names"
    told = [views.event(event) for event in found[:MOST_EVENTS]]
    return {"events": told, "is_cut": is_cut, "is_retired": is_retired, "broken": broken, "total": head.seq}


async def count_runs(deps: Deps, who: Who, **filters: Any) -> int | None:
    """Return how many runs meet the filters, up to one more than is counted; None by a label, which is not counted."""
    conditions = reading.run_conditions(deps, who, **filters)
    if "label_keys" in conditions:
        return None

    async def read(connection: AsyncConnection) -> int:
        return await run_look.count(connection, who.workspace_id, conditions)

    return await deps.db.run(read)


def _preview(head: bytes, size_bytes: int) -> dict[str, Any]:
    """Return bytes as inert text. A character that was cut in two at the end is left out, others are no text."""
    is_whole = len(head) == size_bytes
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        text = "" if is_whole or error.start < len(head) - 3 else head[: error.start].decode("utf-8-sig")
    if "\x00" in text:
        text = ""
    hidden = 0
    if text.lstrip()[:1] in ("{", "["):
        text, hidden = redaction.pretty(text)
    return {
        "text": text,
        "size_bytes": size_bytes,
        "is_whole": is_whole,
        "hidden": hidden,
        "is_text": bool(text),
        "error": None,
    }
