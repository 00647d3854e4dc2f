"""Batches on pages: the list, one batch and its files; a file that is looked at, mended, and started once."""

from __future__ import annotations

import hashlib
import io
import json
import re
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import httpx
import pytest

from orchestrator.bootstrap import build
from orchestrator.engine import drafts, sweep
from orchestrator.storage import drafts as kept
from tests.web.conftest import visitor
from tests.web.hostile import HOSTILE
from tests.web.product import Product, finished

Send = Callable[..., httpx.Response]
CSV = b"customer_id,Total,note\nc-1,1.5,one\nc-2,high,two\nc-3,3,three\n"


@pytest.fixture(scope="module", autouse=True)
def _settled(made: Product) -> None:
    """Wait until the world's batch stands as it will: 29 finished, 1 failed, 6 that take for ever."""
    with made.client() as client:
        until = time.monotonic() + 30
        while client.batches.get(made.ids["batch"])["counts"]["finished"] < 29:
            assert time.monotonic() < until
            time.sleep(0.05)


@pytest.fixture
def send(made: Product, web: httpx.Client) -> Send:
    """Uploads a file, or pastes a text, for the workflow with a strict schema."""

    def post(content: bytes | str, filename: str = "customers.csv", workflow: str = "Score customer") -> httpx.Response:
        data = {"connection": "main", "workflow": made.sandbox.workflows[workflow]}
        if isinstance(content, str):
            return web.post("/batches/new", data=data | {"pasted": content}, files={"file": ("", b"")})
        return web.post("/batches/new", data=data, files={"file": (filename, content)})

    return post


def chosen(**others: str | list[str]) -> dict[str, str | list[str]]:
    """Return the fields of the second step: `Total` fills `amount`."""
    columns: dict[str, str | list[str]] = {
        "column": ["customer_id", "Total", "note"],
        "field": ["customer_id", "amount", "note"],
        "concurrency": "low",
    }
    return columns | others


def unique(text: bytes) -> bytes:
    """Return a file that no other test sends."""
    unique.count += 1  # type: ignore[attr-defined]
    return text + b"c-9,9,test %d\n" % unique.count  # type: ignore[attr-defined]


unique.count = 0  # type: ignore[attr-defined]


def test_the_list_says_how_far_each_batch_is_and_keeps_its_filters(made: Product, web: httpx.Client) -> None:
    text = web.get("/batches?status=running&connection=main&external_id=&dateFrom=").text
    assert f'id="b-{made.ids["batch"]}"' in text
    for words in ("Statements for November", "29 finished", "1 error", 'href="/batches?connection=main"'):
        assert words in text
    assert "No batch matches these filters." in web.get("/batches?workflow=none").text
    assert web.get("/batches?colour=red").status_code == 422
    assert f'href="/batches/{made.ids["batch"]}"' in web.get("/").text, "the overview leads there"


def test_a_batch_tells_its_pace_its_failures_and_its_rows_in_order(made: Product, web: httpx.Client) -> None:
    path = f"/batches/{made.ids['batch']}"
    text = web.get(path).text
    for words in ("30 of 36 runs have ended, 1 of them badly.", "nine in ten", "chain whole", "Why some failed",
                  "waves of 18", "the provider says that the execution failed"):  # fmt: skip
        assert words in text
    rows = re.findall(r'<td class="rowno">(\d+)</td>', text)
    assert rows == [str(n) for n in range(1, 37)]
    assert re.findall(r'<td class="rowno">(\d+)</td>', web.get(f"{path}?status=error").text) == ["4"]
    seen: list[str] = []
    following: str | None = f"{path}?limit=20"
    while following:
        text = web.get(following).text
        seen += re.findall(r'<td class="rowno">(\d+)</td>', text)
        found = re.search(r'rel="next" href="([^"#]+)', text)
        following = found[1].replace("&amp;", "&") + "&limit=20" if found else None
    assert seen == rows


