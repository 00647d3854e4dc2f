"""Runs over HTTP: what is accepted is stored as it came, what is refused says where, what repeats has one effect."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from orchestrator.bootstrap import build
from orchestrator.client import Client, Conflict, Invalid, NotFound
from tests.api.conftest import Served, finish

#: An id that no run has; fixed, so that every process that shares this suite names its tests alike.
NO_RUN = "7f1e3c5a-0000-4000-8000-0123456789ab"


def test_a_submitted_run_is_shown_with_the_fields_of_the_contract(client: Client, main: str, free: str) -> None:
    run = client.runs.submit(main, free, {"n": 1}, labels={"team": "a"})
    assert client.runs.get(run["id"]) == run
    promised = "id status provider_status workflow_id connection batch_id index external_id labels created_at"
    promised += " launched_at finished_at attempts execution_id waiting_because error results"
    assert set(promised.split()) <= set(run)
    assert (run["status"], run["batch_id"], run["index"], run["error"]) == ("queued", None, None, None)
    assert run["labels"] == {"team": "a"}


def test_an_input_is_stored_as_the_very_bytes_that_came(
    served: Served, http: httpx.Client, main: str, free: str
) -> None:
    spelled = '{"a": 0.10, "b" :-0.0,\n "c": 1E2, "d": 9007199254740993, "ü": "\\u00fc", "e": {"input": [1 , 2]}}'
    envelope = {"labels": {"input": "no"}, "connection": main, "workflow_id": free}
    before = json.dumps(envelope)[:-1] + ' , "input" :  '
    answer = http.post("/api/v1/runs", content=(before + spelled + "  }").encode(), headers=_json())
    assert answer.status_code == 201, answer.text

    async def stored() -> bytes:
        async with build(served.settings, program="test") as deps, deps.db.transaction() as connection:
            query = text("SELECT i.* FROM inputs i WHERE run_id = :id")
            row = (await connection.execute(query, {"id": answer.json()["id"]})).one()
            return bytes(next(v for v in row if isinstance(v, bytes | memoryview) and len(bytes(v)) != 32))

    assert asyncio.run(stored()) == spelled.encode()


def test_an_external_id_names_one_run_for_ever(client: Client, main: str, free: str, unique: str) -> None:
    first = client.runs.submit(main, free, {"n": 1}, external_id=unique)
    assert client.runs.submit(main, free, {"n": 1}, external_id=unique)["id"] == first["id"]
    with pytest.raises(Conflict) as refused:
        client.runs.submit(main, free, {"n": 2}, external_id=unique)
    assert refused.value.code == "external_id_conflict"
    assert [run["id"] for run in client.runs.list(external_id=unique)] == [first["id"]]


def test_a_repeat_answers_200_and_a_first_submission_201(http: httpx.Client, main: str, free: str, unique: str) -> None:
    body = {"connection": main, "workflow_id": free, "input": {}, "external_id": unique}
    assert [http.post("/api/v1/runs", json=body).status_code for _ in range(2)] == [201, 200]


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (b"", 400, "json.empty", None),
        (b'{"connection": ', 400, "json.syntax", None),
        (b"[]", 422, "body.not_object", None),
        (b'{"connection":"main","connection":"x"}', 400, "json.duplicate_key", None),
        (b'{"connection":"main","workflow_id":"w","input":{"n":NaN}}', 400, "json.", None),
        (b'{"connection":"main","workflow_id":"w","input":{"n":1e999}}', 400, "json.", None),
        (b'{"connection":"main","workflow_id":"w","input":{"s":"\\ud800"}}', 400, "json.", None),
        (b'{"connection":"main","workflow_id":"w","input":' + b"[" * 10_000, 400, "json.depth", None),
        (b"\xff\xfe{\x00}\x00", 400, "json.encoding", None),
        (b'{"connection":"main","workflow_id":"w"}', 422, "field.missing", "input"),
        (b'{"connection":"main","workflow_id":"w","input":[]}', 422, "field.type", "input"),
        (b'{"connection":7,"workflow_id":"w","input":{}}', 422, "field.type", "connection"),
        (b'{"connection":"main","workflow_id":"a\\u202eb","input":{}}', 422, "field.value", "workflow_id"),
        (
            b'{"connection":"main","workflow_id":"w","input":{},"workspace_id":"x"}',
            422,
            "field.unknown",
            "workspace_id",
        ),
        (b'{"connection":"main","workflow_id":"w","input":{},"labels":{"a":1}}', 422, "field.value", "labels"),
    ],
)
def test_a_malformed_body_is_refused_with_its_place(
    http: httpx.Client, body: bytes, status: int, code: str, field: str | None
) -> None:
    answer = http.post("/api/v1/runs", content=body, headers=_json())
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["code"].startswith(code), problem
    assert problem["request_id"] == answer.headers["request-id"]
    if field is not None:
        assert field in [place["field"] for place in problem["errors"]]


def test_a_misspelt_field_is_named_with_what_was_meant(http: httpx.Client, main: str) -> None:
    answer = http.post("/api/v1/runs", json={"connection": main, "workflow": "w", "input": {}})
    assert "did you mean 'workflow_id'?" in answer.text


def test_an_input_that_breaks_the_schema_is_refused_and_nothing_is_stored(
    client: Client, main: str, strict: str, unique: str
) -> None:
    with pytest.raises(Invalid) as refused:
        client.runs.submit(main, strict, {"name": "no email"}, external_id=unique)
    assert refused.value.status == 422
    assert refused.value.problems
    assert list(client.runs.list(external_id=unique)) == []


def test_an_unknown_workflow_or_connection_is_not_found(client: Client, main: str, free: str) -> None:
    with pytest.raises(NotFound) as missing:
        client.runs.submit("nowhere", free, {})
    assert missing.value.code == "connection_not_found"
    with pytest.raises(NotFound):
        client.runs.submit(main, str(uuid4()), {})


def test_a_list_is_paged_without_a_gap_or_a_double(
    client: Client, http: httpx.Client, main: str, free: str, unique: str
) -> None:
    made = [client.runs.submit(main, free, {"n": n}, labels={"of": unique})["id"] for n in range(5)]
    found: list[str] = []
    cursor = None
    for _ in range(5):
        page = http.get(
            "/api/v1/runs", params={"label": f"of={unique}", "limit": 2, **({"cursor": cursor} if cursor else {})}
        ).json()
        found += [run["id"] for run in page["data"]]
        cursor = page["pagination"]["next_cursor"]
        assert page["pagination"]["has_more"] == (cursor is not None)
        if cursor is None:
            break
    assert found == made[::-1]
    assert [run["id"] for run in client.runs.list(labels={"of": unique}, limit=3)] == made[::-1][:3]


def test_a_cursor_is_good_for_its_own_list_only(
    client: Client, stranger: Client, http: httpx.Client, main: str, free: str
) -> None:
    for n in range(2):
        client.runs.submit(main, free, {"n": n})
    path = "/api/v1/runs"
    cursor = http.get(path, params={"limit": 1}).json()["pagination"]["next_cursor"]
    bad = [{"cursor": cursor, "status": "queued"}, {"cursor": cursor[:-2] + "AA"}, {"cursor": "x"}, {"cursor": ""}]
    for params in bad:
        answer = http.get(path, params=params)
        assert (answer.status_code, answer.json()["code"]) == (400, "cursor.invalid"), params
    assert http.get("/api/v1/batches", params={"cursor": cursor}).status_code == 400
    with pytest.raises(Invalid):
        stranger._wire.get("/runs", {"cursor": cursor})


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=1e3",
        "limit=٣",
        "limit=5&limit=6",
        "sort=password",
        "status=done",
        "dateFrom=2026-02-30",
        "dateFrom=2026-01-01T00:00:00",
        "dateTo=infinity",
        "batch=7",
        "label=x",
        "workflow=",
    ],
)
def test_an_odd_query_is_refused(http: httpx.Client, query: str) -> None:
    answer = http.get(f"/api/v1/runs?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == query.partition("=")[0]


def test_runs_are_found_by_when_they_were_made(client: Client, main: str, free: str, unique: str) -> None:
    run = client.runs.submit(main, free, {}, labels={"of": unique})
    day = run["created_at"][:10]

    def found(**times: Any) -> int:
        return len(list(client.runs.list(labels={"of": unique}, **times)))

    assert found(since=day) == found(until=day) == found(since="2020-01-01T00:00:00+01:00") == 1
    assert found(since="2999-01-01") == found(until="2020-01-01") == 0


@pytest.mark.parametrize("name", ["7", "x", f"{NO_RUN[:-1]}g", NO_RUN, f"{NO_RUN}%0A"])
def test_what_is_no_id_is_not_found_like_what_is_not_there(http: httpx.Client, name: str) -> None:
    for path in (f"/api/v1/runs/{name}", f"/api/v1/batches/{name}", f"/api/v1/runs/{name}/events"):
        answer = http.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


def test_an_id_in_upper_case_is_the_same_id(client: Client, main: str, free: str) -> None:
    run = client.runs.submit(main, free, {})
    assert client.runs.get(run["id"].upper())["id"] == run["id"]


def test_another_workspaces_run_is_not_there(client: Client, stranger: Client, main: str, free: str) -> None:
    run_id = client.runs.submit(main, free, {})["id"]
    for ask in (
        lambda: stranger.runs.get(run_id),
        lambda: list(stranger.runs.events(run_id)),
        lambda: stranger.runs.results(run_id),
        lambda: stranger.runs.cancel(run_id),
    ):
        with pytest.raises(NotFound):
            ask()
    assert run_id not in [run["id"] for run in stranger.runs.list()]


def test_a_queued_run_is_cancelled_and_can_be_retried(client: Client, main: str, free: str) -> None:
    run_id = client.runs.submit(main, free, {})["id"]
    assert client.runs.cancel(run_id, reason="a mistake")["status"] == "cancelled"
    assert client.runs.cancel(run_id)["status"] == "cancelled"
    assert client.runs.retry(run_id, reason="after all")["status"] == "queued"
    with pytest.raises(Conflict):
        client.runs.refetch(run_id)
    with pytest.raises(Conflict):
        client.runs.check(run_id)
    history = list(client.runs.events(run_id))
    assert [event["seq"] for event in history] == sorted(event["seq"] for event in history)
    assert "a mistake" in json.dumps(history)
    assert list(client.runs.events(run_id, after=history[0]["seq"])) == history[1:]


def test_giving_a_run_up_needs_a_reason(http: httpx.Client, client: Client, main: str, free: str) -> None:
    run_id = client.runs.submit(main, free, {})["id"]
    answer = http.post(f"/api/v1/runs/{run_id}:abandon", json={})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "reason")


def test_a_finished_runs_files_come_byte_for_byte(
    served: Served, client: Client, http: httpx.Client, main: str, free: str, folder: Path
) -> None:
    run_id = client.runs.submit(main, free, {"sandbox": "files=2; filename='é \"x\".json'"})["id"]
    run = finish(served, client, run_id)
    assert run["status"] == "finished", run
    results = client.runs.results(run_id)
    assert len(results) == len(run["results"]) == 2
    for result in results:
        got = client.runs.download(run_id, result["n"], folder / "file", sha256=result["sha256"])
        content = (folder / "file").read_bytes()
        assert hashlib.sha256(content).hexdigest() == got["sha256"] == result["sha256"]
        assert len(content) == result["size_bytes"]
    assert [path.name for path in folder.iterdir()] == ["file"]
    answer = http.get(results[0]["url"])
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith('attachment; filename="')
    with pytest.raises(NotFound):
        client.runs.download(run_id, 99, folder / "none")
    assert [path.name for path in folder.iterdir()] == ["file"]


def _json() -> dict[str, str]:
    return {"Content-Type": "application/json"}
