"""The lists behind a report's figures, streamed through a server-side cursor: never all of them in memory."""

# ruff: noqa: S608 -- queries are put together once, of constants of ours; whatever comes from outside is bound

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage.database import rows
from orchestrator.storage.report_scope import BATCHES, RUNS, TICKS_OF, Scope, ScopeKind, fact

#: Rows that a list has at most: far beyond a report's size, so that a mistake ends.
MAX_ROWS = 20_000_000
ROWS_AT_ONCE = 1_000

#: Result files that are read for a sum.
MAX_SUMMED_FILES = 100_000


class Listed(StrEnum):
    """The lists of a report."""

    RUNS = "runs"
    FAILURES = "failures"
    DOUBTS = "doubts"
    ACTS = "acts"
    ATTEMPTS = "attempts"
    RESULTS = "results"
    TICKS = "ticks"


# In the order of the file; a period's in the order of their ids, which is an index's, and about that of time.
_ORDER = {ScopeKind.BATCH: "r.index, r.id", ScopeKind.PERIOD: "r.id", ScopeKind.WORKFLOW: "r.id"}

_RUN = """SELECT r.id AS run, r.batch_id AS batch, r.index, r.external_id, w.remote_id AS workflow,
    n.name AS connection, r.status, r.error_code, r.error_message, r.attempt AS attempts, r.execution_id,
    r.created_at, r.created_by, r.launched_at, r.ended_at,
    round(extract(epoch FROM r.ended_at - r.created_at), 3) AS seconds, r.results_state, r.input_bytes,
    encode(r.input_sha256, 'hex') AS input_sha256, r.erased_at
    FROM runs r JOIN workflows w ON w.id = r.workflow_id JOIN connections n ON n.id = r.connection_id"""

# What settled a doubt is the next such event; a late answer settles the doubt of its own attempt only.
DOUBTS_OF = {
    kind: f"""SELECT r.id AS run, r.batch_id AS batch, r.index, {fact("e", "attempt")} AS attempt, e.at AS raised_at,
        {fact("e", "reason")} AS why, x.type AS settled, x.how, x.actor, x.reason, x.at AS settled_at
    FROM runs r JOIN events e ON e.stream = r.id AND e.type = 'in_doubt' LEFT JOIN LATERAL (
        SELECT s.type, {fact("s", "how")} AS how, s.actor, {fact("s", "reason")} AS reason, s.at FROM events s
        WHERE s.stream = e.stream AND s.seq > e.seq AND (s.type IN ('adopted', 'doubt_resolved', 'never_sent',
            'relaunched', 'failed_by_policy', 'abandoned')
            OR (s.type = 'late_answer' AND {fact("s", "attempt")} = {fact("e", "attempt")}))
        ORDER BY s.seq LIMIT 1) x ON true
    WHERE {where}"""
    for kind, where in RUNS.items()
}

# A submission of a batch is one act; the acceptances of its runs are not one each. The workspace's own stream belongs
# to a period, whatever workflow its runs are of, so it is left out where one workflow is asked for.
_ACT = """e.at, e.actor, e.type, {reason} AS reason, '{about}' AS about, e.stream AS id, e.seq,
        encode(e.hash, 'hex') AS hash"""


def _act(about: str) -> str:
    return _ACT.format(about=about, reason=fact("e", "reason"))


_OF_RUNS_AND_BATCHES = {
    kind: f"""SELECT {_act("run")} FROM runs r JOIN events e ON e.stream = r.id
    WHERE {RUNS[kind]} AND e.actor <> 'orchestrator' AND (e.type <> 'accepted' OR r.batch_id IS NULL)
    UNION ALL SELECT {_act("batch")} FROM batches b JOIN events e ON e.stream = b.id
    WHERE {BATCHES[kind]} AND e.actor <> 'orchestrator'"""
    for kind in ScopeKind
}

ACTS_OF = _OF_RUNS_AND_BATCHES | {
    ScopeKind.PERIOD: f"""{_OF_RUNS_AND_BATCHES[ScopeKind.PERIOD]}
    UNION ALL SELECT {_act("workspace")} FROM events e
    WHERE e.stream = CAST(:workspace AS uuid) AND e.at >= :since AND e.at < :until AND e.actor <> 'orchestrator'"""
}

_BAD = "r.status IN ('error', 'result_lost', 'abandoned')"

_TICK = """SELECT s.name AS schedule, f.nominal_at, f.state, f.why, f.asked_by, f.reason, f.path,
        encode(f.source_sha256, 'hex') AS sha256, f.batch_id AS batch, f.run_id AS run, f.created_at, f.decided_at,
        CASE WHEN f.asked_by IS NULL AND f.state = 'fired'
            THEN round(extract(epoch FROM f.decided_at - f.nominal_at), 3) END AS late_s, f.id AS tick"""

