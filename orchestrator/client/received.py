"""A long answer put into a file, which gets its name once all of it came; and what a ZIP of results says of itself."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypedDict

from orchestrator.client.errors import VerificationFailed

MANIFEST = "manifest.json"


class Archive(TypedDict):
    """A ZIP that came. `missing` are the manifest's entries of files that are not in it whole, each with its `error`.

    Of one that went to a stream only the size is known.
    """

    size_bytes: int
    runs: int | None
    files: int | None
    missing: list[dict[str, Any]]


@contextmanager
def appearing(to: Path) -> Iterator[IO[bytes]]:
    """Give a file to write, which gets its name when the block ends well. If it does not, nothing is left.

    It is synced before it is named, so that what has the name is whole. A file that stands there already is replaced.
    """
    # A name may have 255 bytes, and what stands around it counts.
    part = to.with_name(f".{os.fsencode(to.name)[:100].decode(errors='ignore')}.{os.getpid()}.part")
    try:
        with part.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(to)
    finally:
        part.unlink(missing_ok=True)


def received(chunks: Iterable[bytes], to: Path | IO[bytes]) -> int:
    """Write what comes; return its size in bytes. A file that stands there already is replaced once all of it came."""
    if not isinstance(to, Path):
        return _pour(chunks, to)
    with appearing(to) as file:
        return _pour(chunks, file)


def hashed(chunks: Iterable[bytes], file: IO[bytes]) -> tuple[int, str]:
    """Write what comes; return its size in bytes and its SHA-256 in hex."""
    import hashlib  # it loads OpenSSL, which costs a few milliseconds at every start

    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        file.write(chunk)
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def received_zip(chunks: Iterable[bytes], to: Path | IO[bytes]) -> Archive:
    """Write a ZIP and read its manifest before it gets its name.

    Raises:
        VerificationFailed: it is no whole ZIP, or has no manifest.
    """
    if not isinstance(to, Path):
        return Archive(size_bytes=received(chunks, to), runs=None, files=None, missing=[])
    with appearing(to) as file:
        size = _pour(chunks, file)
        said = _manifest(file)
    missing = [entry for entry in said["files"] if entry["error"] is not None]
    return Archive(size_bytes=size, runs=said["runs"], files=said["files_stored"], missing=missing)


def _pour(chunks: Iterable[bytes], file: IO[bytes]) -> int:
    size = 0
    for chunk in chunks:
        file.write(chunk)
        size += len(chunk)
    return size


def _manifest(file: IO[bytes]) -> dict[str, Any]:
    import zipfile  # it loads zlib and more, which few commands need

    try:
        with zipfile.ZipFile(file) as archive:
            said: dict[str, Any] = json.loads(archive.read(MANIFEST))
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise VerificationFailed(
            f"what came is not the ZIP that was promised: {error}", hint="Fetch it again."
        ) from None
    return said
