"""The artifact store of a world, in memory: as durable as the real one promises to be, and with its faults.

A file is there whole once `put` has stored it, or not at all: what a killed worker had not finished is an unfinished
part that nobody ever reads. All simulated workers share one.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from orchestrator.domain.answers import StoredFile
from orchestrator.errors import NotFound, StoreFull, TooLarge, Unavailable
from orchestrator.faultpoints import Point, reach
from tests.simulation.network import Faults

SLOW_S = 20.0
_BLOCK_BYTES = 65_536


@dataclass(slots=True)
class SimStore:
    """Keeps files in a dict.

    Args:
        write_s: how long a write takes that is not slow.
        slow_s: how long a slow one takes.
    """

    faults: Faults
    write_s: float = 0.005
    slow_s: float = SLOW_S
    #: What is stored, whole.
    files: dict[str, bytes] = field(default_factory=dict)
    #: Unfinished ones, by number: what a dead worker left, or is being written. The size so far.
    parts: dict[int, int] = field(default_factory=dict)
    #: A key whose content was replaced by another content: the store's own breach of "write once".
    overwritten: list[str] = field(default_factory=list)
    #: The store takes nothing, until it is False again.
    is_full: bool = False
    #: The store cannot be reached, until it is False again.
    is_away: bool = False
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def put(self, key: str, chunks: AsyncIterator[bytes], *, max_bytes: int) -> StoredFile:
        """Store durably under `key`, hashing on the way.

        Raises:
            StoreFull: nothing is left behind.
            Unavailable: nothing is left behind, or all of it is: the caller cannot know.
            TooLarge: more than `max_bytes` came.
        """
        fault = self.faults.at("store.put")
        part = next(self._numbers)
        body = bytearray()
        try:
            async for chunk in chunks:
                await reach(Point.DOWNLOAD_CHUNK)
                body += chunk
                self.parts[part] = len(body)
                if len(body) > max_bytes:
                    raise TooLarge(f"the file is larger than {max_bytes:,} bytes")
                self._check(fault)
            await asyncio.sleep(self.slow_s if fault == "slow" else self.write_s)
            await reach(Point.ARTIFACT_WRITTEN)
            self._check(fault)
            self._keep(key, bytes(body))
            if fault == "done_but_reported_as_failed":
                raise Unavailable("the artifact store answered nothing after it stored (simulated)")
            await reach(Point.ARTIFACT_STORED)
        except Exception:  # an error is cleaned up after; a killed worker (no Exception) cleans up nothing
            self.parts.pop(part, None)
            raise
        self.parts.pop(part, None)
        return StoredFile(key=key, size_bytes=len(body), sha256=hashlib.sha256(body).hexdigest())

    async def open(self, key: str) -> AsyncIterator[bytes]:
        """Yield the file's bytes. Raises NotFound when there is none."""
        if key not in self.files:
            raise NotFound("the store has no such file", code="artifact.missing")
        body = self.files[key]
        for at in range(0, len(body), _BLOCK_BYTES):
            yield body[at : at + _BLOCK_BYTES]

    async def size(self, key: str) -> int | None:
        """Return the size of the file under `key` in bytes, None when there is none."""
        body = self.files.get(key)
        return None if body is None else len(body)

    async def delete(self, key: str) -> None:
        """Remove the file. A missing one is fine."""
        self.files.pop(key, None)

    def _check(self, fault: str | None) -> None:
        if self.is_full or fault == "full":
            raise StoreFull("the artifact store takes nothing: no space is left (simulated)")
        if self.is_away or fault == "away":
            raise Unavailable("the artifact store is away (simulated)")

    def _keep(self, key: str, body: bytes) -> None:
        if self.files.get(key, body) != body:
            self.overwritten.append(key)
        self.files[key] = body
