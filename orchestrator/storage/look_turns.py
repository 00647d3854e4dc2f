"""Whose turn to look it is, with what else a turn needs to know: one statement, whatever there is to do.

So a connection without a list, and a house without a watch, pay nothing for either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage import lanes, watches
from orchestrator.storage.lanes import COLUMNS, Lane

# SKIP LOCKED, as of launches. The outer join tells of walks where no lane is due, too.
LOCK_DUE = text(f"""
    SELECT {watches.IS_DUE} AS walk_is_due, l.* FROM (VALUES (1)) AS o LEFT JOIN LATERAL (
        SELECT {COLUMNS}, ARRAY(SELECT DISTINCT c.provider FROM connections c
            WHERE c.lane_id = lanes.id AND c.removed_at IS NULL) AS providers
        FROM lanes WHERE poll_due_at <= orch_now() ORDER BY poll_due_at LIMIT 1 FOR UPDATE SKIP LOCKED) l
    ON true""")  # noqa: S608 - our own words


@dataclass(frozen=True, slots=True, kw_only=True)
class LookTurn:
    """The lane that has been due longest, locked, and its providers; None when none is due and free."""

    lane: Lane | None
    providers: tuple[str, ...] = ()


async def lock_due(
    connection: AsyncConnection, *, told: Callable[[UUID], None] | None = None, walks: Callable[[], None] | None = None
) -> LookTurn:
    """Lock the lane whose looks have been due longest.

    Args:
        told: hears which lane it is before anything else of its data is read, so that one that breaks a claim is known.
        walks: hears that a walk is due, on whatever lane.
    """
    row = (await connection.execute(LOCK_DUE)).one()
    if row.walk_is_due and walks is not None:
        walks()
    if row.id is None:
        return LookTurn(lane=None)
    return LookTurn(lane=await lanes.of_locked(connection, row, told=told), providers=tuple(row.providers))
