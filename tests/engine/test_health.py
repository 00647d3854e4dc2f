"""What operators see: the gauges of a scrape, and the alarms of the watch, from a real database and a real provider."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.bootstrap import build
from orchestrator.domain.alarm_words import Code
from orchestrator.engine import connections, launch, metrics, reading
from orchestrator.engine.deps import Deps
from orchestrator.engine.health import readiness
from orchestrator.engine.lookout import Lookout
from orchestrator.engine.readings import Readings
from orchestrator.engine.watch import Watch
from orchestrator.settings import Settings
from orchestrator.storage import health, runs, workers
from tests.engine.conftest import Hands, Office, shut_door
from tests.engine.test_launching import becomes, single

pytestmark = pytest.mark.anyio

#: What has ended, by the thousand: no scrape may read it.
PAST = text("""
    INSERT INTO runs (id, workspace_id, connection_id, workflow_id, index, status, input_sha256, input_bytes,
        created_by, ended_at)
    SELECT gen_random_uuid(), n.workspace_id, n.id, w.id, i, 'finished', '\\x00', 1, 'test', orch_now()
    FROM connections n JOIN workflows w ON w.connection_id = n.id, generate_series(1, 20000) i
    WHERE w.id = (SELECT min(id::text)::uuid FROM workflows)""")

STATISTICS = text("ANALYZE runs")

#: All that a scrape and a look of the watch ask.
ASKED = [runs.BY_STATUS, health.RESULTS, health.DOUBTS, health.OPEN_BATCHES, health.OVERDUE, health.SLOTS]
VALUES = {"at_risk_s": 600.0}

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


async def scraped(deps: Deps) -> dict[tuple[str, ...], float]:
    """Scrape once; return each value by its name and its labels' values."""
    readings = Readings(deps)
    told = metrics.text(await readings.take())
    await readings.aclose()
    return {
        (sample.name, *(v for k, v in sorted(sample.labels.items()) if k != "lane")): sample.value
        for family in text_string_to_metric_families(told)
        for sample in family.samples
    }


async def test_a_scrape_tells_of_what_runs_waits_and_has_ended(office: Office, hands: Hands) -> None:
    done = await single(office)
    await hands.work(until=becomes(office, done, "finished"))
    office.sandbox.faults([{"fault": "reset_after", "kind": "launch", "times": 1}])
    doubted = await single(office)
    await hands.work(until=becomes(office, doubted, "in_doubt"))
    waiting = await office.submit([{"n": n} for n in range(3)])
    seen = await scraped(office.deps)
    assert [seen["orch_runs", status] for status in ("finished", "in_doubt", "queued", "error")] == [1, 1, 3, 0]
    assert (seen["orch_batches", "accepted"], seen["orch_batches", "finished"]) == (1, 0)
    assert (seen["orch_doubts_open", "run"], seen["orch_doubts_open", "wave"]) == (1, 0)
    assert (seen["orch_inbox_open", "doubt"], seen["orch_inbox_open", "human"]) == (1, 0)
    assert seen["orch_lane_launches_held", "main", "breaker_open"] == 1
    assert seen["orch_lane_launches_held", "main", "key_refused"] == 0
    assert 0 < seen["orch_lane_budget_used_requests", "main"] <= seen["orch_lane_budget_limit_requests", "main"] == 100
    assert seen["orch_workers", "running"] == 1
    assert ("orch_first_result_lost_in_seconds",) not in seen

    async def batch_has_ended() -> bool:
        return (await office.batch(waiting.id))["finished_at"] is not None

    await hands.work(until=batch_has_ended)
    seen = await scraped(office.deps)
    assert (seen["orch_batches", "accepted"], seen["orch_batches", "finished"]) == (0, 1)
    assert [seen["orch_runs", status] for status in ("finished", "in_doubt", "queued", "error")] == [4, 1, 0, 0]


async def test_a_scrape_holds_no_key_no_input_and_no_url(office: Office, hands: Hands) -> None:
    run = await single(office, b'{"n": "a secret of the customer"}')
    await hands.work(until=becomes(office, run, "finished"))
    readings = Readings(office.deps)
    told = metrics.text(await readings.take())
    await readings.aclose()
    for secret in (office.sandbox.key, "secret of the customer", "http://", str(run), office.who.actor):
        assert secret not in told


