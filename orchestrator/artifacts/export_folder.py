"""The folder of an audit export: written file by file, read line by line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from orchestrator.artifacts.launch_journal import sync_folder
from orchestrator.domain.audit_export import CHECKPOINTS, EVENTS, KEYS, MANIFEST, MAX_LINE_BYTES
from orchestrator.errors import BadInput


class ExportFolder:
    """An export in the making: on disk when the block ends well, and without a manifest when it does not.

    Raises:
        BadInput: the folder is there and not empty, or cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, BinaryIO] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            is_empty = not any(folder.iterdir())
        except OSError as error:
            raise BadInput(f"cannot write into {folder}: {error.strerror or error}", code="export.folder") from None
        if not is_empty:
            raise BadInput(
                f"{folder} is not empty: an export is never written over what is there",
                code="export.folder",
                hint="name a new folder with --to-dir",
            )

    def write(self, name: str, text: bytes) -> None:
        """Append to a file."""
        if name not in self._files:
            self._files[name] = (self.folder / name).open("xb")
        self._files[name].write(text)

    def __enter__(self) -> ExportFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.abandon()

    def finish(self) -> None:
        """Bring everything to the disk."""
        for file in self._files.values():
            with file:
                file.flush()
                os.fsync(file.fileno())
        sync_folder(self.folder)

    def abandon(self) -> None:
        """Close the files as they are."""
        for file in self._files.values():
            file.close()


def lines_of(folder: Path) -> Mapping[str, Iterator[bytes]]:
    """Return the lines of each file of an export that is there; one that is too long comes in pieces.

    Raises:
        BadInput: there is no such folder.
    """
    if not folder.is_dir():
        raise BadInput(f"there is no folder {folder}", code="export.missing", hint="orchestrator audit export")
    return {name: _lines(folder / name) for name in (MANIFEST, KEYS, CHECKPOINTS, EVENTS) if (folder / name).is_file()}


def lines_in(path: Path) -> Iterator[bytes]:
    """Return the lines of a file, such as one of anchors.

    Raises:
        BadInput: there is no such file.
    """
    if not path.is_file():
        raise BadInput(f"there is no file {path}", code="anchors.missing")
    return _lines(path)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE_BYTES + 1):
            yield line
