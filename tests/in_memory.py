"""Whether a folder may be in memory: the memory file system says what may be put there, not what memory is left."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psutil

#: A memory file system, where there is one.
MEMORY = Path("/dev/shm")

#: What the processes of tests need beside it.
LEFT_BYTES = 4 << 30


def has_room(needed_bytes: int) -> bool:
    """Return whether so much may be written into `MEMORY`."""
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK):
        return False
    free_bytes, available_bytes = shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available
    return is_enough(needed_bytes, free_bytes=free_bytes, available_bytes=available_bytes)


def is_enough(needed_bytes: int, *, free_bytes: int, available_bytes: int) -> bool:
    """Return whether a memory file system takes so much, and enough memory is left besides.

    Its size is half of the machine's memory, or what somebody wrote down: it is promised, there or not. Who fills it on
    a small machine has processes killed for want of memory.

    Args:
        free_bytes: what the file system says is free.
        available_bytes: what the kernel could give to processes now (`MemAvailable`).
    """
    return free_bytes >= needed_bytes and available_bytes >= needed_bytes + LEFT_BYTES
