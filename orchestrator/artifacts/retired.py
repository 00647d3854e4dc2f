"""The exports of retired history: a folder each, beside the results, complete or not there."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from orchestrator.artifacts.export_folder import ExportFolder, lines_of
from orchestrator.artifacts.launch_journal import sync_folder
from orchestrator.domain.audit_export import MANIFEST
from orchestrator.errors import OrchestratorError, Unavailable

#: What is still being written.
_UNFINISHED = ".part"


class RetiredExports:
    """Keeps exports under a folder.

    Args:
        root: the folder; made when it is first needed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return str(self.root)

    def clear(self, name: str, *, keep: Collection[str]) -> None:
        """Remove what an earlier try left of an export and nothing names."""
        if not self.root.is_dir():
            return
        with _explained(self.root):
            for found in self.root.glob(f"{name}-*"):
                if found.name not in keep:
                    shutil.rmtree(found)
            shutil.rmtree(self.root / f"{name}{_UNFINISHED}", ignore_errors=True)

    @contextmanager
    def writing(self, name: str) -> Iterator[ExportFolder]:
        """Hand out a sink; what it took is on disk when the block ends well, under a name that is not its own yet.

        Raises:
            Unavailable: it cannot be written there.
        """
        with _explained(self.root):
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            with ExportFolder(self.root / f"{name}{_UNFINISHED}") as sink:
                yield sink

    def unfinished(self, name: str) -> Mapping[str, Iterator[bytes]]:
        """Return the lines of what was just written."""
        return lines_of(self.root / f"{name}{_UNFINISHED}")

    def keep(self, name: str) -> tuple[str, str]:
        """Give what was written its name; return it, and the SHA-256 of its manifest."""
        with _explained(self.root):
            folder = self.root / f"{name}{_UNFINISHED}"
            digest = manifest_sha256(folder)
            kept = f"{name}-{digest[:12]}"
            folder.rename(self.root / kept)
            sync_folder(self.root)
        return kept, digest


def manifest_sha256(folder: Path) -> str:
    """Return the SHA-256 of an export's manifest, which names those of all its files."""
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


@contextmanager
def _explained(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"retired history cannot be exported to {root}: {error.strerror or error}; nothing was retired",
            code="retention_no_place",
            hint="Free space there, or name another folder: ORCH_RETIRED_DIR.",
        ) from None
    except OrchestratorError as error:
        if error.code == "export.folder":
            raise Unavailable(
                f"{error}; nothing was retired", code="retention_no_place", hint="name another folder: ORCH_RETIRED_DIR"
            ) from None
        raise
