"""Due work: whether any of a kind is due anywhere, and when the next will be. Asked by every worker all the time."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage import deliveries, watches

# A pump asks this before it rings or works: one row, from a few small indexes.
ANY_DUE = text(f"""
    SELECT EXISTS (SELECT FROM lanes WHERE launch_due_at <= orch_now()) AS launch,
           EXISTS (SELECT FROM lanes WHERE poll_due_at <= orch_now())
               OR {watches.IS_DUE} AS poll,
           EXISTS (SELECT FROM timers WHERE kind = 'download' AND due_at <= orch_now()) AS download,
           EXISTS (SELECT FROM timers WHERE kind = 'sending' AND due_at <= orch_now()) AS sweep,
           EXISTS (SELECT FROM schedules WHERE next_at <= orch_now() AND removed_at IS NULL)
               OR EXISTS (SELECT FROM fires WHERE due_at <= orch_now()) AS fire,
           {deliveries.DUE} AS deliver""")  # noqa: S608 - our own words

# When the next work of a kind is due, in seconds: each is the first entry of an index.
DUE_IN = {
    "launch": text("SELECT extract(epoch FROM min(launch_due_at) - orch_now())::float8 FROM lanes"),
    "poll": text(f"""
        SELECT extract(epoch FROM LEAST((SELECT min(poll_due_at) FROM lanes), ({watches.NEXT_DUE}))
            - orch_now())::float8"""),  # noqa: S608 - our own words
    "download": text("SELECT extract(epoch FROM min(due_at) - orch_now())::float8 FROM timers WHERE kind = 'download'"),
}


async def any_due(connection: AsyncConnection) -> frozenset[str]:
    """Return which kinds of work are due anywhere: `launch`, `poll`, `download`, `sweep`, `fire`, `deliver`."""
    row = (await connection.execute(ANY_DUE)).one()
    return frozenset(kind for kind, due in row._mapping.items() if due)


async def due_in_s(connection: AsyncConnection, kind: str) -> float | None:
    """Return in how many seconds the next work of a kind of `DUE_IN` is due (negative: it is); None: none in sight."""
    found: float | None = (await connection.execute(DUE_IN[kind])).scalar_one()
    return found
