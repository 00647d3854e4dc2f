"""A long answer put into a file, which gets its name once all of it came; and what a ZIP of results says of itself."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
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


def received(chunks: Iterable[bytes], to: Path | IO[bytes]) -> int:
    """Write what comes; return its size in bytes. A file that stands there already is replaced once all of it came."""
    if not isinstance(to, Path):
        return _pour(chunks, to)
    part = _part(to)
    try:
        with part.open("wb") as file:
            size = _pour(chunks, file)
        part.replace(to)
    finally:
        part.unlink(missing_ok=True)
    return size


def received_zip(chunks: Iterable[bytes], to: Path | IO[bytes]) -> Archive:
    """Write a ZIP and read its manifest before it gets its name.

    Raises:
        VerificationFailed: it is no whole ZIP, or has no manifest.
    """
    if not isinstance(to, Path):
        return Archive(size_bytes=received(chunks, to), runs=None, files=None, missing=[])
    part = _part(to)
    try:
        with part.open("wb") as file:
            size = _pour(chunks, file)
        said = _manifest(part)
        part.replace(to)
    finally:
        part.unlink(missing_ok=True)
    missing = [entry for entry in said["files"] if entry["error"] is not None]
    return Archive(size_bytes=size, runs=said["runs"], files=said["files_stored"], missing=missing)


def _part(to: Path) -> Path:
    return to.with_name(f".{to.name[:100]}.{os.getpid()}.part")


def _pour(chunks: Iterable[bytes], file: IO[bytes]) -> int:
    size = 0
    for chunk in chunks:
        file.write(chunk)
        size += len(chunk)
    return size


def _manifest(path: Path) -> dict[str, Any]:
    import zipfile  # it loads zlib and more, which few commands need

    try:
        with zipfile.ZipFile(path) as archive:
            said: dict[str, Any] = json.loads(archive.read(MANIFEST))
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise VerificationFailed(
            f"what came is not the ZIP that was promised: {error}", hint="Fetch it again."
        ) from None
    return said
