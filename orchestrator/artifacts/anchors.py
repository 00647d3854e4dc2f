"""Where checkpoints are kept outside the database, so that not even who owns it can write history anew unseen.

<folder>/<workspace>.jsonl     one line for each checkpoint, in order; only ever appended to
<folder>/<workspace>.2.jsonl   the same for a history that is not the one in the file before: a restored database's

Or standard output, one line for each, for a collector of logs; or a bucket (`object_anchors.py`).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar
from uuid import UUID

from orchestrator.artifacts.launch_journal import sync_folder
from orchestrator.errors import Misconfigured, Unavailable

if TYPE_CHECKING:
    from orchestrator.artifacts.object_anchors import ObjectAnchors

T = TypeVar("T")

#: A bucket's name, of any of the kinds that speak the protocol.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")

#: The setting's word for standard output.
STDOUT = "stdout"

#: How far from a file's end its last line is looked for: a line has some 600 bytes.
_TAIL_BYTES = 16 * 1024


class FolderAnchors:
    """A folder of anchors. Best one that this machine may only append to, or that another machine copies from."""

    can_be_read = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return str(self.folder)

    async def last(self, workspace: UUID) -> bytes | None:
        """Return the last whole line that is kept of a workspace, None when there is none.

        Raises:
            Unavailable: the folder cannot be read.
        """
        return await self._in_thread(self._last, workspace)

    async def append(self, workspace: UUID, lines: Sequence[bytes], *, anew: bool) -> None:
        """Append whole lines, durably; in a new file if `anew`.

        Raises:
            Unavailable: the folder cannot be written, or is full.
        """
        await self._in_thread(lambda which: self._append(which, lines, anew=anew), workspace)

    def lines(self, workspace: UUID) -> Iterator[bytes]:
        """Return what is kept of a workspace now, in all files; what is appended later is left out."""
        return _up_to([(path, path.stat().st_size) for path in self._files(workspace)])

    async def _in_thread(self, act: Callable[[UUID], T], workspace: UUID) -> T:
        try:
            return await asyncio.to_thread(act, workspace)
        except OSError as error:
            raise Unavailable(
                f"cannot keep checkpoints in {self.folder}: {error.strerror or error}",
                code="anchors_away",
                hint="make the folder writable, or name another with ORCH_ANCHORS",
            ) from error

    def _last(self, workspace: UUID) -> bytes | None:
        for path in reversed(self._files(workspace)):
            with path.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(0, end - _TAIL_BYTES))
                whole, _, _ = file.read().rpartition(b"\n")
            if whole:
                return whole.rpartition(b"\n")[2] + b"\n"
        return None

    def _append(self, workspace: UUID, lines: Sequence[bytes], *, anew: bool) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = self._files(workspace)
        is_new = anew or not files
        path = self._named(workspace, len(files) + 1) if is_new else files[-1]
        with os.fdopen(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            _end_torn_line(file)
            file.write(b"".join(lines))
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync_folder(self.folder)

    def _files(self, workspace: UUID) -> list[Path]:
        """Return a workspace's files in the order of their making."""
        found: list[Path] = []
        while (path := self._named(workspace, len(found) + 1)).exists():
            found.append(path)
        return found

    def _named(self, workspace: UUID, number: int) -> Path:
        return self.folder / (f"{workspace}.jsonl" if number == 1 else f"{workspace}.{number}.jsonl")


class StdoutAnchors:
    """Standard output. Who signs a checkpoint writes it, once: what is lost on the way is vouched for by the next.

    Each line names the hash of the one before, so that whichever were collected vouch for all before them.
    """

    place = "standard output"
    can_be_read = False

    def lines(self, workspace: UUID) -> Iterator[bytes]:
        """Return nothing."""
        return iter(())

    async def last(self, workspace: UUID) -> bytes | None:
        """Return nothing: what was written is not read again."""
        return None

    async def append(self, workspace: UUID, lines: Sequence[bytes], *, anew: bool) -> None:
        """Write lines."""
        sys.stdout.buffer.write(b"".join(lines))
        sys.stdout.buffer.flush()


def anchors_at(setting: str | None, *, default: Path) -> FolderAnchors | StdoutAnchors | ObjectAnchors:
    """Return the place that a setting names: a folder, `stdout`, or `s3://bucket/prefix`.

    Raises:
        Misconfigured: another kind of place, or a bucket without a name.
    """
    if setting is None:
        return FolderAnchors(default)
    if setting == STDOUT:
        return StdoutAnchors()
    scheme, found, rest = setting.partition("://")
    if not found:
        return FolderAnchors(Path(setting).expanduser())
    bucket, _, prefix = rest.partition("/")
    if scheme.lower() != "s3" or not _BUCKET.fullmatch(bucket):
        raise Misconfigured(
            f"ORCH_ANCHORS names no place that is known: {setting[:80]!r}",
            code="anchors.kind",
            hint="a folder, stdout, or s3://bucket/prefix",
        )
    from orchestrator.artifacts.object_anchors import bucket_anchors  # its library is loaded only where there is one

    return bucket_anchors(bucket, prefix.strip("/"))


def _up_to(ends: Sequence[tuple[Path, int]]) -> Iterator[bytes]:
    for path, end in ends:
        with path.open("rb") as file:
            while file.tell() < end and (line := file.readline(_TAIL_BYTES)):
                yield line


def _end_torn_line(file: BinaryIO) -> None:
    """Remove what a death in the middle of a write left: the line is written again, whole."""
    end = file.seek(0, os.SEEK_END)
    start = max(0, end - _TAIL_BYTES)
    file.seek(start)
    tail = file.read()
    if tail and not tail.endswith(b"\n"):
        file.truncate(start + tail.rfind(b"\n") + 1)
    file.seek(0, os.SEEK_END)
