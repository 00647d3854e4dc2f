"""A database whose clock went back: what lies too far in the future to be meant is brought back to now."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage.database import execute, rows

_FAR = "orch_now() + make_interval(secs => :far_s)"

# Workers and operators never write such times: the longest wait (Retry-After, or a row that breaks its claims) is an
# hour. So they were written by a clock that was ahead.
AHEAD = text(f"""
    SELECT id FROM lanes WHERE GREATEST(launch_due_at, poll_due_at, blocked_until, breaker_probe_at) > {_FAR}
    UNION SELECT lane_id FROM timers WHERE due_at > {_FAR}
    UNION SELECT lane_id FROM workflows WHERE launches_blocked_until > {_FAR}
    ORDER BY 1 LIMIT 100""")  # noqa: S608 - our own words

# A claim that is held keeps a lease, and an intent on the wire its time to be recorded: neither is anybody else's yet.
BRING_TIMERS = text(f"""
    UPDATE timers SET due_at = LEAST(due_at, orch_now() + make_interval(secs => CASE
        WHEN kind = 'sending' THEN :call_s WHEN worker_id IS NOT NULL THEN :lease_s ELSE 0 END))
    WHERE lane_id = :lane AND due_at > {_FAR}""")  # noqa: S608 - our own words

BRING_WORKFLOWS = text(f"""
    UPDATE workflows SET launches_blocked_until = orch_now()
    WHERE lane_id = :lane AND launches_blocked_until > {_FAR}""")  # noqa: S608 - our own words

# A silence that the provider asked for is kept for as long as it may be, and no longer. LEAST passes over NULLs, and
# must not make a silence where none was.
BRING_LANE = text("""
    UPDATE lanes SET launch_due_at = orch_now(), poll_due_at = orch_now(),
        blocked_until = CASE WHEN blocked_until IS NOT NULL THEN LEAST(blocked_until, orch_now() + interval '1 hour')
                        END,
        breaker_probe_at = CASE WHEN breaker_probe_at IS NOT NULL THEN LEAST(breaker_probe_at, orch_now()) END
    WHERE id = :lane""")


async def lanes_ahead(connection: AsyncConnection, *, far_s: float) -> list[UUID]:
    """Return lanes on which something is due later than it can be meant to be."""
    return [row.id for row in await rows(connection, AHEAD, {"far_s": far_s})]


async def bring_back(connection: AsyncConnection, lane: UUID, *, far_s: float, lease_s: float, call_s: float) -> int:
    """Make what is too far ahead on a lane that is locked due by this clock; return how many timers."""
    values = {"lane": lane, "far_s": far_s}
    found = await execute(connection, BRING_TIMERS, {**values, "lease_s": lease_s, "call_s": call_s})
    await connection.execute(BRING_WORKFLOWS, values)
    await connection.execute(BRING_LANE, {"lane": lane})
    return found
