"""Takes the content of ended runs and batches away, in the transaction that tells of it. Their rows stay."""

# ruff: noqa: S608 -- queries are put together once, of constants of ours; whatever comes from outside is bound

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import chain
from orchestrator.domain.chain import Event, Head, NewEvent
from orchestrator.domain.erasure import ERASED, Holdings
from orchestrator.domain.statuses import RunStatus
from orchestrator.storage import events
from orchestrator.storage.database import one, rows
from orchestrator.storage.report_scope import fact


class Of(StrEnum):
    """What is erased as a whole."""

    RUN = "run"
    BATCH = "batch"


_RUNS: Mapping[Of, str] = {
    Of.RUN: "r.workspace_id = :workspace AND r.id = :id",
    Of.BATCH: "r.workspace_id = :workspace AND r.batch_id = :id",
}

# In id order, like every lock on runs; with the ends of their histories.
LOCK = {
    of: text(f"""
    SELECT r.id, r.event_seq, r.event_hash,
        (SELECT e.at FROM events e WHERE e.stream = r.id AND e.seq = r.event_seq) AS event_at
    FROM runs r WHERE {where} ORDER BY r.id FOR UPDATE OF r""")
    for of, where in _RUNS.items()
}

# Files of every attempt: what an earlier one stored is the person's too.
HOLDINGS = {
    of: text(f"""
    SELECT r.id, r.status, r.erased_at, r.external_id, r.error_message IS NOT NULL AS has_error_text,
        encode(r.input_sha256, 'hex') AS input_sha256, r.input_bytes,
        (SELECT count(*)::int FROM labels l WHERE l.run_id = r.id) AS labels, f.filenames, f.files, f.file_bytes
    FROM runs r CROSS JOIN LATERAL (
        SELECT count(*)::int AS filenames, COALESCE(sum(a.size_bytes) FILTER (WHERE a.stored_at IS NOT NULL), 0)::bigint
                AS file_bytes,
            array_agg(encode(a.sha256, 'hex') ORDER BY a.attempt, a.n) FILTER (WHERE a.stored_at IS NOT NULL) AS files
        FROM artifacts a WHERE a.run_id = r.id) f
    WHERE {where} ORDER BY r.id""")
    for of, where in _RUNS.items()
}

BATCH = text("""
    SELECT b.external_id, b.erased_at, encode(b.source_sha256, 'hex') AS source_sha256 FROM batches b
    WHERE b.workspace_id = :workspace AND b.id = :id""")

DROP_INPUTS = text("DELETE FROM inputs WHERE run_id = ANY(CAST(:ids AS uuid[]))")
DROP_LABELS = text("DELETE FROM labels WHERE run_id = ANY(CAST(:ids AS uuid[]))")

# One UPDATE, content and history together: of a row that the same transaction has written already, every foreign key is
# checked anew, which locks its batch, its workflow and its connection after it.
ERASE_RUNS = text(f"""
    UPDATE runs r SET erased_at = orch_now(), external_id = v.external_id, event_seq = v.event_seq,
        event_hash = v.event_hash, error_message = CASE WHEN r.error_message IS NOT NULL THEN '{ERASED}' END
    FROM unnest(CAST(:ids AS uuid[]), CAST(:external_ids AS text[]), CAST(:event_seq AS bigint[]),
        CAST(:event_hash AS bytea[])) AS v(id, external_id, event_seq, event_hash) WHERE r.id = v.id""")

# The key stays until its file is gone: it says what is still to be removed, and holds ids alone.
ERASE_FILES = text(f"""
    UPDATE artifacts SET erased_at = orch_now(), filename = '{ERASED}', url = NULL, failure = NULL
    WHERE run_id = ANY(CAST(:ids AS uuid[]))""")

