"""The installation that the campaign torments: its own durable Postgres, workers, an API, a provider with faults."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from pydantic import SecretStr

from orchestrator.bootstrap import build
from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.engine import connections, tokens
from orchestrator.engine.deps import Deps
from orchestrator.engine.who import SCOPES, Who
from orchestrator.settings import Settings
from orchestrator.storage.migrate import migrate
from sandbox.control import Sandbox
from tests.guarantees.nursery import Child, Nursery
from workers import broker

#: Several keys, so that one provider account in trouble does not hold up the whole campaign.
ACCOUNTS = ("main", "second", "third")
#: What is limited is not what is tested here: slots that doubts keep for a quarter of an hour must not run out.
PLENTY = 2_000


@dataclass(kw_only=True)
class Installation:
    """Processes by their roles; each role's process is replaced when it was killed."""

    deps: Deps
    postgres: EmbeddedPostgres
    sandbox: Sandbox
    nursery: Nursery
    folder: Path
    environment: Mapping[str, str]
    token: str
    port: int
    workers: list[Child] = field(default_factory=list)
    api: Child | None = None
    started: int = 0

    @property
    def url(self) -> str:
        """Where the API answers, when it does."""
        return f"http://127.0.0.1:{self.port}/api/v1"

    @property
    def workflow_id(self) -> str:
        """The workflow that everything runs."""
        return self.sandbox.workflows["Free form"]

    def start_worker(self, *, is_elsewhere: bool | None = None) -> Child:
        """Start one. Where it says that it lives: on another machine, here, or (None) the one or the other in turn."""
        is_far = self.started % 2 == 1 if is_elsewhere is None else is_elsewhere
        elsewhere = f"host-{self.started}" if is_far else ""
        child = self._start("worker", {"ELSEWHERE": elsewhere})
        self.workers.append(child)
        return child

    def start_api(self) -> Child:
        """Start the API at its one address."""
        self.api = self._start("serve", {"ORCH_PORT": str(self.port)})
        return self.api

    def _start(self, command: str, settings: Mapping[str, str]) -> Child:
        self.started += 1
        log = self.folder / f"{self.started:04d}-{command}.log"
        return self.nursery.start([command], {**self.environment, **settings}, log=log)

    async def kill_postgres(self) -> None:
        """kill -9 the server with all its children, and start it again: it recovers from its log."""
        self.postgres.kill()
        await asyncio.to_thread(self.postgres.start)

    def kill_backend(self, chance: float) -> bool:
        """kill -9 one of the server's children: it throws everybody out and recovers. False: there was none."""
        pid = self.postgres.pid
        children = psutil.Process(pid).children() if pid else []
        if not children:
            return False
        try:
            os.kill(children[int(chance * len(children))].pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def end(self) -> None:
        """kill -9 whatever of the product lives."""
        for child in (*self.workers, *([self.api] if self.api else [])):
            child.kill()


@asynccontextmanager
async def installed(folder: Path, *, seed: int, times: Mapping[str, str]) -> AsyncIterator[Installation]:
    """Install everything in a folder; no process of the product runs yet."""
    postgres = EmbeddedPostgres(folder / "postgres", durable=True)
    await asyncio.to_thread(postgres.start)
    try:
        await asyncio.to_thread(migrate, postgres.dsn())
        settings = Settings(
            database_url=SecretStr(postgres.dsn()), data_dir=folder / "data", allow_private_networks=True
        )
        broker.prepare(settings)
        options = {
            "duration_s": 0.8,
            "requests_per_minute": 60_000,
            "max_concurrent": PLENTY,
            "keys": {f"sk-{name}": name for name in ACCOUNTS},
        }
        with Sandbox(options=options, seed=seed) as sandbox, Nursery() as nursery:
            async with build(settings, program="chaos") as deps:
                yield Installation(
                    deps=deps,
                    postgres=postgres,
                    sandbox=sandbox,
                    nursery=nursery,
                    folder=folder,
                    environment=_environment(settings, times),
                    token=await _connected(deps, sandbox),
                    port=_free_port(),
                )
    finally:
        await asyncio.to_thread(postgres.stop, "immediate")


async def _connected(deps: Deps, sandbox: Sandbox) -> str:
    """Add the connections; return a token."""
    workspace = await tokens.ensure_workspace(deps)
    who = Who(workspace_id=workspace, actor="token:chaos", scopes=frozenset(SCOPES))
    for name in ACCOUNTS:
        await connections.add_connection(
            deps,
            who,
            name=name,
            provider="script",
            base_url=sandbox.api_url,
            api_key=f"sk-{name}",
            requests_per_minute=60_000,
            max_concurrent=PLENTY,
        )
    secret, _ = await tokens.create_token(deps, workspace, "chaos", actor="chaos")
    return secret


def _environment(settings: Settings, times: Mapping[str, str]) -> dict[str, str]:
    return {
        "ORCH_DATABASE_URL": settings.require_database_url(),
        "ORCH_DATA_DIR": str(settings.data_dir),
        "ORCH_ALLOW_PRIVATE_NETWORKS": "true",
        **times,
    }


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port