def test_what_is_downloaded_is_what_was_stored(made: Product, web: httpx.Client) -> None:
    path = f"/batches/{made.ids['batch']}"
    answer = web.get(f"{path}/results.zip")
    assert answer.headers["content-disposition"] == f'attachment; filename="batch-{made.ids["batch"]}.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive, made.client() as client:
        stored = {result["sha256"] for run in client.batches.runs(made.ids["batch"]) for result in run["results"]}
        files = {hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
    assert stored
    assert stored <= files
    assert len(web.get(f"{path}/results.csv").text.splitlines()) == 37
    assert len([json.loads(line) for line in web.get(f"{path}/results.jsonl").text.splitlines()]) == 36


def test_a_file_is_looked_at_mended_by_choices_and_started_once(made: Product, web: httpx.Client, send: Send) -> None:
    content = unique(CSV)
    there = send(content).headers["location"]
    text = web.get(there).text
    assert "It cannot be started" in text
    assert "unknown column &#34;Total&#34;" in text
    assert web.post(f"{there}/options", data=chosen(name="Ours")).headers["location"] == there
    text = web.get(there).text
    for words in ("1 of 4 rows is bad; 3 are good.", "expected number, got", "Start 3 runs", 'value="Ours"'):
        assert words in text
    assert re.search(r'<option value="amount" selected>', text), "the choice is remembered"
    assert b"c-2" in web.get(f"{there}/refused").content
    refused = web.post(f"{there}/start", data=chosen())
    assert refused.headers["location"] == there, "bad rows are left out only when somebody says so"
    assert "Not started: 1 of 4 rows is invalid" in web.get(there).text
    ready = chosen(name="Ours", skip_invalid="yes", external_id_column="customer_id")
    first, second = (web.post(f"{there}/start", data=ready) for _ in range(2))
    assert first.headers["location"] == second.headers["location"] == there.replace("/new", "")
    text = web.get(first.headers["location"]).text
    assert "It was started already: 3 runs, once." in text
    assert "CSV of 4 rows, 1 left out as bad" in text
    with made.client() as client:
        batch = client.batches.get(there.rsplit("/", 1)[1])
        assert (batch["name"], batch["concurrency"], batch["total"]) == ("Ours", "low", 3)
        assert [run["external_id"] for run in client.batches.runs(batch["id"])] == ["c-1", "c-3", "c-9"]


def test_two_clicks_at_once_make_one_batch(made: Product, web: httpx.Client, send: Send) -> None:
    there = send(unique(b"customer_id,amount,note\nc-1,1,x\n")).headers["location"]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: web.post(f"{there}/start", data={"concurrency": "low"}), range(4)))
    assert {answer.headers.get("location") for answer in answers} == {there.replace("/new", "")}
    with made.client() as client:
        assert client.batches.get(there.rsplit("/", 1)[1])["total"] == 2


def test_a_start_whose_answer_was_lost_leads_to_its_one_batch_whatever_is_pressed_next(
    made: Product, web: httpx.Client, send: Send
) -> None:
    there = send(unique(b"customer_id,amount,note\nc-1,1,x\n")).headers["location"]
    started = there.replace("/new", "")
    with made.client() as client:
        before = len(list(client.batches.list()))
        # The answer never reached the browser; the person goes back, and presses what is there.
        web.post(f"{there}/start", data={"concurrency": "low"})
        for verb, data in (
            ("start", {"concurrency": "high"}),
            ("options", {"concurrency": "low"}),
            ("discard", {"x": ""}),
        ):
            answer = web.post(f"{there}/{verb}", data=data)
            assert answer.headers.get("location") == started, verb
            assert "It was started already: 2 runs, once." in web.get(started).text
        assert web.get(there).headers["location"] == started
        assert len(list(client.batches.list())) == before + 1


def test_a_file_that_came_before_under_its_external_id_leads_to_that_batch_each_time(
    made: Product, web: httpx.Client, send: Send
) -> None:
    content = unique(b"customer_id,amount,note\nc-1,1,x\n")
    named = {"concurrency": "low", "external_id": f"day-{made.ids['batch'][-6:]}"}
    first = web.post(f"{send(content).headers['location']}/start", data=named).headers["location"]
    there = send(content).headers["location"]
    for _ in range(2):
        assert web.post(f"{there}/start", data=named).headers.get("location") == first
        assert "This external id and file came before" in web.get(first).text
    assert web.post(f"{there}/discard", data={"x": ""}).headers.get("location") == first
    assert web.get(there).headers.get("location") == first

    async def kept_piece() -> bytes | None:
        async with build(made.settings, program="test") as deps:
            return await deps.db.run(lambda connection: kept.piece(connection, UUID(there.rsplit("/", 1)[1]), 0))

    assert finished(kept_piece()) is None, "of a file that is there already nothing is kept"


def test_the_same_file_again_names_the_earlier_batch_and_needs_a_word(web: httpx.Client, send: Send) -> None:
    content = unique(b"customer_id,amount,note\nc-1,1,x\n")
    plain = {"concurrency": "low"}
    started = web.post(f"{send(content).headers['location']}/start", data=plain).headers["location"]
    there = send(content).headers["location"]
    text = web.get(there).text
    assert "The same file was submitted before" in text
    assert f'href="{started}"' in text
    assert web.post(f"{there}/start", data=plain).headers["location"] == there
    assert "Not started: the same file was submitted before" in web.get(there).text
    assert web.post(f"{there}/start", data=plain | {"again": "yes"}).headers["location"] == there.replace("/new", "")


