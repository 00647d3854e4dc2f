"""Erases the content of what ended long ago, as a person could: a few at a time, in rounds through all that is old."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import retention as rules
from orchestrator.engine import erase
from orchestrator.engine.deps import Deps
from orchestrator.engine.who import SCOPES, Who
from orchestrator.errors import Conflict
from orchestrator.storage import retention
from orchestrator.storage.database import now as transaction_now
from orchestrator.telemetry import get_logger

log = get_logger(__name__)

ACTOR = "orchestrator"
BEFORE_ALL = UUID(int=0)

#: Rows of the key that a step reads, and erasings that it does: a batch is up to ten thousand runs.
READ_AT_ONCE = 1000
ERASED_AT_ONCE = {"batches": 2, "runs": 50}

LEASE_S = 900.0
#: Between two steps of a round, and between two rounds.
STEP_S, ROUND_S = 5.0, 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a step did. `is_over`: the round has come to its end."""

    erased: int
    is_over: bool


NOTHING = Step(erased=0, is_over=True)


async def step(deps: Deps, kind: str, *, at_once: bool = False) -> Step | None:
    """Take a round one step further. Returns what it did, None where it is not due, or somebody else is at it.

    Raises:
        Unavailable: the database is away. What was erased is erased; the round goes on from where it was.
    """
    keep_days = deps.settings.keep_content_days
    if keep_days is None:
        return NOTHING

    async def begin(connection: AsyncConnection) -> tuple[datetime, UUID, datetime] | None:
        claimed = await retention.claim(connection, kind, lease_s=LEASE_S, at_once=at_once)
        if claimed is None:
            return None
        before = await transaction_now(connection) - timedelta(days=keep_days)
        return claimed[0], claimed[1] or BEFORE_ALL, before

    begun = await deps.db.run(begin)
    if begun is None:
        return None
    lease, after, before = begun

    async def read(connection: AsyncConnection) -> list[tuple[UUID, UUID, bool]]:
        # What was made after it has not ended before it.
        until = rules.first_id(before + timedelta(minutes=5))
        return await retention.old(connection, kind, after=after, until=until, before=before, limit=READ_AT_ONCE)

    found = await deps.db.run(read)
    due = [(id, workspace) for id, workspace, is_due in found if is_due]
    now = due[: ERASED_AT_ONCE[kind]]
    is_cut = len(due) > len(now) or len(found) == READ_AT_ONCE
    reached = now[-1][0] if len(due) > len(now) else (found[-1][0] if found else after)
    erased = 0
    for id, workspace in now:
        erased += await _erase(deps, kind, id, workspace, keep_days)

    async def leave(connection: AsyncConnection) -> None:
        wait_s, mark = (STEP_S, reached) if is_cut else (ROUND_S, None)
        await retention.leave(connection, kind, lease, wait_s=wait_s, reached=mark)

    await deps.db.run(leave)
    if erased:
        log.info("content was erased by its age", code="content_retired", kind=kind, erased=erased, keep_days=keep_days)
    return Step(erased=erased, is_over=not is_cut)


async def _erase(deps: Deps, kind: str, id: UUID, workspace: UUID, keep_days: int) -> int:
    who = Who(workspace_id=workspace, actor=ACTOR, scopes=frozenset(SCOPES))
    verb = erase.erase_batch if kind == "batches" else erase.erase_run
    try:
        await verb(deps, who, id, reason=f"retention: it ended more than {keep_days} days ago")
    except Conflict as moved:
        # It goes on again: somebody retried it just now. The next round looks anew.
        log.info("it is not erased by its age", code="content_kept", kind=kind, id=str(id), because=str(moved))
        return 0
    return 1
