"""Is it well? Readiness for load balancers, asked from the database."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator import __version__
from orchestrator.domain.alarms import STALLED_AFTER_S
from orchestrator.engine.deps import Deps
from orchestrator.errors import OrchestratorError
from orchestrator.storage import health, highwater, workers
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.workers import WorkerRow


async def readiness(deps: Deps) -> dict[str, Any]:
    """Say whether the database answers and workers make progress. Never raises for what it reports."""

    async def read(connection: AsyncConnection) -> tuple[list[str], list[WorkerRow], str | None, str | None]:
        due_since = await health.due_since(connection)
        stalled = _stalled(due_since, await transaction_now(connection))
        alive = await workers.alive(connection, dead_after_s=deps.settings.dead_after_s)
        held = await highwater.held_because(connection)
        return stalled, alive, await health.revision(connection), held

    try:
        stalled, alive, revision, held = await deps.db.run(read, tries=2)
    except OrchestratorError as error:
        away = {"ready": False, "because": "the database is away", "database": error.message, "migrations": None}
        return {**away, "workers": None, "version": __version__}
    running = [w for w in alive if w.state == "running"]
    return {
        "ready": bool(running) and not stalled,
        "because": _because(running, stalled),
        "database": "ok",
        "migrations": revision,
        "workers": {"alive": len(running), "progressing": bool(running) and not stalled, "stalled": stalled},
        # Not unready: whoever asks and submits is served, and what was launched is watched.
        "launches_held": held,
        "version": __version__,
    }


def _because(running: list[WorkerRow], stalled: list[str]) -> str | None:
    """Say in words why nothing gets done, None when it does."""
    if not running:
        return "no worker lives"
    return f"due for over {STALLED_AFTER_S:.0f} s and not done: {', '.join(stalled)}" if stalled else None


def _stalled(due_since: dict[str, datetime | None], now: datetime) -> list[str]:
    """Return the kinds of work that have been due for so long that nobody does them."""
    due = ((kind, since) for kind, since in due_since.items() if since is not None)
    return [kind for kind, since in due if (now - since).total_seconds() > STALLED_AFTER_S]
