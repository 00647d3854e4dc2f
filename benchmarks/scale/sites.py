"""The two worlds of the benchmark, each a database of its own on one Postgres, and how the product is run in one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from pydantic import SecretStr

from benchmarks.costs import OBSERVER
from benchmarks.scale import filling
from benchmarks.stage import Stage
from orchestrator.bootstrap import build
from orchestrator.engine import checkpoints, connections, highwater, tokens
from orchestrator.engine.who import SCOPES, Who
from orchestrator.settings import Settings
from workers import broker

T = TypeVar("T")

#: The connection that true work goes through, beside those of the lanes.
CONNECTION = "bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A filled database and the settings of the product in it."""

    stage: Stage
    name: str
    runs: int
    settings: Settings
    who: Who
    token: str

    @property
    def lanes(self) -> int:
        """How many lanes share its runs."""
        return filling.lanes_of(self.runs)

    @property
    def superuser(self) -> str:
        """How it is reached as a superuser, in libpq's words."""
        return self.stage.postgres.superuser_libpq(self.name)

    def work(self, of: Callable[..., Awaitable[T]], *given: Any) -> T:
        """Run a coroutine on the product's own adapters, in an event loop of its own."""

        async def run() -> T:
            async with build(self.settings, program="bench") as deps:
                await highwater.keep_mark(deps)
                return await of(deps, *given)

        return asyncio.run(run())

    def execute(self, statement: str) -> None:
        """Run SQL as a superuser."""
        with psycopg.connect(self.superuser, autocommit=True, application_name=OBSERVER) as connection:
            connection.execute(statement.encode())

    def ask(self, query: str) -> Any:
        """Return the first row of a query."""
        return _first(self.superuser, query)

    def ask_elsewhere(self, query: str) -> Any:
        """Return the first value of a query that is asked of another database, so that this one does not count it."""
        return _first(self.stage.postgres.superuser_libpq(), query)[0]


def _first(superuser: str, query: str) -> Any:
    with psycopg.connect(superuser, autocommit=True, application_name=OBSERVER) as connection:
        return connection.execute(query.encode()).fetchone()


def make(stage: Stage, name: str, runs: int) -> Site:
    """Make a database with so many runs that live."""
    stage.create_database(name)
    settings = Settings(
        database_url=SecretStr(stage.postgres.dsn(name)),
        data_dir=stage.folder / name,
        allow_private_networks=True,
        log_level="warning",
        port=_free_port(),
    )
    broker.prepare(settings)
    who, token = asyncio.run(_prepare(stage, name, settings, runs))
    site = Site(stage=stage, name=name, runs=runs, settings=settings, who=who, token=token)
    filling.fill_live(site.superuser, runs)
    return site


async def _prepare(stage: Stage, name: str, settings: Settings, runs: int) -> tuple[Who, str]:
    async with build(settings, program="bench") as deps:
        workspace = await tokens.ensure_workspace(deps)
        who = Who(workspace_id=workspace, actor="token:bench", scopes=frozenset(SCOPES))
        token, _ = await tokens.create_token(deps, workspace, "bench", actor=who.actor)
        await connections.add_connection(
            deps, who, name=CONNECTION, provider="script", base_url=stage.sandbox.api_url, api_key=stage.load.keys[0]
        )
        superuser = stage.postgres.superuser_libpq(name)
        await filling.add_lanes(deps, workspace, stage.sandbox.api_url, superuser, runs)
        # What is made by SQL is older than this, so that no worker signs a million streams at once, as none does in
        # life: it signs what moved since the last time.
        await checkpoints.keep(deps, at_once=True)
    return who, token


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