# A refusal is told in the provider's words, and may repeat an input: of a single launch, or of a wave in which the run
# was. The history names every launch of a run; its present execution names the last one only. What is doubted is told
# in our own words. The code before the words stays.
ERASE_DETAILS = text(f"""
    UPDATE intents i SET detail = COALESCE(substring(i.detail FROM '^[a-z][a-z_.]*: '), '') || '{ERASED}'
    WHERE i.detail IS NOT NULL AND i.outcome <> 'in_doubt' AND (i.run_id = ANY(CAST(:ids AS uuid[])) OR i.id IN (
        SELECT CASE WHEN {fact("e", "intent")} ~ '^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}$'
            THEN CAST({fact("e", "intent")} AS uuid) END
        FROM events e WHERE e.stream = ANY(CAST(:ids AS uuid[])) AND e.type = 'launching')
        -- Where the history was retired, nothing tells the waves of a run from the others of its batch.
        OR i.wave_id IN (SELECT w.id FROM runs r JOIN waves w ON w.batch_id = r.batch_id
            WHERE r.id = ANY(CAST(:ids AS uuid[])) AND EXISTS (SELECT FROM retirements t
                WHERE r.id >= t.first_stream AND r.id < t.until_stream)))""")

# A tick's batch or run has the tick's id. The path is a file's name; the schedule's own words are no run's.
ERASE_PATH = text("UPDATE fires SET path = NULL WHERE id = :id AND path IS NOT NULL")

ERASE_BATCH = text("""
    UPDATE batches SET erased_at = orch_now(), name = NULL, external_id = :external_id, paused_because = NULL
    WHERE id = :id""")

# Nothing is submitted by a removed schedule any more; one that lives is its owner's to change.
ERASE_REMOVED_INPUT = text("""
    UPDATE schedules s SET input = '' FROM fires f
    WHERE f.id = :id AND s.id = f.schedule_id AND s.removed_at IS NOT NULL AND s.input IS NOT NULL""")

# The other order: its runs were erased first, then it is removed.
ERASE_INPUT_OF = text("""
    UPDATE schedules s SET input = '' WHERE s.id = :schedule AND s.removed_at IS NOT NULL AND s.input IS NOT NULL
        AND EXISTS (SELECT FROM fires f JOIN runs r ON r.id = f.run_id
            WHERE f.schedule_id = s.id AND r.erased_at IS NOT NULL)""")

SCHEDULE = text("""
    SELECT s.name, s.input IS NOT NULL AND s.removed_at IS NULL AS holds_input, s.template IS NOT NULL AS reads_files
    FROM fires f JOIN schedules s ON s.id = f.schedule_id WHERE f.id = :id""")

#: Fields of a stored answer that are ids, times, statuses, counts and hashes; every other one goes.
KEPT_FIELDS = (
    *("id", "status", "provider_status", "results_state", "workflow_id", "workflow_name", "connection", "batch_id"),
    *("index", "created_at", "created_by", "launched_at", "finished_at", "attempts", "execution_id", "input_sha256"),
    *("input_bytes", "looks", "last_look_at", "total", "refused", "counts", "concurrency", "wave_size", "created"),
    *("dry_run", "plan", "source_sha256", "provider", "updated_at", "event_seq", "executions", "origin"),
)

