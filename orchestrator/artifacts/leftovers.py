"""Removes what no row names: files that a killed worker stored and could not record, and what it had not finished."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from orchestrator.artifacts.local import PARTS, LocalStore
from orchestrator.errors import Unavailable

_FOLDER = re.compile(r"[0-9a-f-]{36}/[0-9a-f-]{36}")
#: A file may come into a folder while it is removed.
_TRIES = 5


class Leftovers:
    """What lies in a local store beside the files that rows name."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store

    async def remove_all(self, folder: str) -> None:
        """Remove everything of a run, durably. `folder` is `workspace/run`; a missing one is fine.

        Raises:
            Unavailable: the store is away, so that nobody can say that nothing is there.
            StoreFull: it is read-only.
        """
        if not _FOLDER.fullmatch(folder):
            raise ValueError("not a run's folder")
        await asyncio.to_thread(self._remove_all, self._store.root / folder)

    async def remove_unfinished(self, *, older_than_s: float = 3_600.0) -> int:
        """Remove unfinished files that nothing has written to for that long; return how many."""
        return await self._store.sweep(older_than_s=older_than_s)

    def _remove_all(self, folder: Path) -> None:
        with self._store.errors():
            # An unmounted volume leaves an empty folder behind, in which no file of ours can be missed.
            if not (self._store.root / PARTS).is_dir():
                raise Unavailable(f"the artifact store {self._store.root} is away: its own folder {PARTS} is not there")
            for left in reversed(range(_TRIES)):
                try:
                    shutil.rmtree(folder)
                    break
                except FileNotFoundError:
                    if not folder.exists():
                        break
                except OSError as error:
                    if error.errno != errno.ENOTEMPTY or not left:
                        raise
            self._sync(folder.parent)

    def _sync(self, folder: Path) -> None:
        """Make the removal durable, and remove a workspace's folder that it left empty."""
        with suppress(FileNotFoundError):
            _sync_folder(folder)
            with suppress(OSError):  # not empty
                folder.rmdir()
        _sync_folder(self._store.root)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
