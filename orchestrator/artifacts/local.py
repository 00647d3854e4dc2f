"""Result files in a folder on this machine. What `put` returned is on disk: bytes, name, and every folder above it.

Written under a temporary name in one folder beside the workspaces, hashed on the way, synced, renamed, and the
folders synced from the file up to the root: a folder that another process made a moment ago may not be durable yet,
and syncing a clean one costs next to nothing. One flat folder for unfinished files lets `sweep` find what a crash
left without walking the whole tree.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import secrets
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from orchestrator.domain.answers import StoredFile
from orchestrator.errors import Misconfigured, NotFound, OrchestratorError, StoreFull, TooLarge, Unavailable
from orchestrator.faultpoints import Point, reach

#: Up to here a file is collected and written in one visit to a thread; beyond, one visit per this many bytes.
BLOCK_BYTES = 1024 * 1024
PARTS = ".parts"

#: Without a fence: files that were stored before claims had names of their own.
_KEY = re.compile(r"[0-9a-f-]{36}/[0-9a-f-]{36}/[0-9]{1,9}/[0-9]{1,9}(\.[0-9]{1,19})?")
_MKDIR_TRIES = 5

#: What the system says when it takes nothing more, in words for the person who must make room.
_FULL = {
    errno.ENOSPC: "no space is left on its volume",
    errno.EDQUOT: "its disk quota is used up",
    errno.EROFS: "its volume is read-only",
    errno.EFBIG: "the file is larger than its volume or the process's limit allows",
    errno.EACCES: "the process may not write there",
    errno.EPERM: "the process may not write there",
}
_AWAY = {
    errno.ENOENT: "its folder is gone",
    errno.EIO: "an I/O error",
    errno.ESTALE: "a stale mount",
    errno.ENXIO: "no such device",
    errno.ENODEV: "no device",
}


class LocalStore:
    """Keeps files under `root/workspace/run/attempt/n.fence`, readable by this user only."""

    def __init__(self, root: Path) -> None:
        """Take the folder; make it when it is missing.

        Raises:
            Misconfigured: it cannot be made, or is not a folder.
        """
        self.root = root.absolute()
        self._parts = self.root / PARTS
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._parts.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise Misconfigured(
                f"the artifact folder {self.root} cannot be used: {error.strerror}", code="artifacts.folder"
            ) from error

    async def put(self, key: str, chunks: AsyncIterator[bytes], *, max_bytes: int) -> StoredFile:
        """Store durably under `key`, hashing on the way.

        What a crashed attempt left under the key is replaced, by one rename of a whole file.

        Raises:
            StoreFull: no space, quota, or read-only. Nothing is left behind.
            TooLarge: more than `max_bytes` came.
            ProviderError: whatever `chunks` raises; nothing is left behind.
        """
        target = self._path(key)
        part = _Part(self._parts / f"{secrets.token_hex(12)}.part", store=self)
        pending = bytearray()
        received = 0
        try:
            async for chunk in chunks:
                await reach(Point.DOWNLOAD_CHUNK)
                received += len(chunk)
                if received > max_bytes:
                    raise TooLarge(f"the file is larger than {max_bytes:,} bytes")
                pending += chunk
                if len(pending) > BLOCK_BYTES:
                    block, pending = pending, bytearray()
                    await asyncio.to_thread(part.write, block)
            await reach(Point.ARTIFACT_WRITTEN)
            stored = await asyncio.to_thread(part.finish, pending, key, target)
            await reach(Point.ARTIFACT_STORED)
            return stored
        finally:
            if not part.is_over:
                await asyncio.to_thread(part.discard)

    async def open(self, key: str) -> AsyncIterator[bytes]:
        """Yield the file's bytes. Raises NotFound when there is none."""
        path = self._path(key)
        try:
            file = await asyncio.to_thread(path.open, "rb")
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound("the store has no such file", code="artifact.missing") from None
        with file:
            while block := await asyncio.to_thread(file.read, BLOCK_BYTES):
                yield block

    async def size(self, key: str) -> int | None:
        """Return the size of the file under `key` in bytes, None when there is none."""
        try:
            return (await asyncio.to_thread(self._path(key).stat)).st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    async def delete(self, key: str) -> None:
        """Remove the file, durably, and the folders that it leaves empty. A missing one is fine."""
        await asyncio.to_thread(self._delete, self._path(key))

    async def sweep(self, *, older_than_s: float = 3_600.0) -> int:
        """Remove unfinished files that nothing has written to for that long; return how many."""
        return await asyncio.to_thread(self._sweep, time.time() - older_than_s)

    def _path(self, key: str) -> Path:
        """Return the key's place. Keys are ours alone, so another shape is our bug, never a user's mistake."""
        if not _KEY.fullmatch(key):
            raise ValueError("not an artifact key")
        return self.root / key

    def _delete(self, path: Path) -> None:
        with self.errors():
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError):
                return
            folder = path.parent
            while folder != self.root:
                _sync_folder(folder)
                try:
                    folder.rmdir()
                except OSError:  # not empty, or already gone: either way it is no longer ours to remove
                    return
                folder = folder.parent
            _sync_folder(self.root)

    def _sweep(self, before: float) -> int:
        removed = 0
        with self.errors(), os.scandir(self._parts) as entries:
            for entry in entries:
                # Another process may finish or remove it between the listing and here.
                with suppress(FileNotFoundError):
                    if entry.name.endswith(".part") and entry.stat(follow_symlinks=False).st_mtime < before:
                        Path(entry.path).unlink()
                        removed += 1
        return removed

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what the system says into our errors; what has no name there is a bug and stays as it is."""
        try:
            yield
        except OSError as error:
            raise (store_error(error, self.root) or error) from error


def store_error(error: OSError, root: Path) -> OrchestratorError | None:
    """Return the error that a failed write means, None when it is no state of the store."""
    number = error.errno or 0
    if number in _FULL:
        return StoreFull(
            f"the artifact store {root} takes nothing: {_FULL[number]} ({errno.errorcode[number]})",
            hint="Free space there or enlarge it; downloads resume by themselves.",
        )
    if number in _AWAY:
        return Unavailable(f"the artifact store {root} is away: {_AWAY[number]} ({errno.errorcode[number]})")
    return None


class _Part:
    """One unfinished file. Its methods block and belong in a thread.

    The lock is for a caller who is cancelled while a thread still writes: `discard` waits for that write instead
    of closing a descriptor under it, and what comes after `discard` creates nothing.
    """

    def __init__(self, path: Path, *, store: LocalStore) -> None:
        self.is_over = False
        self._path = path
        self._store = store
        self._file: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self._size = 0
        self._lock = threading.RLock()

    def write(self, block: bytes | bytearray) -> None:
        with self._lock, self._store.errors():
            if self.is_over:
                return
            if self._file is None:
                self._file = os.fdopen(self._create(), "wb")
            self._file.write(block)
            self._hash.update(block)
            self._size += len(block)

    def finish(self, last: bytes | bytearray, key: str, target: Path) -> StoredFile:
        """Write what is left, then make bytes and name durable; or leave nothing behind."""
        with self._lock:
            try:
                self.write(last)
                with self._store.errors():
                    assert self._file is not None, "a discarded file is never finished"
                    self._file.flush()
                    os.fsync(self._file.fileno())
                    self._file.close()
                    self._rename(target)
            finally:
                self.discard()
        return StoredFile(key=key, size_bytes=self._size, sha256=self._hash.hexdigest())

    def discard(self) -> None:
        """Leave nothing unfinished behind; after a rename there is nothing to leave."""
        with self._lock:
            self.is_over = True
            if self._file is None:
                return
            with suppress(OSError):  # closing flushes, and a full disk says so a second time
                self._file.close()
            self._path.unlink(missing_ok=True)

    def _create(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        try:
            return os.open(self._path, flags, 0o600)
        except FileNotFoundError:
            # Not its parents: a root that vanished is an unmounted volume, not a folder to be made anew.
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            return os.open(self._path, flags, 0o600)

    def _rename(self, target: Path) -> None:
        folders = [folder for folder in target.parents if self._store.root in folder.parents]
        for left in reversed(range(_MKDIR_TRIES)):
            try:
                for folder in reversed(folders):
                    folder.mkdir(mode=0o700, exist_ok=True)
                self._path.replace(target)
                break
            # `delete` of a neighbour removed a folder as empty just now: before it was used, or while it was looked at.
            except (FileNotFoundError, FileExistsError):
                if not left:
                    raise
        for folder in folders:
            _sync_folder(folder)
        _sync_folder(self._store.root)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
