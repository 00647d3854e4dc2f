"""What the checker looks at: the database's rows as they stand, the provider's truth, and what the client was told.

Rows are read by plain SQL, apart from the product's own: a fault in its queries must not blind its judge.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol
from uuid import UUID

import psycopg
from psycopg.rows import namedtuple_row

from sandbox.executions import Execution
from tests.simulation.network import Exchange
from tests.simulation.provider import SimProvider

Row = Any

_SCOPE = "(%(scope)s::uuid[] IS NULL OR {} = ANY(%(scope)s::uuid[]))"

RUNS = f"""
    SELECT r.*, i.body FROM runs r JOIN inputs i ON i.run_id = r.id WHERE {_SCOPE.format("r.id")} ORDER BY r.id"""

EVENTS = f"""
    SELECT stream, seq, at, type, actor, data, hash FROM events WHERE {_SCOPE.format("stream")}
    ORDER BY stream, seq"""

EXECUTIONS = f"""
    SELECT e.*, i.outcome, i.committed_at, w.state AS wave_state, w.frontier FROM executions e
    JOIN intents i ON i.id = e.intent_id LEFT JOIN waves w ON w.id = e.wave_id
    WHERE {_SCOPE.format("e.run_id")} ORDER BY e.run_id, e.attempt"""

TIMERS = f"""
    SELECT t.*, l.launch_due_at, l.poll_due_at, l.launches_stopped FROM timers t JOIN lanes l ON l.id = t.lane_id
    WHERE {_SCOPE.format("t.subject_id")} ORDER BY t.subject_id"""

ARTIFACTS = f"SELECT * FROM artifacts WHERE {_SCOPE.format('run_id')} ORDER BY run_id, attempt, n"

QUESTIONS = f"""
    SELECT i.*, e.run_id AS of_run FROM inbox i LEFT JOIN executions e ON e.wave_id = i.wave_id
    WHERE i.closed_at IS NULL AND ({_SCOPE.format("i.run_id")} OR {_SCOPE.format("e.run_id")})"""

# A transaction that was open at the last look may have a lower number than others that were over: so from the oldest
# one that was open then. Locking a row does not count as changing it. A deleted row is not seen, so runs that must
# have a timer and have none are always looked at.
CHANGED = """
    SELECT id FROM runs WHERE xmin::text::bigint >= %(since)s
    UNION SELECT run_id FROM executions WHERE xmin::text::bigint >= %(since)s
    UNION SELECT run_id FROM artifacts WHERE xmin::text::bigint >= %(since)s
    UNION SELECT run_id FROM inbox WHERE xmin::text::bigint >= %(since)s AND run_id IS NOT NULL
    UNION SELECT r.id FROM timers t JOIN runs r ON r.id = t.subject_id WHERE t.xmin::text::bigint >= %(since)s
    UNION SELECT id FROM runs WHERE status IN ('processing', 'human_in_the_loop', 'downloading')
        AND NOT EXISTS (SELECT FROM timers t WHERE t.subject_id = runs.id)"""

WATERMARK = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


class Store(Protocol):
    """What the artifact store holds."""

    files: dict[str, bytes]
    overwritten: list[str]


class Journal(Protocol):
    """What the client was told: acknowledged ids, with the tags of their inputs."""

    runs: dict[UUID, str]
    batches: dict[UUID, list[str]]


@dataclass(kw_only=True)
class Evidence:
    """Everything that a world can be judged by.

    Args:
        connection: to the world's database, autocommitting; it only reads.
        exchanges: what the wire saw (`Fabric.exchanges`).
        journal: asked anew each time, because the client may be made later.
        now: the world's time, by the database's clock.
        requests_per_minute, max_concurrent: the limits that the provider really has.
    """

    connection: psycopg.Connection[Any]
    provider: SimProvider
    exchanges: Sequence[Exchange]
    store: Store
    journal: Callable[[], Journal]
    now: Callable[[], datetime]
    requests_per_minute: int
    max_concurrent: int
    #: Launches that arrived before their intent could be seen in the database.
    early_arrivals: list[str] = field(default_factory=list)
    _by_tag: dict[str, list[Execution]] = field(default_factory=lambda: defaultdict(list))
    _tagged: int = 0

    def executions_by_tag(self) -> Mapping[str, list[Execution]]:
        """Return the provider's executions by the tag of their inputs."""
        everything = self.provider.service.world.executions
        for execution in itertools.islice(everything.values(), self._tagged, None):
            self._by_tag[tag_of(execution.canonical)].append(execution)
        self._tagged = len(everything)
        return self._by_tag

    def rows(self, query: str, **values: Any) -> list[Row]:
        """Return what a query finds."""
        with self.connection.cursor(row_factory=namedtuple_row) as cursor:
            return cursor.execute(query, values).fetchall()

    def touched(self, since: int) -> list[UUID]:
        """Return the runs of which anything was changed by a transaction from that number on."""
        return [row.id for row in self.rows(CHANGED, since=since)]

    def watermark(self) -> int:
        """Return the number from which on a transaction may still change what was seen."""
        ((number,),) = self.rows(WATERMARK)
        return int(number)


