"""A file's bytes as the readers of this room take them, and the texts of its rows, which may be kept elsewhere.

Rows are by the thousand and may have megabytes: whoever has a disk hands in a file, and a place for what is read.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable


@runtime_checkable
class Content(Protocol):
    """A file, to be read as often as needed."""

    @property
    def sha256(self) -> str:
        """The hex digest of its bytes."""

    def lines(self) -> Iterator[bytes]:
        """Give its lines, each with its end."""

    def head(self, size: int) -> bytes:
        """Return its first bytes."""

    def whole(self) -> bytes:
        """Return all of it in one piece."""


class Kept(Protocol):
    """A text that was put aside, and what was learned of it then."""

    @property
    def size_bytes(self) -> int:
        """How long it is."""

    @property
    def digest(self) -> bytes:
        """Its SHA-256."""

    def read(self) -> bytes:
        """Return it."""


Text = bytes | Kept

#: Puts a text aside, or leaves it as it is.
Keep = Callable[[bytes], Text]


def as_it_is(text: bytes) -> bytes:
    """Return the text: memory is the place for it."""
    return text


def bytes_of(text: Text) -> bytes:
    """Return a text, wherever it is."""
    return text if isinstance(text, bytes) else text.read()


def size_of(text: Text) -> int:
    """Return how many bytes a text has, without reading it."""
    return len(text) if isinstance(text, bytes) else text.size_bytes


def digest_of(text: Text) -> bytes:
    """Return a text's SHA-256, without reading it again."""
    return hashlib.sha256(text).digest() if isinstance(text, bytes) else text.digest


class InMemory:
    """A file that is in memory as a whole."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def sha256(self) -> str:
        """The hex digest of its bytes."""
        return hashlib.sha256(self._data).hexdigest()

    def lines(self) -> Iterator[bytes]:
        """Give its lines, each with its end."""
        return iter(io.BytesIO(self._data))

    def head(self, size: int) -> bytes:
        """Return its first bytes."""
        return self._data[:size]

    def whole(self) -> bytes:
        """Return all of it."""
        return self._data
