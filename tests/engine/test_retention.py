"""Months of settled history leave whole, proven and told of; what lives stays, and nobody waits for it."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import psycopg.conninfo
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.cli import audit_retired
from orchestrator.domain.audit_export import EVENTS, MANIFEST
from orchestrator.domain.retention import Month, Retired
from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.engine import (
    audit,
    content_retention,
    erase,
    operate,
    reading,
    report,
    retention,
    retention_plan,
    submit,
    sweep,
)
from orchestrator.engine import checkpoints as signing
from orchestrator.engine.deps import Deps
from orchestrator.engine.report_order import ReportOptions
from orchestrator.engine.retention_lease import LEASE_S
from orchestrator.engine.submit import RunSpec
from orchestrator.engine.who import SCOPES, Who
from orchestrator.errors import Conflict, Unavailable
from orchestrator.faultpoints import Point, watched_by
from orchestrator.runtime import uuid7
from orchestrator.settings import Settings
from orchestrator.storage import retention as stored
from tests.audit.judges import Answers, both
from tests.engine.conftest import Office
from tests.engine.test_checkpoints import happen

pytestmark = pytest.mark.anyio

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


async def test_a_retired_month_is_dropped_and_the_history_still_verifies(
    deps: Deps, office: Office, who: Who, superuser: str, tmp_path: Path
) -> None:
    run, batch = await ended_run(office), await ended_batch(office)
    before = await months(deps)
    await later(deps, superuser)
    gone = await retire(deps)
    assert gone.streams == 4
    assert gone.partition in before
    assert before.keys() - (await months(deps)).keys() == {gone.partition}
    answers, loose = await judged(deps, who, tmp_path / "after")
    assert (answers.ours.problem, answers.alone_exit, loose) == (None, 0, None), answers.alone_text
    assert answers.ours.retired == (gone,)
    assert gone.manifest_sha256 in answers.alone_text
    assert fault(deps, gone) is None
    # What needs it is refused; what is here is shown.
    assert (await reading.get_run(deps, who, run))["status"] == "cancelled"
    for refused in (
        reading.run_events(deps, who, run),
        report.run_dossier(deps, who, run, ReportOptions()),
        report.batch_report(deps, who, batch, ReportOptions()),
    ):
        with pytest.raises(Conflict, match=gone.export) as told:
            await refused
        assert told.value.code == "history_retired"
    # For ever is for ever.
    again = await submit.submit_run(deps, who, spec_of(office, "a-1"))
    assert again.id == run


async def test_what_goes_on_after_its_month_was_retired_is_chained_to_the_signed_end(
    deps: Deps, office: Office, who: Who, superuser: str, tmp_path: Path
) -> None:
    run = await ended_run(office)
    await later(deps, superuser)
    await retire(deps)
    await erase.erase_run(deps, who, run, reason="request 17")
    await signing.keep(deps, at_once=True)
    answers, loose = await judged(deps, who, tmp_path / "after")
    assert (answers.ours.problem, answers.alone_exit, loose) == (None, 0, None), answers.alone_text
    # And without the event that tells of the retirement, or with more than the month gone, it does not verify.
    sink = Memory()
    await audit.copy_history(deps, who, sink)
    lines = sink.files[EVENTS].splitlines(keepends=True)
    without = {**sink.files, EVENTS: b"".join(line for line in lines if f'"{run}"'.encode() not in line)}
    answers = both(without, tmp_path / "cut")
    assert f"stream {run}, is missing" in str(answers.ours.problem)
    assert answers.alone_exit == 8
    assert f"stream {run}, is missing" in answers.alone_text


async def test_months_that_moved_together_are_retired_one_after_the_other(
    deps: Deps, office: Office, who: Who, superuser: str, tmp_path: Path
) -> None:
    await ended_run(office)
    turn_ids(deps, days=31)
    second = (await submit.submit_run(deps, who, spec_of(office, "a-2"))).id
    assert second is not None
    await signing.keep(deps, at_once=True)
    await operate.cancel_run(deps, who, second, reason="a test")
    await later(deps, superuser)
    gone = [await retire(deps), await retire(deps)]
    assert [each.streams for each in gone] == [1, 1]
    assert [fault(deps, each) for each in gone] == [None, None]
    answers, loose = await judged(deps, who, tmp_path / "after")
    assert (answers.ours.problem, answers.alone_exit, loose) == (None, 0, None), answers.alone_text
    assert list(answers.ours.retired) == gone


async def test_an_export_reaches_no_further_than_its_streams_began(
    deps: Deps, office: Office, who: Who, superuser: str
) -> None:
    first = (await submit.submit_run(deps, who, spec_of(office, "a-1"))).id
    assert first is not None
    await later(deps, superuser, days=40)
    turn_ids(deps, days=40)
    second = await ended_run(office, "a-2")
    await operate.cancel_run(deps, who, first, reason="it ends in another month")
    await later(deps, superuser)
    gone = await retire(deps)
    assert gone.holds(first)
    assert deps.retired is not None
    folder = Path(deps.retired.place) / gone.export
    events = [json.loads(line) for line in (folder / EVENTS).read_bytes().splitlines()]
    began_at = min(event["at"] for event in events if event["stream"] == str(first))
    until = datetime.fromisoformat(json.loads((folder / MANIFEST).read_bytes())["to"])
    assert until - datetime.fromisoformat(began_at) == timedelta(microseconds=1)
    assert str(second) not in {event["stream"] for event in events}
    assert any(event["stream"] == str(first) and event["at"] > began_at for event in events), "and it is whole"


@pytest.mark.parametrize("what", [EVENTS, MANIFEST])
async def test_a_tampered_or_missing_export_of_a_retired_month_is_found(
    deps: Deps, office: Office, superuser: str, what: str
) -> None:
    await ended_run(office)
    await later(deps, superuser)
    gone = await retire(deps)
    assert deps.retired is not None
    file = Path(deps.retired.place) / gone.export / what
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"a test", b"a jest", 1).replace(b'"streams":', b'"streams": '))
    assert file.read_bytes() != whole
    assert fault(deps, gone) is not None
    file.unlink()
    assert fault(deps, gone) is not None


async def test_nothing_that_lives_is_touched_and_the_reasons_are_told(
    deps: Deps, office: Office, who: Who, superuser: str
) -> None:
    await ended_run(office)
    living = (await office.submit([{"a": 1}])).id
    fates = await retention.fates(deps, keep_days=90)
    assert {reason.split(":")[0] for fate in fates for reason in fate.reasons} == {
        "its last streams began less than 90 days ago"
    }
    await later(deps, superuser)
    before = await months(deps)
    assert await retention.retire_next(deps, at_once=True) is None
    told = [reason for fate in await retention.fates(deps, keep_days=90) for reason in fate.reasons]
    assert "1 runs have not ended" in told
    assert "1 batches have not ended" in told
    assert await months(deps) == before
    assert living is not None
    await operate.cancel_batch(deps, who, living, reason="a test")
    await sweep.sweep(deps)
    # It ended just now: what is settled lately stays as long as anything else.
    assert await retention.retire_next(deps, at_once=True) is None
    told = [reason for fate in await retention.fates(deps, keep_days=90) for reason in fate.reasons]
    assert any(reason.startswith("its last event is of") for reason in told)


class Killed(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("point", [Point.RETIREMENT_EXPORTED, Point.RETIREMENT_WRITTEN])
async def test_a_death_between_export_and_drop_loses_nothing_and_is_taken_up_again(
    deps: Deps, office: Office, who: Who, superuser: str, tmp_path: Path, point: Point
) -> None:
    await ended_run(office)
    await later(deps, superuser)
    before = await months(deps)

    async def die(reached: Point) -> None:
        if reached is point:
            raise Killed

    with watched_by(die), pytest.raises(Killed):
        await retention.retire_next(deps, at_once=True)
    assert await months(deps) == before
    answers, _ = await judged(deps, who, tmp_path / "between")
    assert (answers.ours.problem, answers.ours.retired) == (None, ())
    gone = await retire(deps)
    assert fault(deps, gone) is None
    assert deps.retired is not None
    assert [folder.name for folder in Path(deps.retired.place).iterdir()] == [gone.export]


async def test_the_history_is_written_on_while_a_month_waits_for_a_quiet_moment(
    deps: Deps, office: Office, who: Who, superuser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ended_run(office)
    await later(deps, superuser)
    monkeypatch.setattr(retention, "TRIES", 8)
    with psycopg.connect(superuser) as reader:
        reader.execute("SELECT count(*) FROM events")  # and the transaction stays open
        trying = asyncio.create_task(retention.retire_next(deps, at_once=True))
        async with asyncio.timeout(5):
            for _ in range(10):
                await happen(deps, who)
        waiting = reader.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
        assert waiting == (0,)
        with pytest.raises(Unavailable) as told:
            await trying
        assert told.value.code == "retention_busy"
        reader.rollback()
    assert await retention.retire_next(deps, at_once=True) is not None


async def test_an_export_that_has_no_place_keeps_the_month(
    deps: Deps, office: Office, superuser: str, tmp_path: Path
) -> None:
    await ended_run(office)
    await later(deps, superuser)
    before = await months(deps)
    assert deps.retired is not None
    place = Path(deps.retired.place)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("a file stands in the way")
    with pytest.raises(Unavailable) as told:
        await retention.retire_next(deps, at_once=True)
    assert told.value.code == "retention_no_place"
    assert await months(deps) == before


async def erased_by_age(deps: Deps) -> list[int]:
    steps = [await content_retention.step(deps, kind, at_once=True) for kind in ("batches", "runs")]
    return [step.erased for step in steps if step is not None]


async def test_content_goes_by_its_age_and_the_external_id_stays_taken(
    deps: Deps, office: Office, who: Who, superuser: str
) -> None:
    run, batch = await ended_run(office), await ended_batch(office)
    living = (await office.submit([{"a": 3}])).id
    keeping = Settings(**{**deps.settings.model_dump(), "keep_content_days": 30})
    object.__setattr__(deps, "settings", keeping)
    assert await erased_by_age(deps) == [0, 0]
    await later(deps, superuser, days=60)
    due = (await retention_plan.plan(deps))["content"]
    assert due == {"batches": 1, "runs": 1}
    assert await erased_by_age(deps) == [1, 1]
    assert await erased_by_age(deps) == [0, 0]
    assert (await reading.get_run(deps, who, run))["erased_at"] is not None
    assert (await office.batch(batch))["erased_at"] is not None
    assert (await office.batch(living))["erased_at"] is None
    told, _ = await reading.run_events(deps, who, run)
    assert "retention: it ended more than 30 days ago" in str(told[-1])
    assert (await submit.submit_run(deps, who, spec_of(office, "a-1"))).id == run


async def test_a_round_whose_holder_died_is_taken_up_and_a_late_holder_may_not_drop(
    deps: Deps, who: Who, superuser: str
) -> None:
    async def claim(connection: AsyncConnection) -> tuple[datetime, UUID | None] | None:
        return await stored.claim(connection, "history", lease_s=LEASE_S, at_once=True)

    first = await deps.db.run(claim)
    assert first is not None
    assert await deps.db.run(claim) is None, "nobody takes it from one who is at it"
    await later(deps, superuser, days=1)
    second = await deps.db.run(claim)
    assert second is not None
    lease = first[0]

    async def held(connection: AsyncConnection) -> bool:
        return await stored.hold(connection, "history", lease)

    assert not await deps.db.run(held)