class View:
    """One look at the world: at some runs, or (scope None) at all. Rows are read when somebody asks for them."""

    def __init__(self, evidence: Evidence, scope: Sequence[UUID] | None = None) -> None:
        self.evidence = evidence
        self.scope = scope
        self.now = evidence.now()
        self.service = evidence.provider.service

    @cached_property
    def runs(self) -> list[Row]:
        """Runs with their inputs."""
        return self._scoped(RUNS)

    @cached_property
    def events(self) -> Mapping[UUID, list[Row]]:
        """Events by stream; of all streams when the scope is everything."""
        return _by(self._scoped(EVENTS), "stream")

    @cached_property
    def executions(self) -> Mapping[UUID, list[Row]]:
        """Attempts by run, oldest first."""
        return _by(self._scoped(EXECUTIONS), "run_id")

    @cached_property
    def timers(self) -> Mapping[UUID, Row]:
        """Timers by subject, of the scope's runs or of everything."""
        return {row.subject_id: row for row in self._scoped(TIMERS)}

    @cached_property
    def artifacts(self) -> Mapping[UUID, list[Row]]:
        """Result files by run."""
        return _by(self._scoped(ARTIFACTS), "run_id")

    @cached_property
    def questions(self) -> Mapping[UUID, list[Row]]:
        """Open inbox items by run; an item of a wave stands for each of its runs."""
        found: dict[UUID, list[Row]] = defaultdict(list)
        for row in self._scoped(QUESTIONS):
            found[row.run_id or row.of_run].append(row)
        return dict(found)

    @cached_property
    def there(self) -> Mapping[str, list[Execution]]:
        """The provider's executions by tag, as they stand now."""
        self.service.world.settle_all()
        return self.evidence.executions_by_tag()

    def executions_there(self, run: Row) -> list[Execution]:
        """Return what the provider executed for a run, in order."""
        return self.there.get(tag_of(run.body), [])

    def current(self, run: Row) -> Row | None:
        """Return the attempt that a run is at, None when it was not sent yet."""
        return next((e for e in self.executions.get(run.id, ()) if e.attempt == run.attempt), None)

    def count(self, run: Row, *types: str) -> int:
        """Return how many events of some types a run's history holds."""
        return sum(event.type in types for event in self.events.get(run.id, ()))

    def rows(self, query: str, **values: Any) -> list[Row]:
        """Return what a query of one's own finds."""
        return self.evidence.rows(query, scope=self.scope, **values)

    def epoch_s(self, loop_s: float) -> float:
        """Return a time of the loop as seconds since the epoch."""
        return self.evidence.provider.epoch_s(loop_s)

    def _scoped(self, query: str) -> list[Row]:
        if self.scope is not None and not self.scope:
            return []
        return self.evidence.rows(query, scope=None if self.scope is None else list(self.scope))


def tag_of(body: bytes) -> str:
    """Return the tag that a run's input carries, as a word that no other input has."""
    document = json.loads(bytes(body))
    return str(document.get("note", "?")) if isinstance(document, dict) else "?"


def facts(event: Row) -> dict[str, Any]:
    """Return what an event says."""
    said: dict[str, Any] = json.loads(event.data)
    return said


def _by(rows: Sequence[Row], name: str) -> dict[UUID, list[Row]]:
    found: dict[UUID, list[Row]] = defaultdict(list)
    for row in rows:
        found[getattr(row, name)].append(row)
    return dict(found)
