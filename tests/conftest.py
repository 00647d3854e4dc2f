"""What tests stand on: one throw-away Postgres for the session, a fresh database for each test, real adapters."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestrator.bootstrap import build
from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.engine import tokens
from orchestrator.engine.deps import Deps
from orchestrator.engine.who import SCOPES, Who
from orchestrator.settings import Settings
from orchestrator.storage.migrate import migrate
from tests.in_memory import MEMORY, has_room
from tests.ordering import dealt

_numbers = itertools.count()

#: What the folders of the whole suite may come to.
FOLDERS_BYTES = 6 << 30
FOLDER = "orchestrator-tests-"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose where folders of tests are: in memory where there is room, for they need not outlive the machine.

    Workers are told by who starts them.
    """
    if config.option.basetemp or not has_room(FOLDERS_BYTES):
        return
    for left in MEMORY.glob(f"{FOLDER}*"):
        # Of a suite that was killed: memory is given back at the next.
        if not Path("/proc", left.name.removeprefix(FOLDER)).exists():
            shutil.rmtree(left, ignore_errors=True)
    config.option.basetemp = str(MEMORY / f"{FOLDER}{os.getpid()}")
    config.add_cleanup(lambda: shutil.rmtree(config.option.basetemp, ignore_errors=True))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what is long, on every worker."""
    told = getattr(config, "workerinput", None)
    if told is not None:
        items[:] = dealt(items, told["workercount"])


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio, as the product does."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A Postgres for the whole session, without fsync: nothing here outlives the session."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False)
    server.start()
    migrate(server.dsn())
    try:
        yield server
    finally:
        server.stop(mode="immediate")


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A migrated, empty database of the test's own."""
    name = f"test_{next(_numbers)}"
    postgres.create_database(name, template="orchestrator")
    yield postgres.dsn(name)
    postgres.drop_database(name)


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings for a test: its own database and data folder, private addresses allowed, short times."""
    return Settings(
        database_url=SecretStr(database_url),
        data_dir=tmp_path / "data",
        allow_private_networks=True,
        poll_min_interval_s=0.05,
        poll_max_interval_s=1.0,
        http_timeout_s=5,
    )


@pytest.fixture
async def deps(settings: Settings) -> AsyncIterator[Deps]:
    """Everything the verbs need, built as the product builds it."""
    async with build(settings, program="test") as made:
        yield made


@pytest.fixture
async def who(deps: Deps) -> Who:
    """An administrator of a workspace."""
    workspace = await tokens.ensure_workspace(deps)
    return Who(workspace_id=workspace, actor="token:test", scopes=frozenset(SCOPES))
