"""The journal of launches in one folder: lines that are on disk when `append` returns, for eight days.

Each process writes files of its own, so that no line is torn by another's, on network folders too. A file that a
release has settled gets another ending, and is read no more.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

#: A file is left for a new one beyond so many bytes, or after a day.
FILE_BYTES = 16 * 1024 * 1024
FILE_S = 86_400.0

KEPT_S = 8 * 86_400.0
#: All files of a folder together; beyond, the oldest go before their time.
KEPT_BYTES = 1024 * 1024 * 1024

#: What a look at the last lines reads: of so many files, so much of each.
TAIL_FILES = 16
TAIL_BYTES = 2 * 1024 * 1024

OPEN = ".jsonl"
SETTLED = ".settled"


class LaunchJournal:
    """The files `journal/<begun>-<random>.jsonl` of one folder. Its methods block and belong in a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "journal"
        self._file: Path | None = None
        self._began = 0.0
        self._size = 0

    def append(self, lines: bytes) -> None:
        """Write whole lines, down to the disk."""
        path = self._current(len(lines))
        is_new = not path.exists()
        # Opened anew each time: a release may have settled the file meanwhile, and what comes then is another's story.
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        self._size += len(lines)
        if is_new:
            sync_folder(self.folder)

    def _current(self, growth: int) -> Path:
        now = time.time()
        is_full = self._size + growth > FILE_BYTES or now - self._began > FILE_S
        if self._file is None or is_full or not self._file.exists():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._forget(now)
            begun = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
            self._file, self._began, self._size = self.folder / f"{begun}-{secrets.token_hex(4)}{OPEN}", now, 0
        return self._file

    def files(self) -> list[Path]:
        """Return the files that are not settled, the newest first by their last line."""
        return [path for _, _, path in sorted(self._listed(OPEN), reverse=True)]

    def lines(self) -> Iterator[list[bytes]]:
        """Yield the lines of each file, the newest file first: at most one file's are in memory."""
        for path in self.files():
            with suppress(FileNotFoundError):  # settled or forgotten by another process just now
                yield path.read_bytes().splitlines()

    def tail(self) -> list[bytes]:
        """Return the last lines of the files that were written last."""
        found: list[bytes] = []
        for path in self.files()[:TAIL_FILES]:
            with suppress(FileNotFoundError), path.open("rb") as file:
                start = max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES)
                file.seek(start)
                lines = file.read().splitlines()
                found += lines[1:] if start else lines
        return found

    def settle(self) -> None:
        """Put away all files: what they tell is dealt with."""
        settled = self.files()
        for path in settled:
            with suppress(FileNotFoundError):
                path.rename(path.with_suffix(SETTLED))
        if settled:
            sync_folder(self.folder)

    def _forget(self, now: float) -> None:
        """Remove what is too old, and the oldest of what is too much."""
        room = KEPT_BYTES
        for written_at, size, path in sorted([*self._listed(OPEN), *self._listed(SETTLED)], reverse=True):
            room -= size
            if written_at < now - KEPT_S or room < 0:
                path.unlink(missing_ok=True)

    def _listed(self, ending: str) -> list[tuple[float, int, Path]]:
        found = []
        for path in self.folder.glob(f"*{ending}"):
            with suppress(FileNotFoundError):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        return found


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk: a file's own fsync does not save its name."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
