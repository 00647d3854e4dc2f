"""All results of a batch as one ZIP, made while it is read: nothing of it is whole in memory or on disk.

Members are written one after the other, each with its sizes behind it, so nothing has to be known before. What the
store does not have, or has damaged, is told at the end, in `manifest.json`: the answer's status is long out by then.
The standard library's `zipfile` does it: it takes bytes as they come, writes to what cannot seek, and knows ZIP64.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import zipfile
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any, cast
from uuid import UUID

from orchestrator.domain import result_files
from orchestrator.domain.statuses import batch_status
from orchestrator.engine.batch_walk import WalkedRun, find, walk
from orchestrator.engine.deps import Deps
from orchestrator.engine.spool import Spool
from orchestrator.engine.who import Who
from orchestrator.errors import OrchestratorError
from orchestrator.storage.batches import BatchRow
from orchestrator.storage.runs import FileRow

MANIFEST = "manifest.json"
#: Deflated in one go on the event loop: about a millisecond.
SLICE_BYTES = 32 * 1024
#: Sent at once.
SEND_BYTES = 128 * 1024
_FILE_MODE = 0o100644 << 16
_UNIX = 3
#: The earliest time that a ZIP can say.
_EPOCH = (1980, 1, 1, 0, 0, 0)

_END = b"\n]}\n"

Failure = dict[str, str]


async def stream(deps: Deps, who: Who, batch_id: UUID) -> AsyncGenerator[bytes, None]:
    """Give the ZIP piece by piece.

    Raises:
        NotFound: there is no such batch; before the first piece.
    """
    batch = await find(deps, who, batch_id)
    sink = _Sink()
    with Spool() as table, Spool() as listed:
        with zipfile.ZipFile(cast(IO[bytes], sink), "w", zipfile.ZIP_DEFLATED) as archive:
            writing = _Writing(deps=deps, archive=archive, sink=sink, table=table, listed=listed)
            table.write(result_files.line(result_files.HEADER).encode())
            async with aclosing(walk(deps, who, batch_id)) as runs:
                async for run in runs:
                    async with aclosing(_run(writing, run)) as pieces:
                        async for piece in pieces:
                            yield piece
            async with aclosing(_closing(writing, batch)) as pieces:
                async for piece in pieces:
                    yield piece
        yield sink.take()


class _Sink:
    """Takes what `zipfile` writes until it is sent. It has no `seek` and no `tell`: so nothing is written twice."""

    def __init__(self) -> None:
        self._parts = bytearray()

    def write(self, data: bytes) -> int:
        self._parts += data
        return len(data)

    def flush(self) -> None:
        """Do nothing: what is here is in memory."""

    def is_full(self) -> bool:
        return len(self._parts) >= SEND_BYTES

    def take(self) -> bytes:
        taken, self._parts = bytes(self._parts), bytearray()
        return taken


@dataclass(slots=True, kw_only=True)
class _Writing:
    """A ZIP while it is written. `listed` holds the manifest's entries, a line each."""

    deps: Deps
    archive: zipfile.ZipFile
    sink: _Sink
    table: Spool
    listed: Spool
    counts: Counter[str] = field(default_factory=Counter)
    stored: int = 0
    missing: int = 0
    failure: Failure | None = None

    def note(self, **entry: Any) -> None:
        """Put a file into the manifest."""
        lead = b",\n" if self.listed.size_bytes else b""
        self.listed.write(lead + json.dumps(entry, ensure_ascii=False).encode())


async def _run(writing: _Writing, run: WalkedRun) -> AsyncGenerator[bytes, None]:
    """Write a run's files, its row, and its part of the manifest."""
    writing.counts[run.view["status"]] += 1
    folder = result_files.folder_name(run.view)
    paths: list[str] = []
    for result, name in result_files.named(run.view):
        path = f"{folder}/{name}"
        facts = {"run_id": run.view["id"], "index": run.view["index"], "n": result["n"]}
        facts |= {"sha256": result["sha256"], "size_bytes": result["size_bytes"]}
        file = run.files.get(result["n"])
        absent = await _absent(writing.deps, file)
        if absent is not None or file is None:
            writing.missing += 1
            writing.note(path=None, **facts, error=absent)
            continue
        # Closed before the archive is: a reader who goes away leaves us in the midst of a member.
        async with aclosing(_member(writing, path, file)) as pieces:
            async for piece in pieces:
                yield piece
        # A broken member stands in the ZIP, for it was sent before that was seen; the manifest alone names it.
        if writing.failure is None:
            writing.stored += 1
            paths.append(path)
        else:
            writing.missing += 1
        writing.note(path=path, **facts, error=writing.failure)
    writing.table.write(result_files.line(result_files.row(run.view, paths)).encode())
    if writing.sink.is_full():
        yield writing.sink.take()


