"""What runs during the demo: the product in a folder of its own, and the stand-in for the remote service."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.client import Client
from orchestrator.embedded.datadir import DataDir
from orchestrator.embedded.leftovers import end_leftovers
from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.embedded.postmaster import StopMode
from orchestrator.embedded.supervisor import Supervisor
from orchestrator.errors import Conflict, Misconfigured
from orchestrator.settings import Settings
from sandbox.control import Sandbox

FOLDER = ".orchestrator-demo"
WORKERS = 2
STOP_PATIENCE_S = 8.0


class Stage:
    """Everything that runs, as a context manager: at its end nothing of it does."""

    def __init__(self, *, say: Callable[[str], None]) -> None:
        self.folder = Path(FOLDER).absolute()
        self._say = say
        # The defaults, whatever the environment says: it may name somebody's real database.
        self.settings = Settings.model_validate(
            {
                "data_dir": self.folder,
                "port": 0,
                "workers": WORKERS,
                "allow_private_networks": True,
            }
        )
        self._sandbox: Sandbox | None = None
        self._client: Client | None = None
        self.supervisor = Supervisor(self.settings, say=say)

    @property
    def sandbox(self) -> Sandbox:
        assert self._sandbox is not None, "the stage is open"
        return self._sandbox

    @property
    def client(self) -> Client:
        assert self._client is not None, "the stage is open"
        return self._client

    def __enter__(self) -> Self:
        _clear(self.folder)
        try:
            self._sandbox = Sandbox()
            self.supervisor.start()
            # Not `discover`: the environment may name somebody's real server.
            known = json.loads((self.folder / "client.json").read_bytes())
            self._client = Client(known["url"], known["token"])
        except BaseException:  # Ctrl-C too: nothing may be left behind
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()
        self.supervisor.stop(patience_s=STOP_PATIENCE_S)
        if self._sandbox is not None:
            self._sandbox.stop()


def _clear(folder: Path) -> None:
    """Remove what an earlier demo left: its results, and whatever still runs of one that was killed."""
    if folder.is_symlink():
        raise Misconfigured(f"{folder} is a symbolic link; the demo removes that folder and will not follow it.")
    if not folder.exists():
        return
    data = DataDir(folder)
    holder = data.holder()
    if holder is not None:
        raise Conflict(f"A demo runs here already: {holder}.", hint="Wait for its end, or start in another folder.")
    end_leftovers(data.root, patience_s=0)
    EmbeddedPostgres(data.root).stop(StopMode.IMMEDIATE)
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise Misconfigured(
            f"Cannot remove {folder}: {error.strerror or error}.", hint=f"Remove it yourself: rm -r {folder}"
        ) from error
