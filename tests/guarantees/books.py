"""The books of both sides, put side by side: what our database says, and what the sandbox really saw.

Every input carries an `item` of its own, so that an execution is traced to its run without asking the product.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import chain
from orchestrator.domain.chain import Event
from orchestrator.domain.statuses import ENDINGS, RunStatus
from orchestrator.engine.deps import Deps
from sandbox.control import Sandbox

RUNS = text("""
    SELECT r.id, r.status, r.attempt, r.execution_id, r.batch_id, r.results_state, r.event_seq, r.event_hash, i.body,
        EXISTS (SELECT FROM inbox q WHERE q.closed_at IS NULL AND q.kind = 'doubt' AND (q.run_id = r.id OR q.wave_id IN
            (SELECT e.wave_id FROM executions e WHERE e.run_id = r.id AND e.state = 'in_doubt'))) AS is_asked_about
    FROM runs r JOIN inputs i ON i.run_id = r.id""")
EXECUTIONS = text("SELECT run_id, attempt, state, remote_id FROM executions")
ARTIFACTS = text("SELECT run_id, n, size_bytes, sha256, store_key, stored_at FROM artifacts")
EVENTS = text("SELECT stream, seq, at, type, actor, data, hash FROM events ORDER BY stream, seq")
HEADS = text("""
    SELECT id, event_seq, event_hash FROM runs UNION ALL SELECT id, event_seq, event_hash FROM batches
    UNION ALL SELECT id, event_seq, event_hash FROM workspaces""")
OPEN_ATTEMPTS = text("""
    SELECT run_id FROM executions WHERE state IN ('launching', 'open', 'in_doubt')
    GROUP BY run_id HAVING count(*) > 1""")
#: A batch that has ended holds no run that lives, and one whose runs have all ended has ended.
UNSETTLED = text("""
    SELECT b.id FROM batches b WHERE (b.ended_at IS NULL) <> EXISTS (
        SELECT FROM runs r WHERE r.batch_id = b.id AND NOT r.status = ANY(CAST(:endings AS text[])))""")
TOTALS = text("""
    SELECT b.id FROM batches b LEFT JOIN runs r ON r.batch_id = b.id GROUP BY b.id HAVING count(r.id) <> b.total""")

#: Events that end a run. A second one needs a `reopened` between them.
ENDED = {
    *("finished", "failed_at_provider", "provider_lost", "refused", "result_lost", "cancelled"),
    *("cancelled_at_provider", "failed_by_policy", "abandoned"),
}
#: Events that an attempt has at most once, however often a worker died and another did its act again.
ONCE = {"accepted", "launched", "finished_at_provider", "in_doubt", *ENDED}
#: Either lets a run be launched again.
AUTHORISED = {"relaunched", "reopened", "doubt_resolved"}


@dataclass(slots=True, kw_only=True)
class RunBook:
    """One run, as our database has it."""

    id: UUID
    status: RunStatus
    attempt: int
    is_asked_about: bool
    events: list[Event] = field(default_factory=list)
    linked: set[str] = field(default_factory=set)
    states: list[str] = field(default_factory=list)
    files: list[Any] = field(default_factory=list)

    def count(self, *types: str) -> int:
        """Return how many events of some types it has."""
        return sum(event.type in types for event in self.events)


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Both sides at one moment. Read them when nothing moves."""

    runs: Mapping[UUID, RunBook]
    by_item: Mapping[str, Sequence[RunBook]]
    streams: Mapping[UUID, Sequence[Event]]
    heads: Mapping[UUID, tuple[int, bytes]]
    odd_rows: Mapping[str, Sequence[UUID]]
    seen: Sequence[Mapping[str, Any]]

    def complaints(self) -> list[str]:
        """Return everything that breaks a promise; nothing, if all is well."""
        return [*self._launches(), *self._histories(), *self._rows(), *self._files()]

    def unfinished(self) -> list[str]:
        """Return runs that have neither ended nor wait for a person."""
        return [
            f"run {run.id} is {run.status}"
            for run in self.runs.values()
            if run.status not in ENDINGS and not (run.status is RunStatus.IN_DOUBT and run.is_asked_about)
        ]

    def doubts(self) -> list[RunBook]:
        """Return the runs in doubt."""
        return [run for run in self.runs.values() if run.status is RunStatus.IN_DOUBT]

    def launches(self, run: UUID) -> int:
        """Return how often the provider executed a run."""
        return sum(self.runs[run] in self.by_item.get(str(one["input"].get("item")), ()) for one in self.seen)

    def _launches(self) -> Iterator[str]:
        times = Counter(str(one["input"].get("item")) for one in self.seen)
        for item, runs in self.by_item.items():
            if len(runs) > 1:
                yield f"item {item} was submitted once and is {len(runs)} runs: {[str(run.id) for run in runs]}"
        for one in self.seen:
            item = str(one["input"].get("item"))
            for run in self.by_item.get(item, ())[:1]:
                is_linked = one["id"] in run.linked
                if not is_linked and not (run.count("in_doubt") and {"in_doubt", "left"} & {*run.states}):
                    yield f"execution {one['id']} of run {run.id} ({run.status}) is neither linked nor in doubt"
                if is_linked and any(one["id"] in other.linked for other in self.runs.values() if other is not run):
                    yield f"execution {one['id']} is linked to two runs"
            if item not in self.by_item:
                yield f"execution {one['id']} belongs to no run of ours: {item}"
        for item, count in times.items():
            for run in self.by_item.get(item, ())[:1]:
                if count > 1 + run.count(*AUTHORISED):
                    yield f"run {run.id} was executed {count} times and nobody allowed it"

    def _histories(self) -> Iterator[str]:
        for stream, (seq, digest) in self.heads.items():
            events = self.streams.get(stream, [])
            broken = chain.first_break(events)
            if broken is not None:
                yield f"stream {stream}: {broken}"
            elif (len(events), events[-1].hash if events else bytes(32)) != (seq, digest):
                yield f"stream {stream} has {len(events)} events, its owner says {seq}"
        for stream in self.streams.keys() - self.heads.keys():
            yield f"stream {stream} belongs to nobody"
        for run in self.runs.values():
            again = run.count("reopened", "relaunched", "doubt_resolved", "late_answer", "adopted")
            if not again:
                twice = [type for type in sorted(ONCE) if run.count(type) > 1]
                if twice or run.count(*ENDED) > 1:
                    yield f"run {run.id} has events twice: {[event.type for event in run.events]}"
            if (run.status in ENDINGS) != bool(run.events and run.events[-1].type in {*ENDED, "no_results"}):
                yield f"run {run.id} is {run.status}, its history ends with {run.events[-1].type}"

    def _rows(self) -> Iterator[str]:
        for what, ids in self.odd_rows.items():
            for id in ids:
                yield f"{what}: {id}"
        for run in self.runs.values():
            if run.status is RunStatus.IN_DOUBT and not run.is_asked_about:
                yield f"run {run.id} is in doubt and nobody is asked about it"

    def _files(self) -> Iterator[str]:
        offered = {one["id"]: one["files"] for one in self.seen}
        for run in self.runs.values():
            if run.status is not RunStatus.FINISHED:
                continue
            theirs = [(f["size_bytes"], f["sha256"]) for id in run.linked for f in offered.get(id, [])]
            ours = [(f.size_bytes, bytes(f.sha256).hex()) for f in run.files if f.stored_at is not None]
            if sorted(theirs) != sorted(ours):
                yield f"run {run.id} is finished with {ours}, the provider offered {theirs}"


