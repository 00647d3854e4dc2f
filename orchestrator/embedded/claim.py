"""Locks that die with their process: who owns a data folder, and whose turn it is to start what lies in it.

A lock is an flock: the kernel frees it when the process ends, however it ends, so nothing stale can be left
by `kill -9`. The words in the file only tell people who holds it; they are never what decides.
The lock must not outlive its process in a child (Postgres, a worker), or a killed supervisor would look alive:
the file is opened close-on-exec, and a child forked without exec closes its copy (the lock belongs to the
open file, so closing a copy frees nothing for the parent).
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.errors import Conflict, Misconfigured, Unavailable

#: A reader of `holder_of` has the file locked for some microseconds; a claim outlasts that, and a dying process.
CLAIM_PATIENCE_S = 0.3
LOOK_EVERY_S = 0.02
#: What we write is shorter; a longer file is not ours.
MAX_WORDS_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a lock, in the holder's own words. A field is None when they could not be read."""

    pid: int | None
    started_at: datetime | None
    command: str | None

    def __str__(self) -> str:
        if self.pid is None:
            return "another process"
        since = f" since {self.started_at:%Y-%m-%d %H:%M:%S} UTC" if self.started_at else ""
        return f"process {self.pid} ({self.command}){since}"


class Claim:
    """A lock that this process holds until `release` or its end."""

    def __init__(self, path: Path, *, command: str) -> None:
        """Take the lock, or say who has it.

        Raises:
            Conflict: another process holds it.
            Misconfigured: the file system has no locks.
        """
        fd = _lock(path, patience_s=CLAIM_PATIENCE_S)
        if fd is None:
            raise Conflict(
                f"{path.parent.parent} is in use by {_words(path)}.",
                code="data_dir_in_use",
                hint="`orchestrator down` stops it; ORCH_DATA_DIR names another folder.",
            )
        self._fd: int | None = fd
        words = {"pid": os.getpid(), "started_at": datetime.now(UTC).isoformat(), "command": command}
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps(words).encode()[:MAX_WORDS_BYTES], 0)

    def release(self) -> None:
        """Let another process have it. The file stays: removing it would let two processes lock two files."""
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            _unlock(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def holder_of(path: Path) -> Holder | None:
    """Return who holds the lock now, None when nobody does."""
    if not path.exists():
        return None
    fd = _lock(path, patience_s=0.0)
    if fd is None:
        return _words(path)
    _unlock(fd)
    return None


@contextmanager
def turn(path: Path, *, patience_s: float) -> Iterator[None]:
    """Hold a lock for the length of a block; wait for the process that has it now.

    Raises:
        Unavailable: it did not get free in time.
    """
    fd = _lock(path, patience_s=patience_s)
    if fd is None:
        raise Unavailable(f"Another process is still at work here ({path}).", hint="Wait until it is done.")
    try:
        yield
    finally:
        _unlock(fd)


#: Descriptors of locks held by this process, for a forked child to close.
_held: set[int] = set()


def _close_in_child() -> None:
    for fd in _held:
        os.close(fd)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)


def _lock(path: Path, *, patience_s: float) -> int | None:
    """Return the descriptor of the locked file, None when it stays taken for `patience_s`."""
    until = time.monotonic() + patience_s
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    _held.add(fd)
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                _unlock(fd)
                return None
            time.sleep(LOOK_EVERY_S)
        except OSError as error:
            _unlock(fd)
            raise _no_locks(path, error) from error
        else:
            return fd


def _unlock(fd: int) -> None:
    _held.discard(fd)
    os.close(fd)


def _no_locks(path: Path, error: OSError) -> Misconfigured:
    name = errno.errorcode.get(error.errno or 0, "an error")
    return Misconfigured(
        f"The file system of {path.parent} cannot lock files ({name}).",
        code="data_dir_unusable",
        hint="Name a folder on a local disk with ORCH_DATA_DIR.",
    )


def _words(path: Path) -> Holder:
    """Read what the holder wrote; it may be writing just now, so anything is possible."""
    with path.open("rb") as file:
        text = file.read(MAX_WORDS_BYTES)
    try:
        words = json.loads(text)
        return Holder(
            pid=int(words["pid"]),
            started_at=datetime.fromisoformat(words["started_at"]),
            command=str(words["command"]),
        )
    except (ValueError, KeyError, TypeError):
        return Holder(pid=None, started_at=None, command=None)
