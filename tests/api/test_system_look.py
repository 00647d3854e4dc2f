"""The installation and the standing of a connection over HTTP: what is wrong, who works, what waits, of one's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from orchestrator import __version__
from orchestrator.bootstrap import build
from orchestrator.client import Client, NotFound
from orchestrator.engine import pump
from orchestrator.engine.deps import Deps
from orchestrator.storage import workers
from sandbox.control import Sandbox
from tests.api.conftest import Served

STOPPED = "UPDATE lanes SET launches_stopped = %s, launches_stopped_at = now() WHERE id = %s"
ENDING = "UPDATE connections SET ending_told_at = now(), ending_version = '2026-01-01' WHERE name = %s"


@pytest.fixture
def sql(served: Served) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    dsn = served.settings.require_database_url().replace("+psycopg", "")
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def spare(client: Client, stranger: Client, unique: str) -> Iterator[str]:
    """A connection, with another workspace's beside it on the same lane: they have the same key."""
    for who, name in ((client, f"ours-{unique}"), (stranger, f"theirs-{unique}")):
        who.connections.add(name, provider="script", base_url="https://a.example/v1", api_key=f"key-of-{unique}")
    yield f"ours-{unique}"
    client.connections.remove(f"ours-{unique}")
    stranger.connections.remove(f"theirs-{unique}")


def alarms_of(client: Client) -> dict[str, dict[str, Any]]:
    """Return what is wrong: the facts of each alarm by its code."""
    return {alarm["code"]: alarm["facts"] for alarm in client.system.look()["alarms"]}


def registered(served: Served, then: Callable[[Deps, UUID], Awaitable[None]] | None = None) -> UUID:
    """Register a worker of this test, let it do something, and return its id."""

    async def act() -> UUID:
        async with build(served.settings, program="test") as deps:
            worker = deps.sources.new_id()

            async def write(connection: Any) -> None:
                await workers.register(connection, id=worker, place="here", pid=7, version="0.0.1")

            await deps.db.run(write)
            if then is not None:
                await then(deps, worker)
            return worker

    return asyncio.run(act())


def launch(served: Served) -> None:
    """Launch what is due."""

    async def act(deps: Deps, worker: UUID) -> None:
        await pump.pump(deps, "launch", worker=worker, should_stop=lambda: False)

    registered(served, act)


def test_the_system_says_who_works_what_is_due_and_where_things_lie(client: Client, served: Served) -> None:
    worker = str(registered(served))
    told = client.system.look()
    assert told["version"] == __version__
    assert told["server"]["version"].split(".")[0].isdigit()
    assert {queue["kind"] for queue in told["queues"]} == {"launch", "poll", "download", "sweep", "fire", "deliver"}
    (mine,) = [each for each in told["workers"] if each["id"] == worker]
    assert (mine["state"], mine["place"], mine["pid"]) == ("running", "here", 7)
    assert "0.0.1" in told["other_versions"]
    (disk, *_) = told["storage"]["disks"]
    assert 0 < disk["free_bytes"] <= disk["total_bytes"]
    assert told["broker"] == "pgmq in the same Postgres"


def test_the_system_is_read_with_a_token_only_and_takes_no_words(http: httpx.Client, served: Served) -> None:
    assert httpx.get(f"{served.url}/api/v1/system", trust_env=False).status_code == 401
    assert http.get("/api/v1/system?all=1").json()["code"] == "query.unknown"
    assert httpx.get(f"{served.url}/healthz", trust_env=False).json() == {"ok": True}


def test_an_alarm_names_ones_own_connections_only(
    client: Client, stranger: Client, spare: str, sql: psycopg.Connection[tuple[Any, ...]]
) -> None:
    theirs = spare.replace("ours", "theirs")
    row = sql.execute("SELECT lane_id FROM connections WHERE name = %s AND removed_at IS NULL", (spare,)).fetchone()
    assert row is not None
    both = sql.execute("SELECT count(*) FROM connections WHERE lane_id = %s", row).fetchone()
    assert both == (2,), "the test means one lane of two workspaces"
    sql.execute(STOPPED, ("key_refused", row[0]))
    sql.execute(ENDING, (spare,))
    for who, name, other in ((client, spare, theirs), (stranger, theirs, spare)):
        told = who.system.look()["alarms"]
        stops = [alarm["facts"] for alarm in told if alarm["code"] == "launches_stopped"]
        assert name in [facts["connections"] for facts in stops]
        assert other not in str(told)
        assert all(alarm["cure"] for alarm in told)
    assert alarms_of(client)["version_ending"]["connection"] == spare