async def read(deps: Deps, sandboxes: Sequence[Sandbox]) -> Books:
    """Read both sides."""

    async def ours(connection: AsyncConnection) -> dict[str, Sequence[Any]]:
        # One snapshot for all of it: a batch may settle between two statements.
        await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        endings = {"endings": sorted(ENDINGS)}
        queries = {"runs": RUNS, "executions": EXECUTIONS, "artifacts": ARTIFACTS, "events": EVENTS, "heads": HEADS}
        queries |= {"more than one open attempt": OPEN_ATTEMPTS, "the batch has not its number of runs": TOTALS}
        found = {name: (await connection.execute(query)).all() for name, query in queries.items()}
        found["the batch should have ended, or should not"] = (await connection.execute(UNSETTLED, endings)).all()
        return found

    found = await deps.db.run(ours)
    seen = [one for sandbox in sandboxes for one in sandbox.truth()["executions"]]
    runs: dict[UUID, RunBook] = {}
    by_item: dict[str, list[RunBook]] = defaultdict(list)
    streams: dict[UUID, list[Event]] = defaultdict(list)
    for row in found.pop("events"):
        streams[row.stream].append(Event(**{**row._mapping, "hash": bytes(row.hash)}))
    for row in found.pop("runs"):
        status, events = RunStatus(row.status), streams[row.id]
        run = RunBook(
            id=row.id, status=status, attempt=row.attempt, is_asked_about=row.is_asked_about, events=events
        )  # fmt: skip
        runs[row.id] = run
        by_item[str(json.loads(bytes(row.body)).get("item"))].append(run)
    for row in found.pop("executions"):
        runs[row.run_id].states.append(row.state)
        runs[row.run_id].linked |= {row.remote_id} - {None}
    for row in found.pop("artifacts"):
        runs[row.run_id].files.append(row)
    heads = {row.id: (row.event_seq, bytes(row.event_hash)) for row in found.pop("heads")}
    odd = {what: [row[0] for row in rows] for what, rows in found.items()}
    return Books(runs=runs, by_item=by_item, streams=streams, heads=heads, odd_rows=odd, seen=seen)


async def damaged_files(deps: Deps, books: Books) -> list[str]:
    """Return stored files whose bytes on the disk are not those that were recorded."""
    bad = []
    for run in books.runs.values():
        for file in run.files:
            if file.stored_at is None:
                continue
            digest = hashlib.sha256()
            async for block in deps.store.open(file.store_key):
                digest.update(block)
            if digest.digest() != bytes(file.sha256):
                bad.append(f"file {file.n} of run {run.id} has other bytes than its record says")
    return bad
