"""Exports the history so that others can prove it, and looks whether the database's own is what was signed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import audit_export
from orchestrator.domain.audit_export import CHECKPOINTS, EVENTS, KEYS, MANIFEST, FileFacts, Manifest, Tally
from orchestrator.domain.chain import Event
from orchestrator.domain.checkpoint_chain import Period
from orchestrator.domain.verification import EVERYTHING
from orchestrator.engine import checkpoints as signing
from orchestrator.engine.deps import Deps
from orchestrator.engine.who import Who
from orchestrator.errors import BadInput
from orchestrator.runtime import in_thread
from orchestrator.storage import audit, checkpoints, events, retention
from orchestrator.storage.checkpoints import Stored
from orchestrator.storage.database import now as transaction_now

#: Streams whose events are read together, and checkpoints, each of which may hold very many heads. Small bites: what is
#: read comes through the event loop, which must beat the worker's heart meanwhile.
STREAMS_AT_ONCE = 200
CHECKPOINTS_AT_ONCE = 10


#: Told how many streams are done, of how many.
Progress = Callable[[int, int], None]


def _in_silence(_done: int, _all: int) -> None:
    """Tell nobody."""


class Sink(Protocol):
    """Where the files of an export go. Called on a thread, in the midst of a snapshot: it must call no network."""

    def write(self, name: str, text: bytes) -> None:
        """Append to a file of the export."""


class _Writing:
    """An export in the making: counts what goes into each file."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._tallies = {name: Tally() for name in (EVENTS, CHECKPOINTS, KEYS)}
        self.streams = self.events = self.checkpoints = 0
        self._last: UUID | None = None
        for name in self._tallies:
            sink.write(name, b"")  # also an empty history has all of its files

    def write(self, name: str, text: str) -> None:
        """Append to a file that the manifest will describe."""
        data = text.encode()
        self._tallies[name].add(data)
        self._sink.write(name, data)

    def write_events(self, found: Sequence[Event]) -> None:
        """Append events."""
        for event in found:
            self.write(EVENTS, audit_export.event_line(event))
            self.events += 1
            self.streams += event.stream != self._last
            self._last = event.stream

    def write_checkpoints(self, found: Sequence[Stored]) -> None:
        """Append checkpoints."""
        for stored in found:
            self.write(CHECKPOINTS, audit_export.checkpoint_line(stored.signed))
            self.checkpoints += 1

    def finish(self, who: Who, period: Period, *, made_at: datetime, keys: Iterable[bytes]) -> Manifest:
        """Write the keys and, last of all, the manifest."""
        self.write(KEYS, audit_export.keys_text(keys))
        manifest = Manifest(
            workspace=who.workspace_id,
            since=period.since,
            until=period.until,
            made_at=made_at,
            made_by=who.actor,
            streams=self.streams,
            events=self.events,
            checkpoints=self.checkpoints,
            files=self.facts(),
        )
        self._sink.write(MANIFEST, audit_export.manifest_text(manifest).encode())
        return manifest

    def facts(self) -> dict[str, FileFacts]:
        """Return what the manifest says of the files."""
        return {name: tally.facts() for name, tally in self._tallies.items()}


async def export(
    deps: Deps, who: Who, sink: Sink, *, period: Period = EVERYTHING, progress: Progress = _in_silence
) -> Manifest:
    """Write the history of a workspace, or of a period of it, with everything that proves it.

    What has happened up to now is signed first, so that the export vouches for all of it. That it was made is an event.

    Args:
        period: every stream that moved in it is there, whole.
        progress: told how many streams are written, of how many.

    Raises:
        BadInput: the period is none.
        Unavailable: the database is away. What was written is no whole export: it has no manifest.
    """
    if period.since is not None and period.until is not None and period.since >= period.until:
        raise BadInput("the period ends before it begins", code="period.empty", hint="--from is the earlier time")
    await signing.keep(deps, at_once=True)
    async with deps.db.transaction() as connection:
        manifest = await write_export(connection, who, sink, period=period, progress=progress)
    bounds = {"from": period.since, "to": period.until}
    facts: dict[str, object] = {name: at.isoformat() for name, at in bounds.items() if at is not None}
    facts |= {"streams": manifest.streams, "events": manifest.events, "checkpoints": manifest.checkpoints}
    told = who.tells("audit_exported", **facts, events_sha256=manifest.files[EVENTS].sha256)

    async def note(connection: AsyncConnection) -> None:
        await events.append_to_workspace(connection, who.workspace_id, [told], at=await transaction_now(connection))

    await deps.db.run(note)
    return manifest


async def write_export(
    connection: AsyncConnection, who: Who, sink: Sink, *, period: Period, progress: Progress = _in_silence
) -> Manifest:
    """Write all files of an export in a transaction that has just begun: one snapshot for all. See `export`."""
    writing = await in_thread(partial(_Writing, sink))
    made_at = await audit.begin(connection)
    required = await _write_checkpoints(connection, who.workspace_id, writing, period)
    moved = await audit.streams(connection, who.workspace_id, since=period.since, until=period.until)
    # Which months were retired stands in the workspace's own stream: without it, their streams would be missing.
    if await retention.retired(connection, who.workspace_id):
        required.add(who.workspace_id)
    chosen = await in_thread(lambda: sorted(moved | required, key=lambda stream: stream.int))
    for start in range(0, len(chosen), STREAMS_AT_ONCE):
        found = await audit.events(connection, chosen[start : start + STREAMS_AT_ONCE])
        await in_thread(partial(writing.write_events, found))
        progress(min(start + STREAMS_AT_ONCE, len(chosen)), len(chosen))
    keys = (await checkpoints.keys(connection)).values()
    return await in_thread(partial(writing.finish, who, period, made_at=made_at, keys=keys))


async def _write_checkpoints(
    connection: AsyncConnection, workspace: UUID, writing: _Writing, period: Period
) -> set[UUID]:
    """Write all checkpoints; return the streams that must be there for the sake of those within the period."""
    required: set[UUID] = set()
    before: datetime | None = None
    after = 0
    while found := await checkpoints.read(connection, workspace, after=after, limit=CHECKPOINTS_AT_ONCE):
        after = found[-1].number
        await in_thread(partial(writing.write_checkpoints, found))
        for stored in found:
            at = stored.at
            if not period.is_everything and period.holds(before, at):
                required |= {head.stream for head in stored.signed.heads}
            before = at
    return required


async def copy_history(deps: Deps, who: Who, sink: Sink, *, progress: Progress = _in_silence) -> str | None:
    """Write the whole history as it stands, signing nothing and telling nobody: to be verified.

    Returns what is wrong between the histories and the rows that they belong to, None when nothing is.
    """
    async with deps.db.transaction() as connection:
        await write_export(connection, who, sink, period=EVERYTHING, progress=progress)
        return await _loose_end(connection, who.workspace_id)


async def _loose_end(connection: AsyncConnection, workspace: UUID) -> str | None:
    """Return what is wrong between the histories and the rows that they belong to, in words."""
    head = await audit.broken_head(connection, workspace)
    if head is not None:
        what = f"its row says that it ends with event {head.said}, and it ends with {head.found}"
        return f"stream {head.id}: " + (what if head.said != head.found else "its row names another last event")
    orphan = await audit.orphan(connection)
    return None if orphan is None else f"stream {orphan}: belongs to no run, no batch and no workspace"
