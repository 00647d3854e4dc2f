"""Reading over HTTP: every filter, pages that lose nothing while others write, ETags, and waiting for news."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from orchestrator.bootstrap import build
from orchestrator.client import Client
from orchestrator.storage import run_pages
from sandbox.control import Sandbox
from tests.api.conftest import Served, running

#: How many runs the walk goes through: `WALKED_RUNS=100000 pytest tests/api/test_reading.py -k walk` for the long one.
WALKED = int(os.environ.get("WALKED_RUNS", "500"))

API = "/api/v1"


def _execute(served: Served, statement: str, **values: Any) -> None:
    async def execute() -> None:
        async with build(served.settings, program="test") as deps, deps.db.transaction() as connection:
            await connection.execute(text(statement), values)

    asyncio.run(execute())


def _ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["data"]]


@pytest.fixture
def failed(served: Served, client: Client, main: str, free: str, unique: str) -> list[str]:
    """Two runs that ended with a code of this test's own, and one with another."""
    made = [client.runs.submit(main, free, {"n": n}, labels={"of": unique})["id"] for n in range(3)]
    for run, code in zip(made, [unique, unique, "other"], strict=True):
        query = "UPDATE runs SET status = 'error', ended_at = orch_now(), error_code = :code WHERE id = :id"
        _execute(served, query, id=run, code=code)
        _execute(served, "DELETE FROM timers WHERE subject_id = :id", id=run)
    return made


def test_runs_are_found_by_what_went_wrong_alone_and_together_with_every_other_filter(
    http: httpx.Client, main: str, free: str, unique: str, failed: list[str]
) -> None:
    first, second, other = failed
    both = [second, first]
    for others in ({}, {"workflow": free}, {"connection": main}, {"status": "error"}, {"label": f"of={unique}"}):
        assert _ids(http.get(f"{API}/runs", params={"error_code": unique, **others})) == both, others
    assert _ids(http.get(f"{API}/runs", params={"error_code": unique, "status": "queued"})) == []
    assert _ids(http.get(f"{API}/runs", params={"error_code": unique, "workflow": "no-such"})) == []
    several = {"error_code": f"{unique},other", "label": f"of={unique}"}
    assert _ids(http.get(f"{API}/runs", params=several)) == [other, *both]
    page = http.get(f"{API}/runs", params={"error_code": unique, "limit": 1}).json()
    rest = {"error_code": unique, "limit": 1, "cursor": page["pagination"]["next_cursor"]}
    assert _ids(http.get(f"{API}/runs", params=rest)) == [first]


def test_dates_are_days_or_moments_and_both_ends_belong_to_the_period(
    http: httpx.Client, failed: list[str], unique: str
) -> None:
    now = datetime.now(UTC)
    label = {"label": f"of={unique}"}
    for today in ({"dateFrom": f"{now:%Y-%m-%d}"}, {"dateTo": f"{now:%Y-%m-%d}"}, {"dateFrom": now.isoformat()[:10]}):
        assert len(_ids(http.get(f"{API}/runs", params=label | today))) == 3, today
    created = http.get(f"{API}/runs/{failed[1]}").json()["created_at"]
    assert failed[1] in _ids(http.get(f"{API}/runs", params=label | {"dateFrom": created, "dateTo": created}))
    later = {"dateFrom": (now + timedelta(minutes=5)).isoformat()}
    assert _ids(http.get(f"{API}/runs", params=label | later | {"error_code": unique})) == []
    for wrong in ("2026-13-01", "yesterday", "2026-01-01T00:00:00"):
        assert http.get(f"{API}/runs", params={"dateFrom": wrong}).status_code == 422


