"""The whole API on a real port, over a real Postgres and the sandbox, for the session; clients for each test."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import structlog
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from orchestrator.api import server
from orchestrator.bootstrap import build
from orchestrator.client import Client
from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.engine import pump, tokens
from orchestrator.settings import Settings
from orchestrator.storage import workers
from sandbox.control import Sandbox

_numbers = itertools.count()


@pytest.fixture(scope="package", autouse=True)
def quiet() -> Iterator[None]:
    """The server's lines for each request would come between pytest's dots: it logs from another thread."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A provider whose executions end at once."""
    with Sandbox(options={"duration_s": 0.05, "requests_per_minute": 0}) as running:
        yield running


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running API, and the token of its administrator."""

    url: str
    token: str
    workspace: UUID
    settings: Settings


@contextlib.contextmanager
def running(settings: Settings, *, seen_by: Callable[[ASGIApp], ASGIApp] | None = None) -> Iterator[str]:
    """Run the API in a thread; gives its URL.

    Args:
        seen_by: stands before everything else, and sees each request and its answer.
    """
    made: uvicorn.Server = server.make_server(settings)
    if seen_by is not None:
        assert isinstance(made.config.app, FastAPI)
        made.config.app.add_middleware(seen_by)
    with server.bind(settings) as listener:
        thread = threading.Thread(target=made.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        until = time.monotonic() + 15
        while not made.started and thread.is_alive() and time.monotonic() < until:
            time.sleep(0.01)
        assert made.started, "the API did not start"
        host, port = listener.getsockname()[:2]
        try:
            yield f"http://{host}:{port}"
        finally:
            made.should_exit = True
            thread.join(20)


@pytest.fixture(scope="session")
def served(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The API of the session, with a database of its own."""
    postgres.create_database("api", template="orchestrator")
    settings = Settings.model_validate(
        {
            "database_url": postgres.dsn("api"),
            "data_dir": tmp_path_factory.mktemp("data"),
            "port": 0,
            "allow_private_networks": True,
            "poll_min_interval_s": 0.05,
            "poll_max_interval_s": 0.2,
            "http_timeout_s": 5,
        }
    )
    workspace, token = asyncio.run(_first_token(settings, "default"))
    with running(settings) as url:
        yield Served(url=url, token=token, workspace=workspace, settings=settings)


async def _first_token(settings: Settings, workspace: str) -> tuple[UUID, str]:
    async with build(settings, program="test") as deps:
        owner = await tokens.ensure_workspace(deps, workspace)
        secret, _ = await tokens.create_token(deps, owner, "test", actor="test")
        return owner, secret


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    """A client with every scope."""
    with Client(served.url, served.token) as made:
        yield made


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    """Plain HTTP with the token, for what the typed client would not send. No certificates are loaded for it."""
    headers = {"Authorization": f"Bearer {served.token}"}
    with httpx.Client(base_url=served.url, headers=headers, trust_env=False, verify=False, timeout=30) as made:
        yield made


@pytest.fixture
def stranger(served: Served) -> Iterator[Client]:
    """A client of another workspace of the same server."""
    _, token = asyncio.run(_first_token(served.settings, "elsewhere"))
    with Client(served.url, token) as made:
        yield made


@pytest.fixture(scope="session")
def main(served: Served, sandbox: Sandbox) -> str:
    """The name of a connection to the sandbox."""
    with Client(served.url, served.token) as client:
        # All tests share it: the documented 100 a minute would be used up by the first of them.
        client.connections.add(
            "main", provider="script", base_url=sandbox.api_url, api_key=sandbox.key, requests_per_minute=6000
        )
    return "main"


@pytest.fixture(scope="session")
def free(sandbox: Sandbox) -> str:
    """The id of a workflow without a schema."""
    return sandbox.workflows["Free form"]


@pytest.fixture(scope="session")
def strict(sandbox: Sandbox) -> str:
    """The id of the workflow that needs an email."""
    return sandbox.workflows["Send welcome email"]


@pytest.fixture
def unique() -> str:
    """A word that no other test uses."""
    return f"t{next(_numbers)}"


def finish(served: Served, client: Client, run_id: str) -> dict[str, Any]:
    """Do a worker's work until the run has ended; return the run."""

    async def work() -> None:
        async with build(served.settings, program="test-worker") as deps:
            worker = deps.sources.new_id()

            async def register(connection: Any) -> None:
                await workers.register(connection, id=worker, place="test", pid=1, version="test")

            await deps.db.run(register)
            for _ in range(200):
                for kind in ("launch", "poll", "download"):
                    await pump.pump(deps, kind, worker=worker, should_stop=lambda: False)
                if client.runs.get(run_id)["finished_at"] is not None:
                    return
                await asyncio.sleep(0.02)

    asyncio.run(work())
    run: Any = client.runs.get(run_id)
    assert run["finished_at"] is not None, run
    return dict(run)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where downloads go."""
    made = tmp_path / "downloads"
    made.mkdir()
    return made
