"""Dry runs and mapped columns over HTTP and from the command line; and what a batch failed of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.cli.main import main as run_command
from orchestrator.client import Client, Conflict, Invalid
from tests.api.conftest import Served, finish

CSV = b"Mail,Who\nann@example.com,Ann\nbob@example.com,\n"
MAP = {"Mail": "email", "Who": "name"}


def test_a_good_dry_run_shows_the_columns_the_first_rows_and_the_plan(client: Client, main: str, strict: str) -> None:
    before = len(list(client.batches.list()))
    seen = client.batches.submit(CSV, "csv", connection=main, workflow_id=strict, map=MAP, dry_run=True)
    looked = seen["preview"]
    assert looked is not None
    assert (seen["total"], looked["rows"], looked["rows_bad"], looked["delimiter"]) == (2, 2, 0, ",")
    assert [(c["name"], c["field"], c["state"]) for c in looked["columns"]] == [
        ("Mail", "email", "matched"),
        ("Who", "name", "matched"),
    ]
    assert looked["sample"][0]["input"] == {"email": "ann@example.com", "name": "Ann"}
    assert seen["plan"]["finish_p50_s"] > 0
    assert len(list(client.batches.list())) == before


def test_a_refused_dry_run_shows_the_file_beside_what_is_wrong(client: Client, main: str, strict: str) -> None:
    options: dict[str, Any] = {"connection": main, "workflow_id": strict}
    with pytest.raises(Invalid) as refused:
        client.batches.submit(CSV, "csv", dry_run=True, **options)
    seen = refused.value.preview
    assert seen is not None
    assert [field["field"] for field in seen["absent"] if field["is_required"]] == ["email"]
    with pytest.raises(Invalid) as plain:
        client.batches.submit(CSV, "csv", **options)
    assert plain.value.preview is None
    assert plain.value.problems == refused.value.problems
    rows = b"email\na@b.c\n\x22\x22\n"
    bad = client.batches.submit(rows + b"d@e.f\n", "csv", dry_run=True, skip_invalid=True, **options)
    assert (bad["total"], bad["refused"], bad["preview"] and bad["preview"]["rows_bad"]) == (2, 1, 1)


def test_what_a_dry_run_showed_is_not_kept_for_its_repeats(
    http: httpx.Client, main: str, strict: str, unique: str
) -> None:
    query = {"connection": main, "workflow_id": strict, "dry_run": "true", "map": "Mail:email"}
    headers = {"Content-Type": "text/csv", "Idempotency-Key": unique}
    first, again = (http.post("/api/v1/batches", params=query, content=CSV, headers=headers) for _ in range(2))
    assert first.json()["preview"]["rows"] == 2
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json() | {"preview": None}


def test_a_mapped_file_is_stored_as_its_fields(client: Client, main: str, strict: str) -> None:
    mapped = client.batches.submit(CSV, "csv", connection=main, workflow_id=strict, map=MAP)
    plain = client.batches.submit(CSV.replace(b"Mail,Who", b"email,name"), "csv", connection=main, workflow_id=strict)
    shas = [[run["input_sha256"] for run in client.batches.runs(str(b["id"]))] for b in (mapped, plain)]
    assert shas[0] == shas[1]


def test_the_same_file_under_another_mapping_is_other_content(
    client: Client, main: str, free: str, unique: str
) -> None:
    options: dict[str, Any] = {"connection": main, "workflow_id": free, "external_id": unique}
    first = client.batches.submit(CSV, "csv", map={"Mail": "a"}, **options)
    again = client.batches.submit(CSV, "csv", map={"Mail": "a"}, **options)
    assert (again["id"], again["created"]) == (first["id"], False)
    for other in ({"Mail": "b"}, {}):
        with pytest.raises(Conflict):
            client.batches.submit(CSV, "csv", map=other, **options)


@pytest.mark.parametrize(
    ("pairs", "code"),
    [
        (["Mail"], "map.pair"),
        ([":email"], "map.pair"),
        (["Mail:email", "Mail:name"], "map.pair"),
        (["Mail:emial"], "csv.column_missing"),
    ],
)
def test_a_mapping_that_is_none_is_refused(
    http: httpx.Client, main: str, strict: str, pairs: list[str], code: str
) -> None:
    answer = http.post(
        "/api/v1/batches",
        params={"connection": main, "workflow_id": strict, "map": pairs},
        content=CSV,
        headers={"Content-Type": "text/csv"},
    )
    assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_the_command_maps_columns_and_shows_the_file(
    served: Served, main: str, strict: str, folder: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("ORCH_URL", served.url)
    monkeypatch.setenv("ORCH_TOKEN", served.token)
    (folder / "people.csv").write_bytes(CSV)
    command = ["batch", "submit", str(folder / "people.csv"), "--workflow", strict, "--connection", main, "--dry-run"]
    assert run_command([*command, "--map", "Mail=email", "--map", "Who="]) == 0
    said = capsys.readouterr().err
    assert "csv, utf-8, by comma, 2 rows" in said
    assert "Mail: email, string, required" in said
    assert "Who: left out" in said
    assert run_command(command) == 2
    assert "email: required, but no column fills it" in capsys.readouterr().err
    assert run_command([*command, "-o", "json"]) == 2
    assert json.loads(capsys.readouterr().err)["preview"]["rows"] == 2
    assert run_command([*command, "--map", "Mail=email", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["preview"]["rows"] == 2
    assert run_command([*command, "--map", "Mail"]) == 2


def test_a_batch_counts_what_its_runs_failed_of(served: Served, client: Client, main: str, free: str) -> None:
    rows = [{"n": n, "sandbox": "outcome=error"} for n in range(2)] + [{"n": 2}]
    made = client.batches.submit(json.dumps(rows).encode(), "json", connection=main, workflow_id=free)
    id = str(made["id"])
    assert client.batches.get(id)["failures"] == []
    runs = list(client.batches.runs(id))
    for run in runs:
        finish(served, client, run["id"])
    error = client.runs.get(runs[0]["id"])["error"]
    assert error is not None
    assert client.batches.get(id)["failures"] == [
        {"code": error["code"], "message": error["message"], "count": 2, "run_id": runs[0]["id"]}
    ]
    assert all(batch["failures"] is None for batch in client.batches.list())
