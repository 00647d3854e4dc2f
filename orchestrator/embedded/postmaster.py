"""The server process of one cluster: finding it, starting it, ending it, and clearing up after a killed one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Self

import psutil

from orchestrator.embedded.account import Account
from orchestrator.embedded.address import SOCKET_NAME
from orchestrator.embedded.binaries import ENVIRONMENT, called_from_inside
from orchestrator.embedded.processes import (
    KILL_PATIENCE_S,
    LOOK_EVERY_S,
    belongs_to,
    is_alive,
    kill_all,
    name_of,
    processes_of,
)

PID_FILE = "postmaster.pid"
MAX_PID_FILE_BYTES = 4096
#: Processes of a killed server notice within moments; one in a long statement may take until its end.
ORPHAN_PATIENCE_S = 5.0


class StopMode(StrEnum):
    """How a server is asked to end."""

    SMART = "smart"  # when all clients have left
    FAST = "fast"  # rolls back what is open, then writes a checkpoint
    IMMEDIATE = "immediate"  # at once; the next start recovers


SIGNALS = {
    StopMode.SMART: signal.SIGTERM,
    StopMode.FAST: signal.SIGINT,
    StopMode.IMMEDIATE: signal.SIGQUIT,
}
assert set(SIGNALS) == set(StopMode), "every mode needs a signal"


class Postmaster:
    """A server that we started (then we are its parent), or one that a killed supervisor left running."""

    def __init__(self, process: psutil.Process, child: subprocess.Popen[bytes] | None = None) -> None:
        self._process = process
        self._child = child

    @classmethod
    def find(cls, cluster: Path) -> Self | None:
        """Return the server of this cluster, None when none runs."""
        pid = _pid_in(cluster / PID_FILE)
        if pid is None or not psutil.pid_exists(pid):
            return None
        try:
            process = psutil.Process(pid)
        except psutil.NoSuchProcess:
            return None
        return cls(process) if belongs_to(process, cluster) else None

    @classmethod
    def launch(
        cls, cluster: Path, *, program: Path, arguments: Sequence[str], account: Account | None, log: Path
    ) -> Self:
        """Start a server in a session of its own, so that the terminal's Ctrl-C does not reach it."""
        clear_up(cluster)
        with log.open("wb") as output:
            child = subprocess.Popen(  # noqa: S603 -- our own program
                [program, "-D", called_from_inside(cluster), *arguments, "-c", f"cluster_name={name_of(cluster)}"],
                cwd=cluster,
                env=ENVIRONMENT,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
                umask=0o077,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return cls(psutil.Process(child.pid), child)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return is_alive(self._process)

    def ask_to_stop(self, mode: StopMode) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            self._process.send_signal(SIGNALS[mode])

    def wait(self, deadline_s: float) -> bool:
        """Wait for its end and say whether it came."""
        until = time.monotonic() + deadline_s
        while self.is_alive:
            if time.monotonic() >= until:
                return False
            time.sleep(LOOK_EVERY_S)
        return True

    def kill(self) -> None:
        """End the server and its children without a chance to write anything."""
        try:
            children = self._process.children(recursive=True)
        except psutil.NoSuchProcess:
            children = []
        kill_all([self._process, *children])
        self.wait(KILL_PATIENCE_S)


def clear_up(cluster: Path) -> None:
    """Make a start possible after a server was killed. Only called when `find` finds none.

    Its last children must be gone before a new server writes to the same files. Then its lock files: when
    the pid in them belongs to some process again, Postgres would take that for a running server.
    """
    pid_file = cluster / PID_FILE
    if not pid_file.exists():
        return
    until = time.monotonic() + ORPHAN_PATIENCE_S
    while (orphans := processes_of(cluster)) and time.monotonic() < until:
        time.sleep(LOOK_EVERY_S)
    kill_all(orphans)
    _disown(pid_file)
    (cluster / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)


def _disown(pid_file: Path) -> None:
    """Put our own pid into the lock file: Postgres takes its parent's for stale.

    Removing the file would do too, but would take away Postgres' own last check, for shared memory that is
    still in use, whose key stands on a later line.
    """
    if _pid_in(pid_file) is None:
        pid_file.unlink()  # cut short by a crash; Postgres refuses it in any case
        return
    fd = os.open(pid_file, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, "r+b") as file:
        lines = file.read(MAX_PID_FILE_BYTES).split(b"\n")
        lines[0] = str(os.getpid()).encode()
        file.seek(0)
        file.write(b"\n".join(lines))
        file.truncate()


def _pid_in(pid_file: Path) -> int | None:
    try:
        fd = os.open(pid_file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(fd, "rb") as file:
        first = file.read(MAX_PID_FILE_BYTES).split(b"\n")[0].strip()
    return int(first) if first.isdigit() and int(first) > 0 else None
