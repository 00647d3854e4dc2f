"""Real servers in throw-away folders, and other processes to run them from."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.embedded.postgres import EmbeddedPostgres

CHECKOUT = Path(__file__).parents[2]


class Servers:
    """Makes servers that are stopped when the test ends, whatever it did to them."""

    def __init__(self) -> None:
        self._made: list[EmbeddedPostgres] = []

    def at(self, folder: Path, *, durable: bool = False) -> EmbeddedPostgres:
        server = EmbeddedPostgres(folder, durable=durable)
        self._made.append(server)
        return server

    def stop(self) -> None:
        for server in self._made:
            if server.is_running():
                server.stop("immediate")


@pytest.fixture
def servers() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    servers.stop()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that is used again and again: making a database is the slow part."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def lasting(home: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(home, durable=False)
    yield server
    server.stop("immediate")


@pytest.fixture
def server(lasting: EmbeddedPostgres) -> EmbeddedPostgres:
    """The running server of `home`. A test may do to it whatever a start mends."""
    lasting.start()
    return lasting


Python = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def python() -> Iterator[Python]:
    """Starts another Python process of ours on a few lines; it is killed when the test ends."""
    started: list[subprocess.Popen[str]] = []

    def run(script: str, *arguments: str | Path, user: int | None = None) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            cwd=CHECKOUT,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate(timeout=30)