def test_batches_are_found_by_status_workflow_connection_external_id_and_dates(
    http: httpx.Client, client: Client, main: str, free: str, unique: str
) -> None:
    made = [
        client.batches.submit(b"n\n1\n", "csv", connection=main, workflow_id=free, external_id=f"{unique}-{n}")["id"]
        for n in range(3)
    ]
    client.batches.cancel(str(made[1]))
    wanted = {"workflow": free, "connection": main, "dateFrom": f"{datetime.now(UTC):%Y-%m-%d}"}
    assert [batch["id"] for batch in client.batches.list(external_id=f"{unique}-1")] == [made[1]]
    assert set(made) <= set(_ids(http.get(f"{API}/batches", params=wanted | {"limit": 200})))
    ended = _ids(http.get(f"{API}/batches", params=wanted | {"status": "cancelled", "limit": 200}))
    assert made[1] in ended and not {made[0], made[2]} & set(ended)
    assert _ids(http.get(f"{API}/batches", params={"external_id": f"{unique}-1", "status": "accepted"})) == []
    assert _ids(http.get(f"{API}/batches", params={"workflow": "no-such"})) == []
    assert http.get(f"{API}/batches", params={"status": "error"}).status_code == 422


def test_a_page_by_a_label_and_more_judges_so_many_runs_and_its_cursor_goes_on_behind_them(
    client: Client, http: httpx.Client, main: str, free: str, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_pages, "LABELLED", 3)
    made = [client.runs.submit(main, free, {"n": n}, labels={"of": unique})["id"] for n in range(8)]
    client.runs.cancel(made[0])
    wanted = {"label": f"of={unique}", "status": "cancelled"}
    first = http.get(f"{API}/runs", params=wanted).json()
    assert first["data"] == [] and first["pagination"]["has_more"]
    assert [run["id"] for run in client.runs.list(labels={"of": unique}, status=["cancelled"])] == [made[0]]
    assert [run["id"] for run in client.runs.list(labels={"of": unique})] == made[::-1]


@pytest.fixture
def alone(stranger: Client, sandbox: Sandbox, unique: str) -> Client:
    """A workspace with a connection `walk` and no runs but this test's."""
    stranger.connections.add("walk", provider="script", base_url=sandbox.api_url, api_key=sandbox.key)
    return stranger


def test_a_walk_by_cursor_shows_each_run_that_stood_throughout_exactly_once(alone: Client, free: str) -> None:
    def submit(count: int) -> None:
        lines = b"".join(b'{"n":%d}\n' % n for n in range(count))
        alone.batches.submit(lines, "jsonl", connection="walk", workflow_id=free)

    for begin in range(0, WALKED, 10_000):
        submit(min(10_000, WALKED - begin))
    stood: set[str] = set()
    for batch in alone.batches.list():
        stood |= {run["id"] for run in alone.runs.list(batch=batch["id"])}
    is_over = threading.Event()

    def insert() -> None:
        while not is_over.is_set():
            alone.runs.submit("walk", free, {"n": 0})
            time.sleep(0.05)

    inserting = threading.Thread(target=insert)
    inserting.start()
    try:
        walked = [run["id"] for run in alone.runs.list(status=["queued"])]
    finally:
        is_over.set()
        inserting.join()
    assert len(stood) == WALKED
    assert len(walked) == len(set(walked)), "one came twice"
    assert stood <= set(walked), f"{len(stood - set(walked))} of {WALKED} were not shown"


@pytest.mark.parametrize("path", ["/runs?limit=2", "/batches?limit=2", "/connections", "/inbox", "/doubts"])
def test_a_list_that_is_as_it_was_is_a_304_without_a_body(http: httpx.Client, main: str, path: str) -> None:
    first = http.get(API + path)
    tag = first.headers["ETag"]
    assert tag.startswith('W/"')
    for named in (tag, tag.removeprefix("W/"), f'"x", {tag}', "*"):
        again = http.get(API + path, headers={"If-None-Match": named})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag), named
    assert http.get(API + path, headers={"If-None-Match": '"x"'}).content == first.content


def test_a_run_and_a_batch_have_another_etag_when_anything_that_they_show_is_another(
    http: httpx.Client, client: Client, main: str, free: str
) -> None:
    run = client.runs.submit(main, free, {"n": 1})["id"]
    batch = client.batches.submit(b"n\n1\n", "csv", connection=main, workflow_id=free)["id"]
    client.batches.pause(str(batch))  # so that no forecast moves
    for path, act in (
        (f"{API}/runs/{run}", lambda: client.runs.cancel(run)),
        (f"{API}/batches/{batch}", lambda: client.batches.cancel(str(batch))),
    ):
        known = {"If-None-Match": http.get(path).headers["ETag"]}
        assert http.get(path, headers=known).status_code == 304
        act()
        news = http.get(path, headers=known)
        assert news.status_code == 200 and news.headers["ETag"] != known["If-None-Match"]


