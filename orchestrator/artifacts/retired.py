"""The exports of retired history: a folder each, beside the results, complete or not there."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

from orchestrator.artifacts.export_folder import ExportFolder, lines_of
from orchestrator.artifacts.launch_journal import sync_folder
from orchestrator.domain.audit_export import MANIFEST
from orchestrator.errors import OrchestratorError, Unavailable
from orchestrator.runtime import in_thread

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

    def leftovers(self, name: str, *, keep: Collection[str]) -> list[str]:
        """Return what earlier tries left of an export, but for those that something names."""
        if not self.root.is_dir():
            return []
        with _explained(self.root):
            found = [*self.root.glob(f"{name}-*"), *self.root.glob(f"{name}{_UNFINISHED}")]
            return [folder.name for folder in found if folder.name not in keep]

    def remove(self, left: Collection[str]) -> None:
        """Remove what was left."""
        with _explained(self.root):
            for name in left:
                if (self.root / name).exists():
                    shutil.rmtree(self.root / name)

    @asynccontextmanager
    async def writing(self, name: str, take: str) -> AsyncIterator[ExportFolder]:
        """Hand out a sink; what it took is on disk when the block ends well, under a name that is not its own yet.

        Args:
            take: whose try it is: two that are at it at once, one of them late, do not write into one folder.

        Raises:
            Unavailable: it cannot be written there.
        """
        with _explained(self.root):
            sink = await in_thread(partial(self._begin, name, take))
            try:
                yield sink
                await in_thread(sink.finish)
            except BaseException:
                await in_thread(sink.abandon)
                raise

    def _begin(self, name: str, take: str) -> ExportFolder:
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        return ExportFolder(self._unfinished(name, take))

    def unfinished(self, name: str, take: str) -> Mapping[str, Iterator[bytes]]:
        """Return the lines of what was just written."""
        return lines_of(self._unfinished(name, take))

    def keep(self, name: str, take: str) -> tuple[str, str]:
        """Give what was written its name; return it, and the SHA-256 of its manifest."""
        with _explained(self.root):
            folder = self._unfinished(name, take)
            digest = manifest_sha256(folder)
            kept = f"{name}-{digest[:12]}"
            folder.rename(self.root / kept)
            sync_folder(self.root)
        return kept, digest

    def _unfinished(self, name: str, take: str) -> Path:
        return self.root / f"{name}-{take}{_UNFINISHED}"


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