async def test_no_question_of_a_scrape_reads_the_runs_that_have_ended(office: Office) -> None:
    async def explain(connection: AsyncConnection) -> list[str]:
        await connection.execute(PAST)
        await connection.execute(STATISTICS)
        plans = [await connection.execute(text("EXPLAIN " + query.text), VALUES) for query in ASKED]
        return ["\n".join(row[0] for row in plan) for plan in plans]

    await single(office)
    plans = await office.deps.db.run(explain)
    assert not [plan for plan in plans if "Seq Scan on runs" in plan]
    assert "Seq Scan on runs" in (await explained(office.deps, health.ENDED_RUNS)), "the plan would tell"


async def explained(deps: Deps, query: Any) -> str:
    async def explain(connection: AsyncConnection) -> str:
        return "\n".join(row[0] for row in await connection.execute(text("EXPLAIN " + query.text)))

    return await deps.db.run(explain)


async def test_what_has_ended_is_counted_again_only_when_its_cost_allows(office: Office) -> None:
    clock = [1000.0]
    took_s = 2.0
    sources = replace(office.deps.sources, monotonic=lambda: clock[0])
    readings = Readings(replace(office.deps, sources=sources))
    first = (await readings.take()).ended
    assert first is not None
    readings._ended = replace(first, took_s=took_s)
    clock[0] += took_s * 999
    assert (await readings.take()).ended_age_s == took_s * 999
    clock[0] += took_s * 2
    assert (await readings.take()).ended_age_s == 0
    await readings.aclose()


def watch(deps: Deps, worker: UUID, place: str = "test") -> Watch:
    return Watch(deps, worker=worker, place=place)


async def codes(watching: Watch) -> list[str]:
    """Look once; return what was told."""
    return [f"{line.alarm.code} {line.moment}" for line in await watching.look()]


async def test_a_provider_that_is_away_and_a_refused_key_are_told_once_with_what_to_do(
    office: Office, hands: Hands
) -> None:
    watching = watch(office.deps, hands.id)
    assert await codes(watching) == []
    await single(office)
    shut_door(office.sandbox, 2)
    await launch.launch_due(office.deps, worker=hands.id)
    with structlog.testing.capture_logs() as lines:
        assert await codes(watching) == ["provider_unreachable begins"]
    assert (lines[0]["code"], lines[0]["connections"], lines[0]["log_level"]) == (
        "provider_unreachable",
        "main",
        "warning",
    )
    assert "connection test" in lines[0]["hint"]
    assert await codes(watching) == []


async def test_an_api_tells_that_no_worker_lives_once_and_when_one_does_again(office: Office) -> None:
    clock = [0.0]
    sources = replace(office.deps.sources, monotonic=lambda: clock[0])
    lookout = Lookout(replace(office.deps, sources=sources))

    async def told_at(now_s: float) -> list[str]:
        clock[0] = now_s
        return [f"{line.alarm.code} {line.moment}" for line in await lookout.look()]

    assert (await readiness(office.deps))["because"] == "no worker lives"
    assert [await told_at(at) for at in (0, 10)] == [[], []], "those that begin may be on their way"
    with structlog.testing.capture_logs() as lines:
        assert await told_at(20) == ["no_workers begins"]
    assert (lines[0]["code"], lines[0]["log_level"]) == ("no_workers", "error")
    assert await told_at(30) == []

    async def register(connection: AsyncConnection) -> None:
        await workers.register(connection, id=office.deps.sources.new_id(), place="test", pid=1, version="test")

    await office.deps.db.run(register)
    assert await told_at(65) == ["no_workers over"]
    assert (await readiness(office.deps))["because"] is None


