"""The product's own processes in a world: the API that answers, a worker; and how much memory one of them takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx
import psutil

from benchmarks.scale.sites import Site
from benchmarks.stage import Processes, Stuck
from orchestrator.embedded.environment import child_environment

START_S = 60.0
MB = 1_000_000


@contextmanager
def serving(site: Site) -> Iterator[tuple[httpx.Client, int]]:
    """Serve a world's API in a process of its own; gives a client with its token, and the process' id."""
    with Processes(site.stage) as processes:
        pid = processes.start_python(
            f"api-{site.name}", "orchestrator.cli", "serve", environment=child_environment(site.settings)
        )
        base = f"http://127.0.0.1:{site.settings.port}"
        headers = {"Authorization": f"Bearer {site.token}"}
        with httpx.Client(base_url=f"{base}/api/v1", headers=headers, timeout=120, trust_env=False) as client:
            _wait_for(client, f"{base}/healthz")
            yield client, pid


def _wait_for(client: httpx.Client, url: str) -> None:
    ends_at = time.monotonic() + START_S
    while True:
        try:
            if client.get(url).is_success:
                return
        except httpx.ConnectError:
            if time.monotonic() > ends_at:
                raise Stuck(f"the API did not answer within {START_S:.0f} s") from None
        time.sleep(0.1)


@contextmanager
def working(site: Site) -> Iterator[int]:
    """Run a worker in a world; gives its process' id."""
    with Processes(site.stage) as processes:
        yield processes.start_python(
            f"worker-{site.name}", "orchestrator.cli", "worker", environment=child_environment(site.settings)
        )


def rss_mb(pid: int) -> float:
    """Return the memory that a process and its children hold, MB."""
    root = psutil.Process(pid)
    return float(sum(p.memory_info().rss for p in [root, *root.children(recursive=True)])) / MB


@dataclass(slots=True)
class Peak:
    """As a context manager: the most memory that a process held meanwhile, MB, looked at a hundred times a second."""

    pid: int
    mb: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        assert self._thread is not None, "it was entered"
        self._thread.join()

    def _look(self) -> None:
        root = psutil.Process(self.pid)
        while not self._over.wait(0.01):
            try:
                self.mb = max(self.mb, root.memory_info().rss / MB)
            except psutil.NoSuchProcess:
                return
