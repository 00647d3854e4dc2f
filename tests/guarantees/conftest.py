"""Real processes, a real Postgres and a provider that remembers what it saw: what every promise is tested with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.bootstrap import build
from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.engine.deps import Deps
from orchestrator.engine.who import Who
from orchestrator.settings import Settings
from sandbox.control import Sandbox
from tests.guarantees.backups import Backups, Hands
from tests.guarantees.nursery import Nursery
from tests.guarantees.site import Site, connect
from workers import broker


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where the processes come from."""
    with Nursery() as made:
        yield made


@pytest.fixture(scope="session")
def provider() -> Iterator[Sandbox]:
    """One sandbox for the session; each test finds it empty."""
    with Sandbox(options={"duration_s": 0.3, "duration_sigma": 0.1, "requests_per_minute": 6000}) as running:
        yield running


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """The settings of the test's processes: short times, but for those that a promise is about."""
    return {
        "ORCH_DATABASE_URL": settings.require_database_url(),
        "ORCH_DATA_DIR": str(settings.data_dir),
        "ORCH_ALLOW_PRIVATE_NETWORKS": "true",
        "ORCH_POLL_MIN_INTERVAL_S": "0.1",
        "ORCH_POLL_MAX_INTERVAL_S": "0.5",
        "ORCH_HTTP_TIMEOUT_S": "5",
        "ORCH_LEASE_S": "10",
        "ORCH_HEARTBEAT_S": "0.5",
        "ORCH_SWEEP_INTERVAL_S": "0.5",
        "ORCH_LOG_LEVEL": "info",
    }


@pytest.fixture
def limits() -> dict[str, Any]:
    """The connection's declared limits: none that a test would feel.

    Slots too: what was on the wire when a worker was killed is in doubt, and keeps its slot for a quarter of an hour.
    """
    return {"requests_per_minute": 6000, "max_concurrent": 100}


@pytest.fixture
async def site(
    deps: Deps,
    who: Who,
    settings: Settings,
    environment: dict[str, str],
    provider: Sandbox,
    limits: dict[str, Any],
    nursery: Nursery,
    tmp_path: Path,
) -> AsyncIterator[Site]:
    """An installation with one connection and no processes yet. What a test leaves running is killed at its end."""
    broker.prepare(settings)
    provider.clear_faults()
    provider.reset()
    await connect(deps, who, provider, **limits)
    made = Site(deps=deps, who=who, sandbox=provider, nursery=nursery, environment=environment, folder=tmp_path)
    yield made
    made.kill_all()


@pytest.fixture
def backup(postgres: EmbeddedPostgres, deps: Deps) -> Iterator[Backups]:
    """Copies of the test's database, removed at its end."""
    made = Backups(postgres=postgres, deps=deps)
    yield made
    made.drop()


@pytest.fixture
async def hands(site: Site, deps: Deps) -> Hands:
    """A worker of this very process."""
    return await Hands.of(site, deps)


@pytest.fixture
async def later(settings: Settings) -> AsyncIterator[Deps]:
    """A process that starts after the restore, with the same folder."""
    async with build(settings, program="later") as made:
        yield made
