"""What tests of retention stand on: history that is kept for 90 days, runs that end, and a clock turned on."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from uuid import UUID

import psycopg
import psycopg.conninfo
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.cli import audit_retired
from orchestrator.domain.retention import Month, Retired
from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.engine import audit, operate, retention, submit, sweep
from orchestrator.engine import checkpoints as signing
from orchestrator.engine.deps import Deps
from orchestrator.engine.submit import RunSpec
from orchestrator.engine.who import SCOPES, Who
from orchestrator.runtime import uuid7
from orchestrator.settings import Settings
from orchestrator.storage import retention as stored
from tests.audit.judges import Answers, both
from tests.engine.conftest import Office

YEARS_AGO_MS = 1_600_000_000_000


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings of an operator who keeps history for 90 days."""
    return settings.model_copy(update={"keep_history_days": 90})


@pytest.fixture
async def who(deps: Deps) -> Who:
    """An administrator of a workspace that is older than all of its runs: its own stream is in another month."""
    workspace = uuid7(YEARS_AGO_MS, 7)

    async def insert(connection: AsyncConnection) -> None:
        await connection.execute(text("INSERT INTO workspaces (id, name) VALUES (:id, 'default')"), {"id": workspace})

    await deps.db.run(insert)
    return Who(workspace_id=workspace, actor="token:test", scopes=frozenset(SCOPES))


@pytest.fixture
def superuser(postgres: EmbeddedPostgres, database_url: str) -> str:
    named = psycopg.conninfo.conninfo_to_dict(database_url.replace("+psycopg", ""))
    return postgres.superuser_libpq(str(named["dbname"]))


async def later(deps: Deps, superuser: str, *, days: int = 400) -> None:
    """Sign what has happened, and turn the database's clock on."""
    await signing.keep(deps, at_once=True)
    with psycopg.connect(superuser, autocommit=True) as connection:
        row = connection.execute("SELECT now() + make_interval(days => %s)", (days,)).fetchone()
        assert row is not None
        at: datetime = row[0]
        connection.execute(f'ALTER DATABASE "{connection.info.dbname}" SET "orch.now" = \'{at.isoformat()}\''.encode())
    await deps.db.close()


def turn_ids(deps: Deps, *, days: int) -> None:
    """Let what is made from now on be made so many days ahead: ids take their time from the process."""
    ahead = replace(deps.sources, unix_ms=lambda: time.time_ns() // 1_000_000 + days * 86_400_000)
    object.__setattr__(deps, "sources", ahead)


async def ended_run(office: Office, external_id: str = "a-1") -> UUID:
    """Submit a run and cancel it."""
    done = await submit.submit_run(office.deps, office.who, spec_of(office, external_id))
    assert done.id is not None
    await operate.cancel_run(office.deps, office.who, done.id, reason="a test")
    return done.id


def spec_of(office: Office, external_id: str) -> RunSpec:
    workflow = office.sandbox.workflows["Free form"]
    return RunSpec(connection="main", workflow_id=workflow, input=b'{"a": 1}', external_id=external_id)


async def ended_batch(office: Office) -> UUID:
    batch = (await office.submit([{"a": 1}, {"a": 2}])).id
    assert batch is not None
    await operate.cancel_batch(office.deps, office.who, batch, reason="a test")
    await sweep.sweep(office.deps)
    assert (await office.batch(batch))["status"] == "cancelled"
    return batch


async def months(deps: Deps) -> dict[str, Month]:
    return {month.name: month for month in await deps.db.run(stored.months)}


class Memory:
    """Takes an export's files."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def write(self, name: str, text: bytes) -> None:
        self.files[name] = self.files.get(name, b"") + text


async def judged(deps: Deps, who: Who, folder: Path) -> tuple[Answers, str | None]:
    """Let both verifiers judge the database as it stands; and what its rows say against it."""
    sink = Memory()
    loose = await audit.copy_history(deps, who, sink)
    assert deps.signer is not None
    return both(sink.files, folder, key=deps.signer.public_key), loose


async def retire(deps: Deps) -> Retired:
    gone = await retention.retire_next(deps, at_once=True)
    assert gone is not None
    return gone


def fault(deps: Deps, gone: Retired) -> str | None:
    assert deps.signer is not None
    assert deps.retired is not None
    keys = {deps.signer.key_id: deps.signer.public_key}
    return audit_retired.first_fault([gone], [Path(deps.retired.place)], keys)
