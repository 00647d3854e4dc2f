"""Which processes belong to a database folder.

A pid from a file proves nothing: it may be another process's by now. So every server is started with a name made
from its folder (`cluster_name`), which Postgres shows in the titles of all its processes. Title and user
together tell whose a process is; nothing is ever found or ended by "postgres" alone. (Its working directory
would tell too, but in a container root is not allowed to look at another user's.)
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

PROGRAMS = ("postgres", "initdb")
KILL_PATIENCE_S = 10.0
LOOK_EVERY_S = 0.02


def name_of(folder: Path) -> str:
    """Return the name of the server of a folder: of this very folder, wherever it is moved, and of no copy."""
    found = folder.stat()
    return f"orchestrator-{found.st_dev:x}-{found.st_ino:x}"


def processes_of(folder: Path) -> list[psutil.Process]:
    """Return the Postgres processes that belong to a folder."""
    return [process for process in psutil.process_iter() if belongs_to(process, folder)]


def belongs_to(process: psutil.Process, folder: Path) -> bool:
    try:
        return (
            process.name() in PROGRAMS
            and process.uids().effective == folder.stat().st_uid
            and name_of(folder) in " ".join(process.cmdline())
            and is_alive(process)
        )
    except psutil.Error:
        return False  # gone, or hidden from us: then it is not ours either


def is_alive(process: psutil.Process) -> bool:
    """Tell whether it runs; a zombie does not, and where nobody reaps (PID 1 of a container) it stays one."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill_all(processes: Sequence[psutil.Process]) -> None:
    """End processes at once and wait until they are gone."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    until = time.monotonic() + KILL_PATIENCE_S
    while any(is_alive(process) for process in processes) and time.monotonic() < until:
        time.sleep(LOOK_EVERY_S)
