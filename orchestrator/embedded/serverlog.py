"""What Postgres said while it did not start, in words for a person."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from orchestrator.errors import Misconfigured, OrchestratorError, Unavailable

#: The collector's folder, inside the cluster: the server may write nowhere else.
FOLDER = "log"
MAX_TAIL_BYTES = 8000
MAX_TAIL_LINES = 15
FULL_DISK = ("No space left on device", "Disk quota exceeded", "wrote only", "Check free disk space")
#: The first words again, but about the system's limits on these.
NOT_THE_DISK = ("shared memory", "semaphores")


class ServerLog:
    """The two logs of a server: what it says before its collector runs, and the collector's newest file."""

    def __init__(self, *, start_log: Path, cluster: Path) -> None:
        self._start_log = start_log
        self._folder = cluster / FOLDER
        self._sizes: dict[Path, int] = {}

    def mark(self) -> None:
        """Remember how far the log went before a start, so that `since_mark` shows no older trouble."""
        self._sizes = {path: path.stat().st_size for path in self._collected()}

    def since_mark(self) -> str:
        """Return the last lines that were written since `mark`."""
        started = [self._start_log] if self._start_log.exists() else []  # begun anew by each start
        return "".join(_read(path, since=self._sizes.get(path, 0)) for path in [*started, *self._collected()])

    def _collected(self) -> list[Path]:
        """Return the collector's newest file, as a list of one or none."""
        files = [path for path in self._folder.glob("*.log") if path.is_file() and not path.is_symlink()]
        return sorted(files, key=lambda path: path.stat().st_mtime)[-1:]


def startup_error(what: str, log: str) -> OrchestratorError:
    """Return the error for a server (or initdb) that ended with this log."""
    lines = [line for line in log.strip().splitlines() if line.strip()]
    tail = "\n".join(lines[-MAX_TAIL_LINES:])
    if any(_says(line, FULL_DISK) and not _says(line, NOT_THE_DISK) for line in lines):
        return Unavailable(
            f"{what}: the disk is full.\n{tail}",
            code="storage_full",
            hint="Free some space, or name a folder on another disk with ORCH_DATA_DIR.",
        )
    if "Permission denied" in log or "Operation not permitted" in log:
        return Misconfigured(
            f"{what}: it may not use the folder.\n{tail}",
            code="data_dir_unusable",
            hint="Name a folder on a local disk with ORCH_DATA_DIR, or run as an ordinary user.",
        )
    return Unavailable(f"{what}.\n{tail}", code="database_unavailable", hint="The lines above are Postgres' own.")


def _says(line: str, words: Sequence[str]) -> bool:
    return any(word in line for word in words)


def _read(path: Path, *, since: int) -> str:
    """Read the end of a log. It may belong to the server's account: as root we follow no link out of it."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        # A log that was begun anew is shorter than its mark; then all of it is new.
        begin = since if since <= size else 0
        file.seek(max(begin, size - MAX_TAIL_BYTES))
        return file.read(MAX_TAIL_BYTES).decode(errors="replace")
