"""Bytes on their way through, on disk once they are many: a body as it comes, the rows that are read out of it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Self

from orchestrator.errors import Unavailable

#: So much stays in memory.
IN_MEMORY_BYTES = 1024 * 1024
CHUNK_BYTES = 256 * 1024

_NOWHERE = -1


class Spool:
    """A temporary file without a name, as a context manager. One thread at a time reads or writes it.

    What is written or read in the order in which it stands needs no seeking, which costs more than small pieces do.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115 -- `__exit__` does
        self._digest = hashlib.sha256()
        self._at = 0
        self.size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def sha256(self) -> str:
        """The hex digest of what was written."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        """Add to its end.

        Raises:
            Unavailable: the disk for temporary files is full.
        """
        try:
            self._go_to(self.size_bytes)
            self._at = _NOWHERE
            self._file.write(data)
        except OSError as error:
            raise Unavailable(f"no room for a temporary file: {error.strerror}", code="spool_full") from error
        self._digest.update(data)
        self.size_bytes = self._at = self.size_bytes + len(data)

    def keep(self, data: bytes) -> Piece:
        """Add to its end what will be wanted again; return where it stands."""
        start = self.size_bytes
        self.write(data)
        return Piece(spool=self, start=start, size_bytes=len(data), digest=hashlib.sha256(data).digest())

    def lines(self) -> Iterator[bytes]:
        """Give its lines, each with its end."""
        self._go_to(0)
        for line in self._file:
            # It reads ahead: where it stands is not known.
            self._at = _NOWHERE
            yield line
        self._at = _NOWHERE

    def chunks(self) -> Iterator[bytes]:
        """Give it piece by piece."""
        start = 0
        while chunk := self.read(start, CHUNK_BYTES):
            yield chunk
            start += len(chunk)

    def head(self, size: int) -> bytes:
        """Return its first bytes."""
        return self.read(0, size)

    def whole(self) -> bytes:
        """Return all of it."""
        return self.read(0, self.size_bytes)

    def read(self, start: int, size: int) -> bytes:
        """Return a piece of it."""
        self._go_to(start)
        self._at = _NOWHERE
        data = self._file.read(size)
        self._at = start + len(data)
        return data

    def _go_to(self, place: int) -> None:
        if place != self._at:
            self._file.seek(place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A piece of a spool, and its SHA-256."""

    spool: Spool
    start: int
    size_bytes: int
    digest: bytes

    def read(self) -> bytes:
        """Return it."""
        return self.spool.read(self.start, self.size_bytes)