LISTS: Mapping[Listed, Mapping[ScopeKind, TextClause]] = {
    Listed.RUNS: {
        kind: text(f"{_RUN} WHERE {where} ORDER BY {_ORDER[kind]} LIMIT :limit") for kind, where in RUNS.items()
    },
    Listed.FAILURES: {
        kind: text(f"{_RUN} WHERE {where} AND {_BAD} ORDER BY {_ORDER[kind]} LIMIT :limit")
        for kind, where in RUNS.items()
    },
    Listed.DOUBTS: {
        kind: text(f"{query} ORDER BY e.at, r.id, e.seq LIMIT :limit") for kind, query in DOUBTS_OF.items()
    },
    Listed.ACTS: {kind: text(f"{query} ORDER BY at, id, seq LIMIT :limit") for kind, query in ACTS_OF.items()},
    Listed.ATTEMPTS: {
        kind: text(f"""SELECT r.id AS run, r.index, e.attempt, e.state, e.remote_id AS execution_id, e.wave_id AS wave,
        e.position, e.began_at, e.accepted_at, e.ended_at, GREATEST(e.looks, t.looks) AS looks, i.id AS intent,
        i.outcome, i.http_status, encode(i.body_sha256, 'hex') AS body_sha256
    FROM runs r JOIN executions e ON e.run_id = r.id JOIN intents i ON i.id = e.intent_id
    LEFT JOIN timers t ON t.subject_id = r.id AND e.attempt = r.attempt
    WHERE {where} ORDER BY {_ORDER[kind]}, e.attempt LIMIT :limit""")
        for kind, where in RUNS.items()
    },
    Listed.RESULTS: {
        kind: text(f"""SELECT r.id AS run, r.index, a.attempt, a.n, a.filename, a.size_bytes,
        encode(a.sha256, 'hex') AS sha256, a.offered_at, a.stored_at, a.failure, a.erased_at
    FROM runs r JOIN artifacts a ON a.run_id = r.id WHERE {where} ORDER BY {_ORDER[kind]}, a.attempt, a.n
    LIMIT :limit""")
        for kind, where in RUNS.items()
    },
    Listed.TICKS: {
        kind: text(f"{_TICK} {of} ORDER BY f.nominal_at, s.name, f.id LIMIT :limit") for kind, of in TICKS_OF.items()
    },
}

INPUTS = {
    kind: text(f"""
    SELECT r.id AS run, r.index, r.status, i.body, r.erased_at IS NOT NULL AS is_erased
    FROM runs r LEFT JOIN inputs i ON i.run_id = r.id WHERE {where}
    ORDER BY {_ORDER[kind]} LIMIT {MAX_ROWS}""")
    for kind, where in RUNS.items()
}

# What is finished and has no file comes too, with nothing in its place: it must be counted as lacking.
SUMMED = {
    kind: text(f"""
    SELECT r.id AS run, r.index, a.filename, a.size_bytes, encode(a.sha256, 'hex') AS sha256, a.store_key,
        r.erased_at IS NOT NULL AS is_erased
    FROM runs r LEFT JOIN artifacts a ON a.run_id = r.id AND a.attempt = r.attempt AND a.stored_at IS NOT NULL
    WHERE {where} AND r.status = 'finished' ORDER BY {_ORDER[kind]}, a.n LIMIT {MAX_SUMMED_FILES + 1}""")
    for kind, where in RUNS.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A list that is being read: its columns, and its rows a thousand at a time."""

    columns: tuple[str, ...]
    blocks: AsyncIterator[Sequence[Sequence[Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SummedFile:
    """A finished run's stored file, for a sum; a run without any has one line with nothing in it."""

    run: UUID
    index: int | None
    filename: str | None
    size_bytes: int | None
    sha256: str | None
    store_key: str | None
    is_erased: bool


async def stream(connection: AsyncConnection, listed: Listed, scope: Scope, *, limit: int = MAX_ROWS) -> Rows:
    """Begin to read a list; the transaction must stay open until it is read."""
    return await _stream(connection, LISTS[listed][scope.kind], scope.values() | {"limit": limit})


async def inputs(connection: AsyncConnection, scope: Scope) -> Rows:
    """Begin to read the inputs' bytes, each with its run, index and status."""
    return await _stream(connection, INPUTS[scope.kind], scope.values(), at_once=100)


async def summed_files(connection: AsyncConnection, scope: Scope) -> list[SummedFile]:
    """Return the stored files of the finished runs, one more than `MAX_SUMMED_FILES` at most."""
    return [SummedFile(**row._mapping) for row in await rows(connection, SUMMED[scope.kind], scope.values())]


async def _stream(
    connection: AsyncConnection, query: TextClause, values: Mapping[str, Any], *, at_once: int = ROWS_AT_ONCE
) -> Rows:
    found = await connection.stream(query, values)
    return Rows(columns=tuple(found.keys()), blocks=found.partitions(at_once))