async def _absent(deps: Deps, file: FileRow | None) -> Failure | None:
    """Say why a file cannot be in the ZIP; None when the store has it."""
    if file is None or file.store_key is None:
        return _failure("artifact_missing", "no such file is stored any more")
    if file.erased_at is not None:
        return _failure("erased", "it was erased; its size and SHA-256 are all that is left")
    try:
        size = await deps.store.size(file.store_key)
    except (OrchestratorError, OSError) as error:
        return _failure("artifact_missing", f"the artifact store cannot be read: {_said(error)}")
    if size is None:
        return _failure("artifact_missing", "the artifact store does not have this file")
    if size != file.size_bytes:
        return _failure("artifact_missing", f"the artifact store has {size} of its bytes")
    return None


async def _member(writing: _Writing, path: str, file: FileRow) -> AsyncGenerator[bytes, None]:
    """Write one file; `writing.failure` says what was wrong with it."""
    assert file.store_key is not None and file.size_bytes is not None, "a stored file has a key and a size"
    digest, left = hashlib.sha256(), file.size_bytes
    writing.failure = None
    with writing.archive.open(_info(path, file.stored_at, size_bytes=file.size_bytes), "w") as member:
        try:
            async for chunk in writing.deps.store.open(file.store_key):
                # No more than was announced: by the size it was decided whether the member needs ZIP64.
                for start in range(0, min(len(chunk), left), SLICE_BYTES):
                    part = chunk[start : min(start + SLICE_BYTES, left)]
                    digest.update(part)
                    member.write(part)
                    if writing.sink.is_full():
                        yield writing.sink.take()
                    await asyncio.sleep(0)  # others have their turn between two slices
                left -= min(len(chunk), left)
        except (OrchestratorError, OSError) as error:
            writing.failure = _failure("artifact_damaged", f"the artifact store broke off: {_said(error)}")
    if writing.failure is None and digest.hexdigest() != file.sha256:
        found = digest.hexdigest()
        writing.failure = _failure("artifact_damaged", f"the artifact store has other bytes, of SHA-256 {found}")


async def _closing(writing: _Writing, batch: BatchRow) -> AsyncGenerator[bytes, None]:
    """Write the table and the manifest."""
    facts = {"run_id": None, "index": None, "n": None, "error": None}
    table = writing.table
    writing.note(path=result_files.TABLE, sha256=table.sha256, size_bytes=table.size_bytes, **facts)
    opening = json.dumps(_said_at_first(writing, batch), ensure_ascii=False)[:-1].encode() + b', "files": [\n'
    for name, size, parts in (
        (result_files.TABLE, table.size_bytes, table.chunks()),
        (MANIFEST, len(opening) + writing.listed.size_bytes + len(_END), _around(opening, writing.listed)),
    ):
        with writing.archive.open(_info(name, batch.created_at, size_bytes=size), "w") as member:
            for part in parts:
                member.write(part)
                if writing.sink.is_full():
                    yield writing.sink.take()
                await asyncio.sleep(0)


def _said_at_first(writing: _Writing, batch: BatchRow) -> dict[str, Any]:
    """Return what the manifest says of the whole. It is complete with every stored file; `counts` tell of the runs."""
    status = batch_status(batch.counts, paused=batch.paused_at is not None, cancelled=batch.cancelled_at is not None)
    return {
        "batch_id": str(batch.id),
        "status": status,
        "runs": writing.counts.total(),
        "counts": dict(writing.counts),
        "files_stored": writing.stored,
        "files_missing": writing.missing,
        "complete": writing.missing == 0,
    }


def _around(opening: bytes, listed: Spool) -> Iterator[bytes]:
    yield opening
    yield from listed.chunks()
    yield _END


def _info(path: str, at: datetime | None, *, size_bytes: int) -> zipfile.ZipInfo:
    """Describe a member. Its time is the file's, not ours: the same files give the same bytes."""
    assert not path.startswith("/") and ".." not in path.split("/"), "names are ours, or were made safe"
    info = zipfile.ZipInfo(path, date_time=_EPOCH if at is None else at.astimezone(UTC).timetuple()[:6])
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = _UNIX
    info.external_attr = _FILE_MODE
    info.file_size = size_bytes
    return info


def _failure(code: str, message: str) -> Failure:
    return {"code": code, "message": message}


def _said(error: OrchestratorError | OSError) -> str:
    # An OSError's own text may name a path of this machine.
    return error.message if isinstance(error, OrchestratorError) else (error.strerror or type(error).__name__)
