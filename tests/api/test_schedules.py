"""Schedules over HTTP: made, previewed, changed, paused, fired by hand, removed."""

from __future__ import annotations

import asyncio
import os
import time

import httpx
import pytest

from orchestrator.bootstrap import build
from orchestrator.client import Client, Conflict, Invalid, NotFound
from orchestrator.engine import fire
from tests.api.conftest import Served


async def fire_all(served: Served) -> None:
    async with build(served.settings, program="test-worker") as deps:
        while await fire.fire_due(deps, worker=deps.sources.new_id()):
            pass


def test_a_schedule_lives_through_its_verbs(client: Client, main: str, free: str, unique: str) -> None:
    made = client.schedules.create(
        unique,
        workflow_id=free,
        connection=main,
        cron="30 2 * * *",
        tz="Europe/Zurich",
        file="in/nightly-{date}.csv",
        overlap="queue",
        deadline_s=60,
        wave_size=5,
    )
    assert (made["status"], made["overlap"], made["catch_up"], made["options"]) == (
        "active", "queue", "latest", {"wave_size": 5},
    )  # fmt: skip
    assert "02:30" in made["when"]
    with pytest.raises(Conflict):
        client.schedules.create(unique, workflow_id=free, connection=main, every="1h", input=b"{}")
    assert unique in [schedule["name"] for schedule in client.schedules.list()]
    ticks = client.schedules.preview(unique, count=3)["ticks"]
    assert [tick["file"] for tick in ticks] == [f"in/nightly-{tick['local'][:10]}.csv" for tick in ticks]
    assert client.schedules.update(unique, every="6h", catch_up="all")["every_s"] == 6 * 3600
    assert client.schedules.pause(unique, "bank holiday")["paused_note"] == "bank holiday"
    with pytest.raises(Conflict):
        client.schedules.pause(unique, "again")
    assert client.schedules.resume(unique)["status"] == "active"
    client.schedules.delete(unique)
    with pytest.raises(NotFound):
        client.schedules.get(unique)


def test_run_now_submits_what_the_schedule_names(
    client: Client, served: Served, main: str, free: str, unique: str
) -> None:
    folder = served.settings.data_dir / "inputs"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{unique}.csv").write_text("n\n1\n2\n")
    os.utime(folder / f"{unique}.csv", (time.time() - 60, time.time() - 60))
    client.schedules.create(
        unique,
        workflow_id=free,
        connection=main,
        every="1d",
        file=f"{unique}.csv",
    )
    client.schedules.run_now(unique, reason="the first night")
    asyncio.run(fire_all(served))
    (fire,) = client.schedules.fires(unique)
    assert (fire["state"], fire["reason"]) == ("fired", "the first night")
    assert fire["batch_id"] is not None
    assert client.batches.get(fire["batch_id"])["total"] == 2
    assert client.schedules.fires(unique, states=["missed", "skipped"]) == []
    with pytest.raises(Conflict):
        client.schedules.run_now(unique, nominal_at=fire["nominal_at"])
    with pytest.raises(NotFound):
        client.schedules.run_now(unique, nominal_at="2020-02-02T02:30")
    with pytest.raises(Invalid):
        client.schedules.run_now(unique, nominal_at="tomorrow")


def test_a_rhythm_is_previewed_before_anything_is_stored(client: Client) -> None:
    found = client.schedules.preview_rhythm(cron="*/15 * * * *", tz="Europe/Zurich", count=5)
    assert len(found["ticks"]) == 5
    both = ("* * * * *", "1h")
    for cron, every in (("0 0 30 2 *", None), ("* * *", None), (None, "1s"), both, (None, None)):
        with pytest.raises(Invalid):
            client.schedules.preview_rhythm(cron=cron, every=every)
    with pytest.raises(Invalid):
        client.schedules.preview_rhythm(cron="* * * * *", tz="../etc/passwd")


def test_what_makes_no_sense_is_refused_with_its_field(http: httpx.Client, main: str, free: str, unique: str) -> None:
    fit = {
        "name": unique,
        "workflow_id": free,
        "connection": main,
        "every": "1h",
        "input": {"n": 1},
    }
    for change in (
        {"overlap": "perhaps"},
        {"deadline_s": "soon"},
        {"nonsense": 1},
        {"file": "rows.csv"},
        {"input": None},
        {"name": "a b"},
        {"max_failures": "some"},
    ):
        answer = http.post("/api/v1/schedules", json={k: v for k, v in (fit | change).items() if v is not None})
        assert answer.status_code == 422, (change, answer.text)
        assert answer.json()["code"]
    assert http.post("/api/v1/schedules", json=fit).status_code == 201
