"""Reads doubts: single launches and waves of which it is not known whether they arrived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.operator_decisions import LateFacts, RunFacts
from orchestrator.domain.statuses import RunStatus
from orchestrator.storage.database import one, rows

# A wave is one question; a single launch is one each. Ids are made in the order of time, so pages go by them.
LIST = text("""
    SELECT COALESCE(e.wave_id, r.id) AS id, CASE WHEN e.wave_id IS NULL THEN 'run' ELSE 'wave' END AS kind,
        r.batch_id, w.remote_id AS workflow_id, n.name AS connection, count(*)::int AS runs_in_doubt,
        min(r.status_at) AS since, max(COALESCE(e.slot_until, v.slots_until)) AS holds_slots_until,
        max(i.detail) AS reason
    FROM runs r JOIN executions e ON e.run_id = r.id AND e.attempt = r.attempt
    JOIN workflows w ON w.id = r.workflow_id JOIN connections n ON n.id = r.connection_id
    JOIN intents i ON i.id = e.intent_id LEFT JOIN waves v ON v.id = e.wave_id
    WHERE r.workspace_id = :workspace AND r.status = 'in_doubt'
        AND (CAST(:after AS uuid) IS NULL OR COALESCE(e.wave_id, r.id) > :after)
    GROUP BY COALESCE(e.wave_id, r.id), e.wave_id, r.batch_id, w.remote_id, n.name ORDER BY 1 LIMIT :limit""")

RUNS = text("""
    SELECT r.id, r.index, r.attempt, e.position FROM runs r
    JOIN executions e ON e.run_id = r.id AND e.attempt = r.attempt
    WHERE r.workspace_id = :workspace AND r.status = 'in_doubt' AND (e.wave_id = :id OR r.id = :id)
    ORDER BY e.position LIMIT :limit""")

# Where a doubt hangs: its lane and batch are locked before its runs. One that was launched again has no execution yet.
PLACE = text("""
    SELECT r.workspace_id, w.lane_id, r.batch_id, e.wave_id, r.connection_id, n.provider, n.base_url, n.api_key,
        n.api_version, w.remote_id AS remote_workflow_id FROM (
        SELECT run_id FROM executions WHERE wave_id = :id UNION ALL SELECT :id) v
    JOIN runs r ON r.id = v.run_id LEFT JOIN executions e ON e.run_id = r.id AND e.attempt = r.attempt
    JOIN workflows w ON w.id = r.workflow_id JOIN connections n ON n.id = r.connection_id
    WHERE r.workspace_id = :workspace ORDER BY (r.status = 'in_doubt') DESC LIMIT 1""")

LOCK_RUNS = text("""
    SELECT r.id, r.status, r.attempt, r.index, r.batch_id, r.execution_id, e.position
    FROM runs r JOIN executions e ON e.run_id = r.id AND e.attempt = r.attempt
    WHERE r.workspace_id = :workspace AND r.status = 'in_doubt' AND (e.wave_id = :id OR r.id = :id)
    ORDER BY r.id FOR UPDATE OF r""")

# A run that is not in doubt, about which a late answer has put a question all the same.
LOCK_ASKED = text("""
    SELECT r.id, r.status, r.attempt, r.batch_id, r.execution_id FROM runs r
    WHERE r.workspace_id = :workspace AND r.id = :id AND EXISTS (
        SELECT FROM inbox i WHERE i.run_id = r.id AND i.kind = 'doubt' AND i.closed_at IS NULL) FOR UPDATE OF r""")

# In id order, like every lock on runs. The attempt may be another launch's by now.
LOCK_LATE = text("""
    SELECT r.id, r.status, r.attempt, r.batch_id, r.execution_id, e.attempt AS late, e.intent_id = :intent AS is_its_own
    FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[])) AS v(run_id, attempt)
    JOIN runs r ON r.id = v.run_id JOIN executions e ON e.run_id = v.run_id AND e.attempt = v.attempt
    ORDER BY r.id FOR UPDATE OF r""")

# Under the locks of a decision, or beside what is shown: how the histories of a doubt's runs end.
STANDING = text("""
    SELECT v.id, f.* FROM unnest(CAST(:ids AS uuid[])) AS v(id), LATERAL (
        SELECT count(*) FILTER (WHERE r.status = 'in_doubt')::int AS runs, COALESCE(max(r.event_seq), 0) AS seq,
            COALESCE(min(r.status), 'in_doubt') AS status, encode(sha256(convert_to(COALESCE(string_agg(
                r.id::text || ':' || encode(r.event_hash, 'hex'), ',' ORDER BY r.id), ''), 'UTF8')), 'hex') AS digest
        FROM (SELECT v.id AS run_id UNION ALL
            SELECT e.run_id FROM executions e WHERE e.wave_id = v.id AND e.state = 'in_doubt') x
        JOIN runs r ON r.id = x.run_id AND r.workspace_id = :workspace) f""")

# Whatever became of the attempt: this id is known from now on, and can be adopted by no other.
KEEP_IDS = text("""
    UPDATE executions e SET remote_id = v.remote_id
    FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[]), CAST(:remote_ids AS text[]))
        AS v(run_id, attempt, remote_id)
    WHERE e.run_id = v.run_id AND e.attempt = v.attempt AND e.intent_id = :intent AND e.remote_id IS NULL""")


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtPlace:
    """What a doubt hangs on, and how its provider is asked."""

    workspace_id: UUID
    lane_id: UUID
    batch_id: UUID | None
    wave_id: UUID | None
    connection_id: UUID
    provider: str
    base_url: str
    api_key: bytes = field(repr=False)
    api_version: str | None
    remote_workflow_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a doubt stands: its runs in doubt, and a digest over the ends of their histories.

    Args:
        seq: the last event's number, of a run alone; status: that run's; of a wave they say nothing more.
    """

    id: UUID
    runs: int
    seq: int
    status: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtedRun:
    """A run in doubt, locked, and where it stands in its file and in its wave."""

    facts: RunFacts
    index: int | None
    position: int