async def test_a_refused_key_is_told_louder(office: Office, hands: Hands) -> None:
    await single(office)
    await connections.rotate_key(office.deps, office.who, "main", "sk-wrong")
    for _ in range(3):
        await launch.launch_due(office.deps, worker=hands.id)
    with structlog.testing.capture_logs() as lines:
        assert await codes(watch(office.deps, hands.id)) == ["launches_stopped begins"]
    assert (lines[0]["log_level"], lines[0]["reason"]) == ("error", "key_refused")
    seen = await scraped(office.deps)
    assert seen["orch_lane_launches_held", "main", "key_refused"] == 1


async def test_of_many_workers_one_tells_and_the_next_when_it_is_gone(office: Office, hands: Hands) -> None:
    second = office.deps.sources.new_id()

    async def register(connection: AsyncConnection) -> None:
        await workers.register(connection, id=second, place="elsewhere", pid=2, version="test")

    async def end_first(connection: AsyncConnection) -> None:
        await workers.end(connection, hands.id)

    await office.deps.db.run(register)
    await single(office)
    shut_door(office.sandbox, 2)
    await launch.launch_due(office.deps, worker=hands.id)
    first_watch, second_watch = watch(office.deps, hands.id), watch(office.deps, second, "elsewhere")
    assert await codes(second_watch) == []
    assert await codes(first_watch) == ["provider_unreachable begins"]
    await office.deps.db.run(end_first)
    assert await codes(first_watch) == []
    assert await codes(second_watch) == ["provider_unreachable begins"]


async def test_a_clock_that_is_off_is_told_of_its_place_only(office: Office, hands: Hands) -> None:
    real = office.deps.sources
    ahead = replace(office.deps, sources=replace(real, unix_ms=lambda: real.unix_ms() + 20_000))
    with structlog.testing.capture_logs() as lines:
        assert await codes(watch(ahead, hands.id)) == ["clock_off begins"]
    assert 19 < lines[0]["ahead_s"] < 21
    assert await codes(watch(ahead, hands.id, "elsewhere")) == []
    assert await codes(watch(office.deps, hands.id)) == []


async def test_a_database_that_is_away_is_told_by_each(settings: Settings) -> None:
    gone = settings.model_copy(update={"database_url": SecretStr("postgresql://nobody@127.0.0.1:1/none")})
    async with build(gone, program="test") as deps:
        watching = watch(deps, deps.sources.new_id())
        assert await codes(watching) == ["database_away begins"]
        assert await codes(watching) == []


async def test_a_store_that_is_away_is_seen_in_the_run_the_scrape_and_the_watch(office: Office, hands: Hands) -> None:
    run_id = await single(office, b'{"sandbox": "files=3"}')
    folder = office.deps.settings.data_dir / "artifacts"
    folder.rename(folder.with_name("elsewhere"))
    await hands.work(until=becomes(office, run_id, "downloading"))

    async def is_tried() -> bool:
        return bool((await waits(office, run_id))["code"] == "store")

    await hands.work(until=is_tried)
    because = await waits(office, run_id)
    clock = r"resumes by itself; 0 of 3 files stored; the first URL dies in \d+ min"
    assert re.fullmatch(rf"the artifact store is away: .*{clock}", because["message"])
    run = await reading.get_run(office.deps, office.who, run_id)
    assert run["results_expire_at"] is not None
    seen = await scraped(office.deps)
    assert seen["orch_downloads_waiting", "store_away"] == 1
    assert 3000 < seen["orch_first_result_lost_in_seconds",] <= 3600
    assert await codes(watch(office.deps, hands.id)) == ["store_away begins"]
    folder.with_name("elsewhere").rename(folder)
    await hands.work(until=becomes(office, run_id, "finished"), limit_s=40)
    run = await reading.get_run(office.deps, office.who, run_id)
    assert (run["results_expire_at"], run["waiting_because"]) == (None, None)


async def waits(office: Office, run_id: UUID) -> dict[str, Any]:
    found: dict[str, Any] = (await reading.get_run(office.deps, office.who, run_id))["waiting_because"]
    return found


def test_every_alarm_is_in_the_operators_list_and_no_other() -> None:
    page = OPERATIONS.read_text()
    table = page[page.index("## Alarms in the log") :].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE)) - {"code"} == set(Code)