def test_slots_that_are_taken_are_told_to_their_own_workspace_only(
    client: Client,
    stranger: Client,
    served: Served,
    sandbox: Sandbox,
    unique: str,
    free: str,
    sql: psycopg.Connection[tuple[Any, ...]],
) -> None:
    client.connections.add(
        unique, provider="script", base_url=sandbox.api_url, api_key=sandbox.key, max_concurrent=1,
        requests_per_minute=6000,
    )  # fmt: skip
    runs = [client.runs.submit(unique, free, {"sandbox": "duration_s=3600", "n": n})["id"] for n in range(2)]
    launch(served)
    held = sql.execute(
        "UPDATE executions SET began_at = now() - interval '3 hours' WHERE run_id = ANY(%s::uuid[]) AND state = 'open'",
        (runs,),
    )
    assert held.rowcount == 1
    told, others = (alarms_of(who) for who in (client, stranger))
    client.runs.abandon(runs[0], reason="the test is over")
    client.runs.cancel(runs[1])
    assert told["slots_taken"]["connection"] == unique
    assert "slots_taken" not in others


def test_a_result_at_risk_names_no_run_of_another_workspace(
    client: Client, stranger: Client, main: str, free: str, sql: psycopg.Connection[tuple[Any, ...]]
) -> None:
    run = client.runs.submit(main, free, {})["id"]
    sql.execute("UPDATE runs SET status = 'downloading' WHERE id = %s", (run,))
    sql.execute(
        "INSERT INTO artifacts (run_id, attempt, n, filename, url_expires_at)"
        " SELECT id, attempt, 0, 'a.json', now() + interval '2 minutes' FROM runs WHERE id = %s",
        (run,),
    )
    told, others = (alarms_of(who) for who in (client, stranger))
    sql.execute("DELETE FROM artifacts WHERE run_id = %s", (run,))
    sql.execute("UPDATE runs SET status = 'queued' WHERE id = %s", (run,))
    client.runs.cancel(run)
    assert told["result_at_risk"]["first_run"] == run
    assert others["result_at_risk"]["runs"] == 1
    assert not {"first_run", "because"} & others["result_at_risk"].keys()


def test_a_connection_says_how_it_stands_in_words_and_in_figures(
    client: Client, spare: str, sql: psycopg.Connection[tuple[Any, ...]]
) -> None:
    told = client.connections.standing(spare)
    assert [each["word"] for each in told["health"]] == ["ok"]
    assert (told["name"], told["limit"], told["used"], told["turned_away"]) == (spare, 100, 0, 0)
    assert len(told["hour"]) == 60
    assert set(told["queue"].values()) == {0}
    assert told["due"] == {"looks": 0, "launches": 0}
    assert told["shared_with"] == [], "what another workspace has on the lane is not named"
    assert told["capabilities"]["wave_widths"] == {"low": 1, "medium": 5, "high": 15}
    assert told["capabilities"]["launch_key"] is None
    assert "abilities" not in told
    lane = sql.execute("SELECT lane_id FROM connections WHERE name = %s AND removed_at IS NULL", (spare,)).fetchone()
    assert lane is not None
    sql.execute(STOPPED, ("key_refused", lane[0]))
    client.connections.pause(spare, reason="while the key is mended")
    told = client.connections.standing(spare)
    assert [(each["tone"], each["word"]) for each in told["health"]] == [("bad", "key refused"), ("human", "paused")]
    assert "rotate the key" in str(told["health"][0]["cure"])


def test_what_waits_for_a_connection_is_counted(client: Client, spare: str, main: str, free: str) -> None:
    run = client.runs.submit(main, free, {})
    assert client.connections.standing(main)["queue"]["queued"] >= 1
    assert client.connections.standing(main)["due"]["launches"] >= 1
    client.runs.cancel(run["id"])


def test_a_connection_that_is_not_there_or_anothers_does_not_stand(
    client: Client, stranger: Client, spare: str
) -> None:
    with pytest.raises(NotFound):
        stranger.connections.standing(spare)
    with pytest.raises(NotFound):
        client.connections.standing("nowhere")


def test_a_standing_that_is_as_it_was_is_not_sent_again(http: httpx.Client, spare: str) -> None:
    def asked_twice() -> int:
        etag = http.get(f"/api/v1/connections/{spare}/standing").headers["etag"]
        return http.get(f"/api/v1/connections/{spare}/standing", headers={"If-None-Match": etag}).status_code

    assert 304 in (asked_twice(), asked_twice()), "a minute may have begun in between, once"
