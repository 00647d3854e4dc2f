"""Setbacks: what cannot be recorded, or claimed, is put off, so that it harms nobody else and does not spin."""

from __future__ import annotations

from uuid import UUID

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage.database import execute
from orchestrator.storage.lanes import Turn
from orchestrator.storage.troubles import explained

# By the holder of a claim only; its fence is cleared, so that nothing of this claim can be recorded any more.
PUT_OFF = text("""
    UPDATE timers SET due_at = orch_now() + make_interval(secs => :wait_s), tries = tries + 1, fence = 0,
        worker_id = NULL
    WHERE subject_id = :id AND fence = :fence""")

# A turn to launch is held by its lane's lock, and has no fence.
PUT_OFF_TURN = text("""
    UPDATE timers SET due_at = orch_now() + make_interval(secs => :wait_s), tries = tries + 1
    WHERE subject_id = :id AND kind = 'launch'""")

# A launch that nobody recorded keeps its fence: whoever comes back late must still find it.
PUT_OFF_SENDING = text("""
    UPDATE timers SET due_at = orch_now() + make_interval(secs => :wait_s)
    WHERE subject_id = :id AND kind = 'sending' AND fence = :fence""")

PUT_OFF_LANE = {
    turn: text(f"UPDATE lanes SET {turn}_due_at = orch_now() + make_interval(secs => :wait_s) WHERE id = :lane")  # noqa: S608 - our own words
    for turn in Turn
}


def passes(failure: Exception) -> bool:
    """Tell whether a failure is the database's trouble, which passes, and not that of the data."""
    return isinstance(failure, DBAPIError | psycopg.Error) and explained(failure) is not None


async def put_off(connection: AsyncConnection, subject: UUID, fence: int, *, wait_s: float) -> bool:
    """Give a claim back, due later. False when it was lost meanwhile."""
    return bool(await execute(connection, PUT_OFF, {"id": subject, "fence": fence, "wait_s": wait_s}))


async def put_off_turn(connection: AsyncConnection, subject: UUID, *, wait_s: float) -> None:
    """Let a batch or a single run wait for its next turn to launch."""
    await connection.execute(PUT_OFF_TURN, {"id": subject, "wait_s": wait_s})


async def put_off_sending(connection: AsyncConnection, intent: UUID, fence: int, *, wait_s: float) -> None:
    """Let an intent that nobody recorded wait for the next try to decide about it."""
    await connection.execute(PUT_OFF_SENDING, {"id": intent, "fence": fence, "wait_s": wait_s})


async def put_off_lane(connection: AsyncConnection, lane: UUID, turn: Turn, *, wait_s: float) -> None:
    """Let a lane whose claim fails wait, so that it is not for ever the first."""
    await connection.execute(PUT_OFF_LANE[turn], {"lane": lane, "wait_s": wait_s})
