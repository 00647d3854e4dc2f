"""The client: one object for one server and one token, its methods grouped by what they are about."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType

from orchestrator.client.audit import Audit
from orchestrator.client.batches import Batches
from orchestrator.client.connections import Connections, Workflows
from orchestrator.client.errors import NotConfigured
from orchestrator.client.operations import Operations
from orchestrator.client.reports import Reports
from orchestrator.client.runs import Runs
from orchestrator.client.schedules import Schedules
from orchestrator.client.webhooks import Webhooks
from orchestrator.client.wire import Wire
from orchestrator.client.workspace import Doubts, Inbox, System, Tokens

DEFAULT_DATA_DIR = ".orchestrator"
CLIENT_FILE = "client.json"
MAX_CLIENT_FILE_BYTES = 64 * 1024
HINT = "Run `orchestrator up` here first, or set ORCH_URL and ORCH_TOKEN."


class Client:
    """Talks to one orchestrator. Use it as a context manager, or close it.

    >>> with Client("http://127.0.0.1:8700", token) as client:
    ...     run = client.runs.submit("main", workflow_id, {"email": "john@example.com"})

    Args:
        timeout_s: how long the server may be silent; submissions of files and tests of connections get longer.
    """

    def __init__(self, url: str, token: str | None, *, timeout_s: float = 30.0) -> None:
        self._wire = Wire(url, token, timeout_s=timeout_s)
        self.connections = Connections(self._wire)
        self.workflows = Workflows(self._wire)
        self.runs = Runs(self._wire)
        self.batches = Batches(self._wire)
        self.operations = Operations(self._wire)
        self.schedules = Schedules(self._wire)
        self.reports = Reports(self._wire)
        self.doubts = Doubts(self._wire)
        self.inbox = Inbox(self._wire)
        self.tokens = Tokens(self._wire)
        self.webhooks = Webhooks(self._wire)
        self.audit = Audit(self._wire)
        self.system = System(self._wire)

    @property
    def url(self) -> str:
        """The server's address, without a path."""
        return self._wire.url

    def close(self) -> None:
        """Close every connection."""
        self._wire.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def discover(data_dir: Path | None = None, *, timeout_s: float = 30.0) -> Client:
    """Return a client for the server that the environment names, else for the one that `up` runs here.

    A token from the data folder is never sent to another server than the one that the folder names.

    Raises:
        NotConfigured: no server is named, or no token for it.
    """
    url, token = os.environ.get("ORCH_URL") or None, os.environ.get("ORCH_TOKEN") or None
    if url and token:
        return Client(url, token, timeout_s=timeout_s)
    folder = data_dir or Path(os.environ.get("ORCH_DATA_DIR") or DEFAULT_DATA_DIR)
    known = _read(folder / CLIENT_FILE)
    if known is None:
        missing = "ORCH_TOKEN is not set" if url else "no server is known"
        raise NotConfigured(f"{missing}, and there is no {folder / CLIENT_FILE}", hint=HINT)
    if url and url.rstrip("/") != known[0].rstrip("/"):
        raise NotConfigured(f"ORCH_URL names {url}, but ORCH_TOKEN is not set", hint="Set ORCH_TOKEN too.")
    return Client(known[0], token or known[1], timeout_s=timeout_s)


def _read(file: Path) -> tuple[str, str] | None:
    """Return the URL and the token that `up` wrote, None when there is no file."""
    try:
        with file.open("rb") as opened:
            known = json.loads(opened.read(MAX_CLIENT_FILE_BYTES))
        return str(known["url"]), str(known["token"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotConfigured(f"{file} cannot be used: {error}", hint=HINT) from error
