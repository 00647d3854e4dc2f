"""The rows of what was accepted: ten thousand runs, inputs and first events, each with as little work as can be.

They go by COPY in its binary form: neither we spell ids, times and digests, nor does Postgres read them. What all have
in common is written down once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.chain import Beginnings
from orchestrator.domain.intake.content import Text, bytes_of, digest_of, size_of
from orchestrator.storage import copying
from orchestrator.storage.copying import NULL, field, fields_count, packed_size, time_field

# The two make their fields in this order.
COPY_RUNS = """COPY runs (id, workspace_id, connection_id, workflow_id, batch_id, index, external_id, status,
    input_sha256, input_bytes, created_by, created_at, status_at, event_seq, event_hash)
    FROM STDIN WITH (FORMAT BINARY)"""

COPY_EVENTS = "COPY events (stream, seq, at, type, actor, data, hash) FROM STDIN WITH (FORMAT BINARY)"

COPY_INPUTS = "COPY inputs (run_id, body) FROM STDIN WITH (FORMAT BINARY)"

_int4 = struct.Struct(">ii").pack
_int8 = struct.Struct(">iq").pack


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where submitted work belongs."""

    workspace_id: UUID
    connection_id: UUID
    workflow_id: UUID
    lane_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """One run to write. `index` is its place in its batch, None for a single run; its input may be kept elsewhere."""

    id: UUID
    input: Text
    index: int | None
    external_id: str | None


async def copy(
    connection: AsyncConnection,
    place: Place,
    runs: Sequence[NewRun],
    *,
    batch_id: UUID | None,
    actor: str,
    now: datetime,
) -> None:
    """COPY runs, their first events and inputs: straight into the tables, in the caller's transaction."""
    rows = _Rows(place, batch_id=batch_id, actor=actor, now=now)
    told: list[bytes] = []
    await copying.copy_rows(connection, COPY_RUNS, rows.of_runs(runs, told))
    await copying.copy_rows(connection, COPY_EVENTS, told)
    await copying.copy_rows(connection, COPY_INPUTS, _of_inputs(runs))


class _Rows:
    """Makes the rows of runs that are accepted together, and of their events."""

    def __init__(self, place: Place, *, batch_id: UUID | None, actor: str, now: datetime) -> None:
        origin = {} if batch_id is None else {"batch": str(batch_id)}
        self._beginnings = Beginnings(type="accepted", actor=actor, facts=origin, digest="input_sha256", at=now)
        where = (place.workspace_id, place.connection_id, place.workflow_id)
        at, by = time_field(now), field(actor.encode())
        self._where = b"".join(field(id.bytes) for id in where) + (NULL if batch_id is None else field(batch_id.bytes))
        self._queued = field(b"queued")
        self._accepted = by + at + at + _int8(8, 1)
        self._told = _int8(8, 1) + at + field(b"accepted") + by

    def of_runs(self, runs: Sequence[NewRun], told: list[bytes]) -> Iterator[bytes]:
        """Give each run's row, and put its event's into `told`."""
        run_begins = fields_count(15) + packed_size(16)
        event_begins = fields_count(7) + packed_size(16)
        digest_begins = packed_size(32)
        where, queued, accepted, event = self._where, self._queued, self._accepted, self._told
        for run in runs:
            id, digest = run.id.bytes, digest_of(run.input)
            data, hash = self._beginnings.of(run.id, digest)
            told.append(b"".join((event_begins, id, event, packed_size(len(data)), data, digest_begins, hash)))
            index = NULL if run.index is None else _int4(4, run.index)
            name = NULL if run.external_id is None else field(run.external_id.encode())
            size = _int4(4, size_of(run.input))
            yield b"".join(
                (
                    run_begins, id, where, index, name, queued, digest_begins, digest, size, accepted, digest_begins,
                    hash,
                )
            )  # fmt: skip


def _of_inputs(runs: Sequence[NewRun]) -> Iterator[bytes]:
    begins = fields_count(2) + packed_size(16)
    for run in runs:
        body = bytes_of(run.input)
        yield b"".join((begins, run.id.bytes, packed_size(len(body)), body))