def _later(act: Any) -> threading.Timer:
    timer = threading.Timer(0.4, act)
    timer.start()
    return timer


@pytest.fixture
def queued(client: Client, main: str, free: str) -> str:
    """A run that nobody launches."""
    return str(client.runs.submit(main, free, {"n": 1})["id"])


def test_a_wait_is_answered_by_the_change_and_not_before(http: httpx.Client, client: Client, queued: str) -> None:
    path = f"{API}/runs/{queued}"
    known = {"If-None-Match": http.get(path).headers["ETag"]}
    for headers in (known, {}):
        timer = _later(lambda: client.runs.cancel(queued))
        began_s = time.monotonic()
        news = http.get(path, params={"wait": "20s"}, headers=headers)
        took_s = time.monotonic() - began_s
        timer.join()
        assert (news.status_code, news.json()["status"]) == (200, "cancelled")
        assert 0.3 <= took_s < 10
        client.runs.retry(queued)


def test_a_batch_is_news_when_one_of_its_counts_is_another(
    http: httpx.Client, client: Client, main: str, free: str
) -> None:
    batch = client.batches.submit(b"n\n1\n2\n", "csv", connection=main, workflow_id=free)["id"]
    run = next(client.batches.runs(str(batch)))["id"]
    path = f"{API}/batches/{batch}"
    known = {"If-None-Match": http.get(path).headers["ETag"]}
    timer = _later(lambda: client.runs.cancel(run))
    news = http.get(path, params={"wait": "20"}, headers=known)
    timer.join()
    assert news.json()["counts"]["cancelled"] == 1


def test_a_wait_without_news_ends_in_304_and_what_has_ended_is_not_waited_for(
    http: httpx.Client, client: Client, queued: str
) -> None:
    path = f"{API}/runs/{queued}"
    known = {"If-None-Match": http.get(path).headers["ETag"]}
    began_s = time.monotonic()
    assert http.get(path, params={"wait": "1s"}, headers=known).status_code == 304
    assert time.monotonic() - began_s >= 0.9
    client.runs.cancel(queued)
    known = {"If-None-Match": http.get(path).headers["ETag"]}
    began_s = time.monotonic()
    assert http.get(path, params={"wait": "30s"}, headers=known).status_code == 304
    assert http.get(path, params={"wait": "30s"}).status_code == 200
    assert time.monotonic() - began_s < 5
    for wrong in ("61", "-1", "1.5", "30m", ""):
        assert http.get(path, params={"wait": wrong}).status_code == 422, wrong


def test_many_readers_wait_without_a_connection_each_and_a_stop_lets_them_go(
    served: Served, client: Client, queued: str
) -> None:
    answers: list[int] = []
    before = client.runs.get(queued)
    headers = {"Authorization": f"Bearer {served.token}"}
    with running(served.settings) as url:

        def wait() -> None:
            answers.append(httpx.get(f"{url}{API}/runs/{queued}?wait=60s", headers=headers, timeout=90).status_code)

        readers = [threading.Thread(target=wait) for _ in range(40)]
        for reader in readers:
            reader.start()
        time.sleep(1)
        # Twice as many wait as the pool has connections, and others are answered all the same.
        assert httpx.get(f"{url}{API}/runs/{queued}", headers=headers).json() == before
        assert not answers
        began_s = time.monotonic()
    for reader in readers:
        reader.join(20)
    assert time.monotonic() - began_s < 12
    assert answers == [200] * 40


def test_the_client_waits_for_an_end(client: Client, queued: str) -> None:
    assert client.runs.wait(queued, timeout_s=0.5)["status"] == "queued"
    timer = _later(lambda: client.runs.cancel(queued))
    assert client.runs.wait(queued, timeout_s=20)["status"] == "cancelled"
    timer.join()
