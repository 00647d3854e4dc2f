"""Children of a supervisor that was killed: they end by themselves, but may need some seconds for it."""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from orchestrator.embedded.processes import LOOK_EVERY_S, is_alive, kill_all
from orchestrator.settings import PREFIX

WRAPPER = "orchestrator.embedded.child"


def leftovers(root: Path) -> list[psutil.Process]:
    """Return the children of any supervisor of this data folder.

    Only meant for who holds the folder's claim: then nobody else supervises them.
    """
    return [process for process in psutil.process_iter() if _belongs_to(process, root)]


def end_leftovers(root: Path, *, patience_s: float) -> int:
    """Wait for them to end, make those end that do not, and return how many there were."""
    found = leftovers(root)
    until = time.monotonic() + patience_s
    while any(is_alive(process) for process in found) and time.monotonic() < until:
        time.sleep(LOOK_EVERY_S)
    kill_all([process for process in found if is_alive(process)])
    return len(found)


def _belongs_to(process: psutil.Process, root: Path) -> bool:
    try:
        return (
            WRAPPER in process.cmdline()
            and process.environ().get(f"{PREFIX}DATA_DIR") == str(root)
            and is_alive(process)
        )
    except psutil.Error:
        return False  # gone, or another user's