def test_a_file_of_many_pieces_arrives_byte_for_byte(made: Product, web: httpx.Client, send: Send) -> None:
    rows = [json.dumps({"n": n, "text": "x" * 700_000, "sandbox": "files=0"}) for n in range(4)]
    content = "\n".join(rows).encode()
    there = send(content, "large.jsonl", "Free form").headers["location"]
    assert "All 4 rows are good." in web.get(there).text
    started = web.post(f"{there}/start", data={"concurrency": "high"}).headers["location"]
    with made.client() as client:
        assert client.batches.get(started.rsplit("/", 1)[1])["source_sha256"] == hashlib.sha256(content).hexdigest()


def test_rows_can_be_pasted(web: httpx.Client, send: Send) -> None:
    text = web.get(send('{"customer_id": "p-1"}\r\n{"customer_id": 7}').headers["location"]).text
    for words in ("Pasted rows", "JSONL", "1 of 2 rows is bad; 1 is good.", "expected string"):
        assert words in text


def test_what_cannot_be_taken_says_so_on_the_form(made: Product, web: httpx.Client, send: Send) -> None:
    answer = send("")
    assert (answer.status_code, "Choose a file, or paste some rows." in answer.text) == (422, True)
    answer = send(HOSTILE, workflow="Free form")
    assert "<script>window" not in web.get(answer.headers["location"]).text
    assert web.post("/batches/new", data={"workflow": "x"}).status_code == 415
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    assert web.post("/batches/new", content=b"--x\r\nnothing", headers=broken).status_code in (400, 422)
    there = send(b"customer_id\nc-1\n").headers["location"]
    for wrong in ({"wave_size": "many"}, {"concurrency": "utmost"}, {"column": "a"}):
        assert web.post(f"{there}/options", data=wrong).status_code == 422
    assert web.post(f"{there}/start", data={"wave_size": "999999"}).headers["location"] == there
    assert "the wave size lies between" in web.get(there).text


def test_a_file_that_nobody_starts_goes(made: Product, web: httpx.Client, send: Send) -> None:
    there, other = (send(b"customer_id\nc-1\n").headers["location"] for _ in range(2))
    assert web.post(f"{there}/discard", data={"x": ""}).headers["location"] == "/batches"
    id = UUID(other.rsplit("/", 1)[1])
    made.sql("UPDATE drafts SET created_at = created_at - interval '5 hours' WHERE id = :id", id=id)
    for path in (there, other):
        assert "draft_not_found" in web.get(path).text
        assert web.post(f"{path}/start", data={"x": ""}).status_code == 404

    async def forgotten() -> bool:
        async with build(made.settings, program="test") as deps:
            await sweep.sweep(deps, may_judge_silence=False)
            return await deps.db.run(lambda connection: kept.piece(connection, id, 0)) is None

    assert finished(forgotten())


def test_no_more_waits_than_a_few_large_files(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "MOST_WAITING_BYTES", 10)
    answer = send(b"customer_id\nc-1\n")
    assert (answer.status_code, "would wait to be started" in answer.text) == (422, True)


def test_a_batch_is_paused_resumed_retried_and_cancelled_from_its_page(made: Product, web: httpx.Client) -> None:
    rows: list[dict[str, Any]] = [{"n": 0, "sandbox": "outcome=error"}, {"n": 1, "sandbox": "duration_s=3000"}]
    with made.client() as client:
        content = "\n".join(json.dumps(row) for row in rows).encode()
        free = made.sandbox.workflows["Free form"]
        id = str(client.batches.submit(content, "jsonl", connection="main", workflow_id=free, wave_size=1)["id"])
        until = time.monotonic() + 20
        while not client.batches.get(id)["counts"]["error"]:
            assert time.monotonic() < until
            time.sleep(0.05)
    path = f"/batches/{id}"
    for act, said in (
        ("pause", "Paused: nothing more is launched."),
        ("resume", "It goes on."),
        ("retry", "queued again, with the same inputs"),
    ):
        assert web.post(f"{path}/{act}", data={"reason": HOSTILE}).headers["location"] == path
        text = web.get(path).text
        assert said in text
        assert "<script>window" not in text
    assert web.post(f"{path}/cancel", data={"reason": ""}).status_code == 422, "it needs a reason"
    web.post(f"{path}/cancel", data={"reason": "not needed"})
    assert re.search(r"Cancelled: \d of its runs were not sent", web.get(path).text)


def test_who_may_only_read_sees_no_way_to_act(made: Product) -> None:
    with visitor(made, made.new_token("read")) as reader:
        text = reader.get(f"/batches/{made.ids['batch']}").text
        assert "<textarea" not in text
        assert "results.zip" in text
        assert "/batches/new" not in reader.get("/batches").text
