"""Claims runs whose result files are to be fetched, earliest expiry first, and records what became of the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.changes import Change
from orchestrator.domain.download_decisions import FileOutcome
from orchestrator.domain.statuses import RunStatus
from orchestrator.runtime import Sources
from orchestrator.storage import changes, fences, lanes, offers
from orchestrator.storage.changes import Applied
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.database import rows
from orchestrator.storage.lanes import Turn
from orchestrator.storage.sealing import Sealer

# Of what is due, the results that die first. The inner LIMIT bounds the sort when very many are due at once.
CLAIM = text("""
    WITH near AS MATERIALIZED (
        SELECT subject_id, deadline_at FROM timers WHERE kind = 'download' AND due_at <= orch_now()
        ORDER BY due_at LIMIT 5000),
    due AS MATERIALIZED (
        SELECT t.subject_id FROM timers t JOIN near USING (subject_id)
        WHERE t.kind = 'download' AND t.due_at <= orch_now()
        ORDER BY near.deadline_at NULLS LAST LIMIT :limit FOR UPDATE OF t SKIP LOCKED),
    claimed AS (
        UPDATE timers t SET due_at = orch_now() + make_interval(secs => :lease_s), fence = nextval('fences'),
            worker_id = :worker
        FROM due WHERE t.subject_id = due.subject_id
        RETURNING t.subject_id, t.fence, t.tries, t.refreshes, t.lane_id, t.deadline_at,
            t.gone_since)
    SELECT c.*, r.attempt, r.status, r.workspace_id, orch_now() AS now
    FROM claimed c JOIN runs r ON r.id = c.subject_id""")

# A long file keeps its lease while bytes come.
RENEW = text("""
    UPDATE timers t SET due_at = orch_now() + make_interval(secs => :lease_s)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:fences AS bigint[])) AS v(id, fence)
    WHERE t.subject_id = v.id AND t.fence = v.fence""")

KEYS = text("SELECT store_key FROM artifacts WHERE run_id = :id AND store_key IS NOT NULL")


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadClaim:
    """A leased right to store one run's files."""

    run_id: UUID
    fence: int
    attempt: int
    workspace_id: UUID
    lane_id: UUID
    tries: int
    refreshes: int
    claimed_at: datetime
    files: tuple[offers.WantedFile, ...]
    gone_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadResult:
    """What became of one run's files, and what that means for the run."""

    claim: DownloadClaim
    outcomes: Sequence[FileOutcome]
    change: Change

    @property
    def asks_for_a_look(self) -> bool:
        """The provider is to be asked for fresh URLs."""
        return self.change.timer is not None and self.change.timer.kind == "poll"


async def claim(
    connection: AsyncConnection, *, worker: UUID, limit: int, lease_s: float, sealer: Sealer
) -> list[DownloadClaim]:
    """Claim the runs whose results die first."""
    found = await rows(connection, CLAIM, {"worker": worker, "limit": limit, "lease_s": lease_s})
    # What dies first goes first within a claim too; the database returns claimed rows in any order.
    found = sorted(found, key=lambda row: (row.deadline_at is None, row.deadline_at, row.subject_id))
    held = [row for row in found if row.status == RunStatus.DOWNLOADING]
    files = await offers.wanted(connection, [(r.subject_id, r.attempt) for r in held], sealer=sealer)
    return [
        DownloadClaim(
            run_id=r.subject_id,
            fence=r.fence,
            attempt=r.attempt,
            workspace_id=r.workspace_id,
            lane_id=r.lane_id,
            tries=r.tries,
            refreshes=r.refreshes,
            claimed_at=r.now,
            files=tuple(files.get(r.subject_id, ())),
            gone_since=r.gone_since,
        )
        for r in held
    ]


async def renew(connection: AsyncConnection, claims: Sequence[DownloadClaim], *, lease_s: float) -> None:
    """Hold claims longer; nothing happens to those that were lost or recorded."""
    values = {"ids": [c.run_id for c in claims], "fences": [c.fence for c in claims]}
    await connection.execute(RENEW, {**values, "lease_s": lease_s})


async def keys(connection: AsyncConnection, run_id: UUID) -> set[str]:
    """Return where a run's files are stored, of every attempt."""
    return {row.store_key for row in await rows(connection, KEYS, {"id": run_id})}


async def record(
    connection: AsyncConnection, results: Sequence[DownloadResult], *, sources: Sources, sealer: Sealer
) -> Applied:
    """Write what became of runs' files and of the runs, where the claims still hold."""
    asked = sorted({r.claim.lane_id for r in results if r.asks_for_a_look})
    for lane_id in asked:
        # Its runs ask for fresh URLs: the lane has urgent looks to do.
        await lanes.lock(connection, lane_id)
        await lanes.wake(connection, lane_id, Turn.POLL)
    held = await fences.held(connection, {r.claim.run_id: r.claim.fence for r in results})
    valid = [r for r in results if r.claim.run_id in held]
    if not valid:
        return Applied.nothing()
    await offers.record(connection, [(r.claim.run_id, r.claim.attempt, o) for r in valid for o in r.outcomes])
    moment = await transaction_now(connection)
    return await changes.apply(
        connection,
        [r.change for r in valid],
        now=moment,
        sources=sources,
        sealer=sealer,
        lane={r.claim.run_id: r.claim.lane_id for r in valid if r.asks_for_a_look},
    )
