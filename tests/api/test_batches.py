"""Batches over HTTP: every way in gives the same batch; a bad row is named by row, line and field."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.client import Client, Conflict, Invalid, NotFound

CSV = b"email,name\nann@example.com,Ann\nbob@example.com,\n"


def test_a_csv_file_becomes_runs_in_its_order(client: Client, main: str, strict: str, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(CSV)
    batch = client.batches.submit(file, "csv", connection=main, workflow_id=strict, name="people", max_failures="10%")
    assert (batch["created"], batch["dry_run"], batch["total"], batch["refused"]) == (True, False, 2, 0)
    assert (batch["status"], batch["name"], batch["refused_file"]) == ("accepted", "people", None)
    assert batch["plan"]
    batch_id = str(batch["id"])
    runs = list(client.batches.runs(batch_id))
    assert [(run["index"], run["status"]) for run in runs] == [(0, "queued"), (1, "queued")]
    assert client.batches.get(batch_id)["counts"]["queued"] == 2
    assert next(client.batches.list())["id"] == batch["id"]
    assert [run["id"] for run in client.runs.list(batch=batch_id)] == [run["id"] for run in runs]


def test_every_way_in_gives_the_same_runs(client: Client, http: httpx.Client, main: str, free: str) -> None:
    rows = [{"n": 1}, {"n": 2.50}]
    lines = "\n".join(map(json.dumps, rows)).encode()
    options: dict[str, Any] = {"connection": main, "workflow_id": free}
    ways = [
        client.batches.submit(lines, "jsonl", **options),
        client.batches.submit(io.BytesIO(json.dumps(rows).encode()), "json", **options),
        http.post(
            "/api/v1/batches",
            content=json.dumps({**options, "items": rows}),
            headers={"Content-Type": "application/json"},
        ).json(),
        http.post(
            "/api/v1/batches",
            params={**options, "format": "jsonl"},
            content=lines,
            headers={"Content-Type": "application/octet-stream"},
        ).json(),
    ]
    shas = [[run["input_sha256"] for run in client.batches.runs(str(batch["id"]))] for batch in ways]
    assert len(shas[0]) == 2
    assert all(found == shas[0] for found in shas)


def test_the_items_of_a_json_body_are_the_bytes_that_came(
    client: Client, http: httpx.Client, main: str, free: str
) -> None:
    odd = '[ {"a":0.10 , "items":[1]} ]'
    body = f'{{"items": {odd}, "connection": "{main}", "workflow_id": "{free}"}}'
    batch = http.post("/api/v1/batches", content=body.encode(), headers={"Content-Type": "application/json"}).json()
    alone = client.batches.submit(odd.encode(), "json", connection=main, workflow_id=free)
    first, second = (next(client.batches.runs(str(b["id"]))) for b in (batch, alone))
    assert first["input_sha256"] == second["input_sha256"]


def test_bad_rows_are_all_named_and_nothing_is_stored(client: Client, main: str, strict: str) -> None:
    before = len(list(client.batches.list()))
    with pytest.raises(Invalid) as refused:
        client.batches.submit(b"email,name\na@b.c,A\n,B\n,C\n", "csv", connection=main, workflow_id=strict)
    assert refused.value.code == "batch.invalid_rows"
    assert [(p["row"], p["line"], p["field"]) for p in refused.value.problems] == [(2, 3, "email"), (3, 4, "email")]
    assert len(list(client.batches.list())) == before


def test_skipped_rows_come_back_as_a_file_to_mend(client: Client, main: str, strict: str) -> None:
    rows = b'{"email": "a@b.c"}\n{"name": "nobody"}\n'
    batch = client.batches.submit(rows, "jsonl", connection=main, workflow_id=strict, skip_invalid=True)
    assert (batch["total"], batch["refused"]) == (1, 1)
    assert base64.b64decode(batch["refused_file"] or "") == b'{"name": "nobody"}\n'


def test_a_dry_run_stores_nothing(client: Client, main: str, strict: str) -> None:
    before = len(list(client.batches.list()))
    batch = client.batches.submit(CSV, "csv", connection=main, workflow_id=strict, dry_run=True)
    assert (batch["id"], batch["dry_run"], batch["created"], batch["total"]) == (None, True, False, 2)
    assert batch["plan"]["runs"] == 2
    assert len(list(client.batches.list())) == before


def test_the_same_file_is_taken_twice_with_a_warning_but_once_per_external_id(
    client: Client, main: str, free: str, unique: str
) -> None:
    rows = json.dumps({"of": unique}).encode()
    first = client.batches.submit(rows, "jsonl", connection=main, workflow_id=free, external_id=unique)
    assert (
        client.batches.submit(rows, "jsonl", connection=main, workflow_id=free, external_id=unique)["id"] == first["id"]
    )
    second = client.batches.submit(rows, "jsonl", connection=main, workflow_id=free)
    assert second["id"] != first["id"]
    assert str(first["id"]) in second["warnings"][0]
    with pytest.raises(Conflict):
        client.batches.submit(b"{}", "jsonl", connection=main, workflow_id=free, external_id=unique)


def test_a_batch_is_paused_resumed_cancelled_and_its_rest_retried(client: Client, main: str, free: str) -> None:
    batch_id = str(client.batches.submit(b"{}\n{}", "jsonl", connection=main, workflow_id=free)["id"])
    assert client.batches.pause(batch_id, reason="lunch")["status"] == "paused"
    assert client.batches.resume(batch_id)["status"] == "accepted"
    assert client.batches.cancel(batch_id)["status"] == "cancelled"
    assert client.batches.retry_failed(batch_id)["counts"]["queued"] == 2


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("workflow_id=w", "connection"),
        ("connection=main", "workflow_id"),
        ("connection=main&workflow_id=w&wave_size=0", "wave_size"),
        ("connection=main&workflow_id=w&dry_run=yes", "dry_run"),
        ("connection=main&workflow_id=w&concurrency=huge", "concurrency"),
        ("connection=main&workflow_id=w&format=xml", "format"),
        ("connection=main&workflow_id=w&speed=9", "speed"),
        ("connection=main&connection=main&workflow_id=w", "connection"),
    ],
)
def test_an_odd_option_is_named(http: httpx.Client, query: str, field: str) -> None:
    answer = http.post(f"/api/v1/batches?{query}", content=b"a\n1\n", headers={"Content-Type": "text/csv"})
    assert answer.status_code == 422, answer.text
    assert [place["field"] for place in answer.json()["errors"]] == [field]


def test_options_beside_a_json_object_are_refused(http: httpx.Client, main: str, free: str) -> None:
    body = {"connection": main, "workflow_id": free, "items": [{}]}
    answer = http.post("/api/v1/batches?dry_run=true", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "query.unknown")


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_of_another_type_is_refused_with_what_to_send(http: httpx.Client, content_type: str) -> None:
    for path in ("/api/v1/batches?connection=main&workflow_id=w", "/api/v1/runs", "/api/v1/tokens"):
        headers = {"Content-Type": content_type} if content_type else {}
        answer = http.post(path, content=b"a=1", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (415, "body.type")
        assert "application/json" in answer.json()["hint"]


def test_the_runs_of_no_batch_are_not_found(client: Client) -> None:
    with pytest.raises(NotFound):
        list(client.batches.runs("0198f000-0000-7000-8000-000000000000"))


def test_a_batch_of_nothing_and_of_too_much_are_refused(client: Client, main: str, free: str) -> None:
    with pytest.raises(Invalid) as nothing:
        client.batches.submit(b"[]", "json", connection=main, workflow_id=free)
    assert nothing.value.status == 422
    with pytest.raises(Invalid) as much:
        client.batches.submit(b"{}\n" * 10_001, "jsonl", connection=main, workflow_id=free)
    assert much.value.status == 413
