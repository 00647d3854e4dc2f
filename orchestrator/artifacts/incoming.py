"""The folder of inputs: files that other programs leave for schedules. Names come from outside and are hostile."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from pathlib import Path

from orchestrator.errors import BadInput, NotFound, TooLarge, Unavailable

#: A file that was written to a moment ago may be half of itself.
SETTLED_S = 2.0


class Incoming:
    """Reads files below one folder, and nothing else: no links that lead out, no devices, no more than asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    async def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return a file's bytes.

        Raises:
            NotFound: it is not there yet, or is still being written; `code` says which.
            BadInput: it is no plain file below the folder.
            TooLarge: it holds more than `max_bytes`.
            Unavailable: the folder cannot be read.
        """
        return await asyncio.to_thread(self._read, name, max_bytes)

    def _read(self, name: str, max_bytes: int) -> bytes:
        try:
            # Not blocking: a pipe that somebody left there has no end.
            flags = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
            with os.fdopen(os.open(self._below(name), flags), "rb") as file:
                before = os.fstat(file.fileno())
                _check(before, name, max_bytes)
                data = file.read(max_bytes + 1)
                after = os.fstat(file.fileno())
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"the file {name} is not there", code="input_missing") from None
        except IsADirectoryError:
            raise BadInput(f"{name} is a folder", code="input.not_a_file") from None
        except OSError as error:
            raise Unavailable(f"the file {name} cannot be read: {error.strerror}", code="input_unreadable") from error
        if len(data) > max_bytes:
            raise TooLarge(f"the file {name} is larger than {max_bytes:,} bytes")
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(data) != after.st_size:
            raise NotFound(f"the file {name} is still being written", code="input_unsettled")
        return data

    def _below(self, name: str) -> Path:
        """Return where a name leads, links followed, if that is below the folder."""
        path = (self.root / name).resolve(strict=True)
        if not path.is_relative_to(self.root.resolve()):
            raise BadInput(f"{name} leads out of the folder of inputs", code="input.outside")
        return path


def _check(found: os.stat_result, name: str, max_bytes: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise BadInput(f"{name} is no plain file", code="input.not_a_file")
    if found.st_size > max_bytes:
        raise TooLarge(f"the file {name} has {found.st_size:,} bytes, at most {max_bytes:,} are taken")
    # A clock that went back makes a file of the future: that is no reason to wait for ever.
    if 0 <= time.time() - found.st_mtime < SETTLED_S:
        raise NotFound(f"the file {name} is still being written", code="input_unsettled")
