"""Grants: tokens of a lane that are out, written down until their calls are recorded or their worker is dead."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.governor import CallKind
from orchestrator.storage.database import rows
from orchestrator.storage.lanes import Lane

# A grant that is there already was made by the same call, whose commit's answer was lost.
GRANT_ALL = text("""
    INSERT INTO grants (id, lane_id, worker_id, kind, count, granted_at)
    SELECT id, lane_id, :worker, :kind, count, orch_now()
    FROM unnest(CAST(:ids AS uuid[]), CAST(:lanes AS uuid[]), CAST(:counts AS int[])) AS v(id, lane_id, count)
    ON CONFLICT (id) DO NOTHING""")

RELEASE_ALL = text("DELETE FROM grants WHERE id = ANY(CAST(:ids AS uuid[])) RETURNING id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """So many requests that may leave a lane now."""

    id: UUID
    lane_id: UUID
    count: int


async def grant_all(connection: AsyncConnection, granted: Collection[Grant], *, worker: UUID, kind: CallKind) -> None:
    """Write down what may leave now, of lanes that this transaction holds; tokens are out until they are released."""
    if not granted:
        return
    values = {"ids": [g.id for g in granted], "lanes": [g.lane_id for g in granted]}
    await connection.execute(
        GRANT_ALL, {**values, "counts": [g.count for g in granted], "worker": worker, "kind": kind}
    )


async def grant(connection: AsyncConnection, lane: Lane, *, id: UUID, worker: UUID, kind: CallKind, count: int) -> None:
    """Write down that so many requests may leave now; their tokens are out until `release`."""
    await grant_all(connection, [Grant(id=id, lane_id=lane.id, count=count)], worker=worker, kind=kind)


async def grant_each(
    connection: AsyncConnection, lane: Lane, *, ids: Sequence[UUID], worker: UUID, kind: CallKind
) -> None:
    """Write down a grant of one request for each id, so that each can be released by itself."""
    granted = [Grant(id=id, lane_id=lane.id, count=1) for id in ids]
    await grant_all(connection, granted, worker=worker, kind=kind)


async def release_all(connection: AsyncConnection, ids: Sequence[UUID]) -> frozenset[UUID]:
    """Take grants back, of lanes that this transaction holds; return those that were still out.

    A grant that is gone was taken for dead with its worker, and its tokens were counted as spent then.
    """
    return frozenset(row.id for row in await rows(connection, RELEASE_ALL, {"ids": list(ids)}))


async def release(
    connection: AsyncConnection, lane: Lane, grant_id: UUID, kind: CallKind, answered_ago_s: Sequence[float]
) -> Lane:
    """Take a grant back: what was answered stays spent for 60 s from its answer, what was never sent is free."""
    return lane.spent(kind, answered_ago_s) if await release_all(connection, [grant_id]) else lane


async def release_each(
    connection: AsyncConnection, lane: Lane, kind: CallKind, answered_ago_s: Mapping[UUID, float | None]
) -> Lane:
    """Take grants of one request back.

    Args:
        answered_ago_s: by grant; None: it was never sent, and its token is free at once.
    """
    found = await release_all(connection, list(answered_ago_s))
    # In an order of its own: a set has any.
    ago_s = [answered_ago_s[id] for id in sorted(found)]
    return lane.spent(kind, [s for s in ago_s if s is not None])
