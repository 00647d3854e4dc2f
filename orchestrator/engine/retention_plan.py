"""What an operator asks about retention: what would go and why the rest stays; and to let it go now."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.engine import content_retention, retention
from orchestrator.engine.deps import Deps
from orchestrator.engine.retention_export import UNPROVEN
from orchestrator.errors import Conflict
from orchestrator.storage import retention as stored
from orchestrator.storage.database import now as transaction_now

#: Steps that one command takes of each kind; the workers go on.
MAX_STEPS, MAX_MONTHS = 500, 120


async def plan(deps: Deps) -> dict[str, Any]:
    """Return what is kept for how long, and what that means today; read-only.

    Raises:
        Unavailable: the database is away.
    """
    content_days, history_days = deps.settings.keep_content_days, deps.settings.keep_history_days

    async def due(connection: AsyncConnection) -> tuple[int, int]:
        if content_days is None:
            return 0, 0
        return await stored.to_erase(connection, await transaction_now(connection) - timedelta(days=content_days))

    batches, runs = await deps.db.run(due)
    months = [] if history_days is None else await retention.fates(deps, keep_days=history_days)
    unproven = await deps.db.run(stored.unproven)
    return {
        "keep_content_days": content_days,
        "keep_history_days": history_days,
        "content": {"batches": batches, "runs": runs},
        "months": [{**fate.shown(), "is_unproven": fate.month.name in unproven} for fate in months],
        "retired_dir": None if deps.retired is None else deps.retired.place,
    }


async def carry_out(deps: Deps) -> dict[str, Any]:
    """Do all of it now; return what was done, and which months could not be proven.

    Raises:
        Unavailable: the database is away, or there is no place for an export. What was done is done.
    """
    erased = {kind: await _erase_all(deps, kind) for kind in ("batches", "runs")}
    months: list[dict[str, Any]] = []
    unproven: list[str] = []
    for at in range(MAX_MONTHS):
        try:
            gone = await retention.retire_next(deps, at_once=True, anew=at == 0)
        except Conflict as error:
            if error.code != UNPROVEN:
                raise
            unproven.append(error.message)
            continue
        if gone is None:
            break
        months.append({name: str(v) if isinstance(v, UUID) else v for name, v in asdict(gone).items()})
    counts = {kind: count for kind, (count, _) in erased.items()}
    is_cut = any(cut for _, cut in erased.values()) or len(months) + len(unproven) == MAX_MONTHS
    return {**counts, "months": months, "unproven": unproven, "is_cut": is_cut}


async def _erase_all(deps: Deps, kind: str) -> tuple[int, bool]:
    """Take steps until a round is done; return how many were erased, and whether there is more."""
    erased = 0
    for _ in range(MAX_STEPS):
        done = await content_retention.step(deps, kind, at_once=True)
        if done is None:
            return erased, True
        erased += done.erased
        if done.is_over:
            return erased, False
    return erased, True
