"""Files of erased runs that are still to be removed: no transaction is open while a store is spoken to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage.database import rows

#: Of the first look's end, seconds: by then nothing is on its way any more that was when the run was erased, and what
#: killed workers left unfinished is an hour old.
LATE_LOOK_S = 3_700

#: What failed is tried again after so long, then ever later, seconds.
FIRST_S, LONGEST_S = 30, 300

ADD = text("""
    INSERT INTO erasures (run_id, workspace_id, due_at)
    SELECT v.id, :workspace, orch_now() FROM unnest(CAST(:ids AS uuid[])) AS v(id) ON CONFLICT (run_id) DO NOTHING""")

# A claim that is lost with its worker is free again by itself: removing twice is removing once. SKIP LOCKED: any number
# of sweeps go on side by side.
CLAIM = text("""
    WITH due AS (
        SELECT run_id FROM erasures WHERE due_at <= orch_now() ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED)
    UPDATE erasures e SET tries = tries + 1,
        due_at = orch_now() + make_interval(secs => LEAST(:longest_s, :first_s * (tries + 1)))
    FROM due WHERE e.run_id = due.run_id
    RETURNING e.run_id, e.workspace_id, e.is_late_look,
        (SELECT array_agg(a.store_key ORDER BY a.attempt, a.n) FROM artifacts a
         WHERE a.run_id = e.run_id AND a.store_key IS NOT NULL) AS keys""")

DROP_KEYS = text("""
    UPDATE artifacts SET store_key = NULL
    WHERE run_id = ANY(CAST(:ids AS uuid[])) AND erased_at IS NOT NULL AND store_key IS NOT NULL""")

LOOK_LATER = text("""
    UPDATE erasures SET is_late_look = true, tries = 0, due_at = orch_now() + make_interval(secs => :late_s)
    WHERE run_id = ANY(CAST(:ids AS uuid[]))""")

OVER = text("DELETE FROM erasures WHERE run_id = ANY(CAST(:ids AS uuid[])) AND is_late_look")

# Postgres' planner keeps samples of the columns that are looked up by; sampled anew, they are of what is there now.
SAMPLE = text("ANALYZE runs (external_id), batches (external_id)")

LEFT = text("""
    SELECT count(*)::int FROM runs r JOIN artifacts a ON a.run_id = r.id
    WHERE (r.id = :id OR r.batch_id = :id) AND a.erased_at IS NOT NULL AND a.store_key IS NOT NULL""")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToRemove:
    """An erased run whose files are to be removed. At the late look none is known any more; its folder is looked at."""

    run_id: UUID
    workspace_id: UUID
    is_late_look: bool
    keys: tuple[str, ...]


async def add(connection: AsyncConnection, workspace: UUID, run_ids: Sequence[UUID]) -> None:
    """Write down that the files of runs are to be removed, now."""
    await connection.execute(ADD, {"workspace": workspace, "ids": list(run_ids)})


async def claim(connection: AsyncConnection, *, limit: int) -> list[ToRemove]:
    """Claim erased runs whose files are to be removed."""
    values = {"limit": limit, "first_s": FIRST_S, "longest_s": LONGEST_S}
    return [
        ToRemove(**{**row._mapping, "keys": tuple(row.keys or ())}) for row in await rows(connection, CLAIM, values)
    ]


async def removed(connection: AsyncConnection, done: Sequence[ToRemove]) -> None:
    """Write down that the files are gone; at the late look forget the last samples of what was erased, too."""
    first = [item.run_id for item in done if not item.is_late_look]
    late = [item.run_id for item in done if item.is_late_look]
    await connection.execute(DROP_KEYS, {"ids": [*first, *late]})
    await connection.execute(LOOK_LATER, {"ids": first, "late_s": LATE_LOOK_S})
    if late:
        await connection.execute(SAMPLE)
        await connection.execute(OVER, {"ids": late})


async def left(connection: AsyncConnection, id: UUID) -> int:
    """Count the files of an erased run or batch that are still in the store."""
    found: int = (await connection.execute(LEFT, {"id": id})).scalar_one()
    return found
