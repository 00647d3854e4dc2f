"""What is kept outside the database so that a restore shows: its mark, and the journal of launches.

<folder>/mark.json    how far the database had come; written in one piece, by whoever is further
<folder>/journal/     what was launched (`launch_journal.py`)

Nothing is made before the first word is written: a program that only looks leaves no folder behind.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import secrets
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.artifacts.launch_journal import LaunchJournal, sync_folder
from orchestrator.domain.highwater import Mark, OutsideMark
from orchestrator.errors import Misconfigured, Unavailable

T = TypeVar("T")

#: A file that was changed so long after it was written was changed by a copy: no copy keeps that time of a file.
COPIED_AFTER_S = 60.0

#: Another process holds the lock while it writes one small file. One that was stopped meanwhile must not stop us.
LOCK_TRIES = 40
LOCK_PAUSE_S = 0.05


class HighWater:
    """The places outside, each a folder; the first is the one that findings name.

    Args:
        folders: of which each holds all of it. A shared one before one of this machine alone.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._places = [_Place(folder) for folder in folders]
        self._pending = _Together()
        self._writing = asyncio.Lock()

    async def read(self) -> list[OutsideMark]:
        """Return what each place says; a place that was never written says nothing.

        Raises:
            Unavailable, Misconfigured: a place cannot be read, or holds something else.
        """
        return await self._in_thread("read", lambda: [m for place in self._places if (m := place.read()) is not None])

    async def write(self, mark: Mark) -> None:
        """Write the mark, unless a place is further already. Raises `Unavailable`."""

        def write() -> None:
            for place in self._places:
                place.write(mark, is_release=False)

        await self._in_thread("write", write)

    async def take_over(self, mark: Mark) -> None:
        """Put away the journal, and write the mark whatever stood there. Raises `Unavailable`."""

        def settle() -> None:
            for place in self._places:
                place.journal.settle()
                place.write(mark, is_release=True)

        await self._in_thread("write", settle)

    async def note(self, lines: bytes) -> None:
        """Append to the journal; they are on disk at the return. Raises `Unavailable`.

        All that come while one write is on its way go together with the next.
        """
        together = self._pending
        together.lines.append(lines)
        async with self._writing:
            if together is self._pending:
                self._pending = _Together()
                try:
                    await self._in_thread("write", lambda: self._append(b"".join(together.lines)))
                except Unavailable as error:
                    together.failure = error
        if together.failure is not None:
            raise together.failure

    def _append(self, lines: bytes) -> None:
        failures = []
        for place in self._places:
            try:
                place.journal.append(lines)
            except OSError as error:  # one place that is away keeps nothing from the others
                failures.append(error)
        if failures:
            raise failures[0]

    async def tail(self) -> list[bytes]:
        """Return the journal's last lines. Raises `Unavailable`."""
        return await self._in_thread("read", lambda: [line for p in self._places for line in p.journal.tail()])

    async def journal(self) -> AsyncIterator[list[bytes]]:
        """Yield the journal's lines, a file at a time, the newest first. Raises `Unavailable`."""
        for place in self._places:
            following = partial(next, place.journal.lines(), None)
            while (lines := await self._in_thread("read", following)) is not None:
                yield lines

    async def _in_thread(self, act: str, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            where = " and ".join(str(place.folder) for place in self._places)
            raise Unavailable(
                f"cannot {act} the high-water mark and the journal of launches in {where}: {error.strerror or error}",
                code="highwater_unavailable",
            ) from error


@dataclass(slots=True)
class _Together:
    """Lines that are written at once, and what came of it for all who wait for them."""

    lines: list[bytes] = field(default_factory=list)
    failure: Unavailable | None = None


class _Place:
    """One folder. Its methods block and belong in a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = LaunchJournal(folder)
        self._file = folder / "mark.json"

    def read(self) -> OutsideMark | None:
        try:
            with self._file.open("rb") as file:
                told, status = file.read(), os.fstat(file.fileno())
        except FileNotFoundError:
            return None
        found = self._parsed(told)
        written_at = datetime.fromisoformat(found["written_at"])
        # Both must show it: a folder number may change by itself on some network folders, a file's time by a `chown`.
        is_elsewhere = found["inode"] != self.folder.stat().st_ino
        is_copy = is_elsewhere and status.st_ctime > written_at.timestamp() + COPIED_AFTER_S
        return OutsideMark(
            folder=uuid.UUID(found["folder"]),
            place=f"{self.folder} on {socket.gethostname()}",
            mark=Mark(incarnation=uuid.UUID(found["incarnation"]), epoch=found["epoch"], number=found["mark"]),
            written_at=written_at,
            is_copy=is_copy,
        )

    def write(self, mark: Mark, *, is_release: bool) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            before = self.read()
            # Never over another database's mark, nor back: only a release may do that.
            if before is not None and not is_release and not _is_further(mark, before.mark):
                return
            told = {
                "incarnation": str(mark.incarnation),
                "epoch": mark.epoch,
                "mark": mark.number,
                "written_at": datetime.fromtimestamp(time.time(), UTC).isoformat(),
                "folder": str(before.folder if before is not None else uuid.uuid4()),
                "inode": self.folder.stat().st_ino,
            }
            draft = self._file.with_name(f".mark.{secrets.token_hex(8)}")
            try:
                _write_durably(draft, json.dumps(told).encode() + b"\n")
                draft.replace(self._file)
            finally:
                draft.unlink(missing_ok=True)
            sync_folder(self.folder)

    def _parsed(self, told: bytes) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(told)
            uuid.UUID(found["incarnation"]), uuid.UUID(found["folder"])
            datetime.fromisoformat(found["written_at"])
            int(found["epoch"]), int(found["mark"]), int(found["inode"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Misconfigured(
                f"{self._file} is damaged, so it cannot be told whether the database was restored; nothing is launched",
                code="highwater_damaged",
                hint=f"Put it back from a backup. If none was restored: remove {self._file}",
            ) from None
        return found

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fd = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            for left in reversed(range(LOCK_TRIES)):
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not left:
                        raise
                    time.sleep(LOCK_PAUSE_S)
            yield
        finally:
            os.close(fd)


def _is_further(mark: Mark, before: Mark) -> bool:
    return mark.incarnation == before.incarnation and before.is_before(mark)


def _write_durably(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
