"""The inbox as a person works through it: each question with what is known, and what a decision on it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import question_words as words
from orchestrator.domain.changes import InboxKind
from orchestrator.domain.operator_decisions import Resolution
from orchestrator.engine import doubt_sight
from orchestrator.engine.deps import Deps
from orchestrator.engine.shown import shown
from orchestrator.engine.who import Who
from orchestrator.errors import BadInput, NotFound
from orchestrator.storage import doubts, inbox_look

#: Runs of a wave that are named.
SHOWN_RUNS = 200


async def list_questions(
    deps: Deps, who: Who, *, kinds: Sequence[str] = (), after: UUID | None = None, limit: int = 50
) -> tuple[list[dict[str, Any]], UUID | None]:
    """Return open questions, oldest first, each with what is known; and where the next page begins."""
    if not set(kinds) <= set(InboxKind):
        raise BadInput(f"a question's kind is one of {', '.join(InboxKind)}", code="field.value")

    async def read(connection: AsyncConnection) -> list[dict[str, Any]]:
        wanted = kinds or [*InboxKind]
        return await inbox_look.page(connection, who.workspace_id, kinds=wanted, after=after, limit=limit + 1)

    found = await deps.db.run(read)
    return [_view(row) for row in found[:limit]], found[limit - 1]["id"] if len(found) > limit else None


async def show_question(deps: Deps, who: Who, item_id: UUID) -> dict[str, Any]:
    """Return one question, open or settled; of a doubt also its runs, and the `seen` that a decision goes with."""
    (found,) = await show_questions(deps, who, [item_id])
    doubt_id = UUID(found["doubt_id"])

    async def read(connection: AsyncConnection) -> Sequence[dict[str, Any]]:
        return await doubts.runs_of(connection, who.workspace_id, doubt_id, limit=SHOWN_RUNS + 1)

    runs = await deps.db.run(read) if found["wave_id"] is not None else ()
    return found | {"runs": [shown(run) for run in runs[:SHOWN_RUNS]], "more_runs": len(runs) > SHOWN_RUNS}


async def show_questions(deps: Deps, who: Who, item_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """Return some questions with what is known of each, and the `seen` that a decision goes with, oldest first.

    Raises:
        NotFound: one of them there is not.
    """

    async def read(connection: AsyncConnection) -> tuple[list[dict[str, Any]], dict[UUID, str]]:
        found = await inbox_look.find(connection, who.workspace_id, item_ids)
        ids = [_doubt_id(row) for row in found if row["kind"] == InboxKind.DOUBT]
        seen = await doubt_sight.of_doubts(connection, deps, who, ids, at=deps.sources.utc_now()) if ids else {}
        return found, seen

    found, seen = await deps.db.run(read)
    if len(found) < len(set(item_ids)):
        raise NotFound("there is no such inbox item", code="inbox_not_found", hint="orchestrator inbox list")
    return [_view(row) | {"seen": seen.get(_doubt_id(row))} for row in found]


def _doubt_id(row: Mapping[str, Any]) -> UUID:
    """Return by which id the doubt is resolved: its wave's, or its run's."""
    found: UUID = row["wave_id"] or row["run_id"]
    return found


def _view(row: Mapping[str, Any]) -> dict[str, Any]:
    is_doubt = row["kind"] == InboxKind.DOUBT
    told = {name: value for name, value in row.items() if name not in ("console_url", "detail")}
    return shown(
        told
        | {
            "doubt_id": _doubt_id(row),
            "link": words.outside(row["link"]),
            "console": words.console_home(row["console_url"], row["workflow_id"]),
            "what_came": words.what_came(row) if is_doubt else None,
            "worker": words.worker(row) if is_doubt else None,
            "policy": words.policy(row["on_doubt"]) if is_doubt else None,
            "decisions": _decisions(row) if is_doubt and row["closed_at"] is None else {},
        }
    )


def _decisions(row: Mapping[str, Any]) -> dict[str, str]:
    """Return what may be decided, and what each does. What is not in doubt any more can only be taken note of."""
    if not row["doubts"]:
        return {str(Resolution.ABANDON): words.ACKNOWLEDGED}
    return {str(how): effect for how, effect in words.EFFECTS.items()}
