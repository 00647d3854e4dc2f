"""A finished report: written to a temporary file while its snapshot is open, sent after the snapshot is gone.

Were it sent while it is counted, a slow reader would hold the snapshot, and vacuum could not clean the hot tables of
the workers behind it; and an error half way would come after a good status.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from typing import IO

from orchestrator.errors import TooLarge

#: A report of more bytes is not made; 1,000,000 runs as CSV are some 400 MB.
MAX_BYTES = 4 * 1024 * 1024 * 1024
#: Up to here a report is kept in memory.
IN_MEMORY_BYTES = 4 * 1024 * 1024
BLOCK_BYTES = 1024 * 1024


class Spool:
    """Takes a report's bytes in order. The file has no name, so nothing is left of it whatever happens."""

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115 -- `close` does
        self._digest = hashlib.sha256()
        self._max_bytes = max_bytes
        self.size_bytes = 0

    async def write(self, block: bytes) -> None:
        """Append a block.

        Raises:
            TooLarge: the report outgrew its bound.
        """
        self.size_bytes += len(block)
        if self.size_bytes > self._max_bytes:
            raise TooLarge(f"the report is larger than {self._max_bytes:,} bytes", hint="ask for a shorter period")
        await asyncio.to_thread(self._write, block)

    def _write(self, block: bytes) -> None:
        self._digest.update(block)
        self._file.write(block)

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written so far."""
        return self._digest.hexdigest()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield everything that was written, once, and let go of it."""
        try:
            await asyncio.to_thread(self._file.seek, 0)
            while block := await asyncio.to_thread(self._file.read, BLOCK_BYTES):
                yield block
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the file. Harmless to do again."""
        self._file.close()