async def page(
    connection: AsyncConnection, workspace: UUID, *, after: UUID | None = None, limit: int
) -> list[dict[str, Any]]:
    """Return the doubts after one, oldest first: by when the run or the wave was made."""
    values = {"workspace": workspace, "after": after, "limit": limit}
    return [dict(row._mapping) for row in await rows(connection, LIST, values)]


async def runs_of(
    connection: AsyncConnection, workspace: UUID, doubt_id: UUID, *, limit: int
) -> Sequence[dict[str, Any]]:
    """Return the runs of one doubt."""
    values = {"workspace": workspace, "id": doubt_id, "limit": limit}
    return [dict(row._mapping) for row in await rows(connection, RUNS, values)]


async def standing(connection: AsyncConnection, workspace: UUID, ids: Sequence[UUID]) -> list[Standing]:
    """Return how some doubts stand, a run's or a wave's each."""
    found = await rows(connection, STANDING, {"workspace": workspace, "ids": [*ids]})
    return [Standing(**row._mapping) for row in found]


async def place(connection: AsyncConnection, workspace: UUID, doubt_id: UUID) -> DoubtPlace | None:
    """Return what a doubt (a run's id or a wave's) hangs on, None when there is no such run or wave."""
    found = await rows(connection, PLACE, {"workspace": workspace, "id": doubt_id})
    return DoubtPlace(**{**found[0]._mapping, "api_key": bytes(found[0].api_key)}) if found else None


async def lock_runs(connection: AsyncConnection, workspace: UUID, doubt_id: UUID) -> list[DoubtedRun]:
    """Lock the runs of a doubt that are still in doubt."""
    found = await rows(connection, LOCK_RUNS, {"workspace": workspace, "id": doubt_id})
    return [DoubtedRun(facts=_facts(row), index=row._mapping["index"], position=row.position) for row in found]


async def lock_asked(connection: AsyncConnection, workspace: UUID, run_id: UUID) -> RunFacts | None:
    """Lock a run about which a doubt's question stands open."""
    row = await one(connection, LOCK_ASKED, {"workspace": workspace, "id": run_id})
    return None if row is None else _facts(row)


async def lock_late(connection: AsyncConnection, attempts: Mapping[UUID, int], *, intent: UUID) -> list[LateFacts]:
    """Lock the runs of an intent whose answer came late. `attempts` are those that it launched."""
    values = {"ids": list(attempts), "attempts": list(attempts.values()), "intent": intent}
    return [
        LateFacts(run=_facts(row), attempt=row.late, is_its_own=row.is_its_own)
        for row in await rows(connection, LOCK_LATE, values)
    ]


async def keep_ids(connection: AsyncConnection, ids: Mapping[UUID, tuple[int, str]], *, intent: UUID) -> None:
    """Keep an intent's late execution ids: (attempt, id) by run."""
    attempts, remote_ids = [attempt for attempt, _ in ids.values()], [id for _, id in ids.values()]
    await connection.execute(
        KEEP_IDS, {"ids": list(ids), "attempts": attempts, "remote_ids": remote_ids, "intent": intent}
    )


def _facts(row: Row[Any]) -> RunFacts:
    return RunFacts(
        run_id=row.id,
        status=RunStatus(row.status),
        attempt=row.attempt,
        of_batch=row.batch_id is not None,
        execution_id=row.execution_id,
    )