# What a repeated request is told, for 7 days. An answer about a run names its batch, so the id of either is in it.
ERASE_ANSWERS = text("""
    UPDATE idempotency_keys k SET body = (
        SELECT (COALESCE(jsonb_object_agg(f.key, f.value), '{}') || jsonb_build_object('erased_at', orch_now(),
            'name', NULL, 'external_id', NULL, 'labels', '{}'::jsonb, 'results', '[]'::jsonb, 'error', NULL,
            'waiting_because', NULL, 'progress', NULL, 'results_expire_at', NULL,
            'warnings', '[]'::jsonb, 'refused_file', NULL))::text
        FROM jsonb_each(k.body::jsonb) f WHERE f.key = ANY(CAST(:kept AS text[])))
    WHERE k.workspace_id = :workspace AND k.status IS NOT NULL AND strpos(k.body, CAST(:id AS text)) > 0
        -- What an erasing itself answered counts, and holds nothing else.
        AND CASE WHEN k.body IS JSON OBJECT THEN k.body::jsonb -> 'erased_before' IS NULL ELSE false END""")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasedBatch:
    """What of a batch is its own, beside its runs."""

    external_id: str | None
    erased_at: datetime | None
    source_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The schedule that submitted what is erased, and what it still holds itself."""

    name: str
    holds_input: bool
    reads_files: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """One run that is erased.

    Args:
        external_id: what stands in place of its own id from now on, None where it has none.
        told: what its history tells of it.
    """

    run_id: UUID
    external_id: str | None
    told: NewEvent


async def lock(connection: AsyncConnection, of: Of, workspace: UUID, id: UUID) -> dict[UUID, Head]:
    """Lock the runs, and return the ends of their histories; a batch is to be locked before its runs."""
    return {
        row.id: Head(seq=row.event_seq, hash=bytes(row.event_hash), at=row.event_at)
        for row in await rows(connection, LOCK[of], {"workspace": workspace, "id": id})
    }


async def holdings(connection: AsyncConnection, of: Of, workspace: UUID, id: UUID) -> list[Holdings]:
    """Return what the runs hold, in id order; ask in a statement after the lock."""
    return [
        Holdings(
            run_id=row.id,
            status=RunStatus(row.status),
            erased_at=row.erased_at,
            external_id=row.external_id,
            has_error_text=row.has_error_text,
            input_sha256=row.input_sha256,
            input_bytes=row.input_bytes,
            labels=row.labels,
            filenames=row.filenames,
            files=tuple(row.files or ()),
            file_bytes=row.file_bytes,
        )
        for row in await rows(connection, HOLDINGS[of], {"workspace": workspace, "id": id})
    ]


async def batch(connection: AsyncConnection, workspace: UUID, id: UUID) -> ErasedBatch:
    """Return what of a batch is its own."""
    row = await one(connection, BATCH, {"workspace": workspace, "id": id})
    assert row is not None, "the caller knows the batch"
    return ErasedBatch(**row._mapping)


async def erase_runs(
    connection: AsyncConnection, runs: Sequence[Redaction], heads: Mapping[UUID, Head], *, at: datetime
) -> None:
    """Take the content of locked, ended runs away, and tell their histories.

    Args:
        heads: the ends of their histories, as they were locked.
    """
    ids = [run.run_id for run in runs]
    for query in (DROP_INPUTS, DROP_LABELS, ERASE_FILES, ERASE_DETAILS):
        await connection.execute(query, {"ids": ids})
    history: list[Event] = []
    ends: list[Head] = []
    for run in runs:
        added, end = chain.append(heads[run.run_id], run.run_id, [run.told], at=at)
        history += added
        ends.append(end)
    values = {"ids": ids, "external_ids": [run.external_id for run in runs]}
    heads_now = {"event_seq": [end.seq for end in ends], "event_hash": [end.hash for end in ends]}
    await connection.execute(ERASE_RUNS, values | heads_now)
    await events.insert(connection, history)


async def erase_batch(connection: AsyncConnection, id: UUID, *, external_id: str | None) -> None:
    """Take a locked batch's own content away."""
    await connection.execute(ERASE_BATCH, {"id": id, "external_id": external_id})


async def erase_around(connection: AsyncConnection, workspace: UUID, id: UUID) -> None:
    """Take away what repeats the content of an erased run or batch: stored answers, its tick. Harmless to do again."""
    values = {"workspace": workspace, "id": id, "kept": list(KEPT_FIELDS)}
    await connection.execute(ERASE_ANSWERS, values)
    await connection.execute(ERASE_PATH, {"id": id})
    await connection.execute(ERASE_REMOVED_INPUT, {"id": id})


async def erase_input_of_removed(connection: AsyncConnection, schedule: UUID) -> None:
    """Take the input of a removed schedule away, if a run that it submitted was erased."""
    await connection.execute(ERASE_INPUT_OF, {"schedule": schedule})


async def origin(connection: AsyncConnection, id: UUID) -> Origin | None:
    """Return the schedule that submitted a run or a batch, None when none did."""
    row = await one(connection, SCHEDULE, {"id": id})
    return None if row is None else Origin(**row._mapping)
