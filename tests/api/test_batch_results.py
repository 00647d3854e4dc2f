"""All results of a batch: one ZIP that tells of every file, and one table that no spreadsheet runs."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from orchestrator.bootstrap import build
from orchestrator.cli.main import main as run_command
from orchestrator.client import Client, NotFound, VerificationFailed
from orchestrator.client.received import received_zip
from orchestrator.engine import batch_walk, results_zip
from orchestrator.engine.who import Who
from tests.api.conftest import Served, finish

IS_FIRST = "n = 0 AND run_id = (SELECT id FROM runs WHERE batch_id = %s AND index = 0)"
WAITS_FOR_LABELS = "SELECT count(*) FROM pg_locks WHERE relation = 'labels'::regclass AND NOT granted"

ROWS: list[dict[str, Any]] = [
    {"n": 0, "id": "a", "note": "=1+1", "sandbox": "files=2; filename=../../etc/passwd"},
    {"n": 1, "id": "b", "note": "- 5", "deep": {"a": [1, 2.50]}},
    {"n": 2, "id": "c", "note": "plain", "sandbox": "outcome=error"},
    {"n": -3, "id": "d", "note": "@x", "sandbox": "size_bytes=400000; filename=noise.bin"},
    {"n": 4, "id": "e", "long": "x" * 20_000},
]


@pytest.fixture(scope="module")
def batch_id(served: Served, main: str, free: str) -> str:
    """A batch whose runs have ended, each in its own way."""
    lines = "\n".join(json.dumps(row) for row in ROWS).replace("2.5]", "2.50]").encode()
    with Client(served.url, served.token) as client:
        made = client.batches.submit(lines, "jsonl", connection=main, workflow_id=free, external_id_column="id")
        for run in client.batches.runs(str(made["id"])):
            finish(served, client, run["id"])
        return str(made["id"])


@pytest.fixture(autouse=True)
def pages_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of five is walked in three pages."""
    monkeypatch.setattr(batch_walk, "PAGE_RUNS", 2)


def fetched(http: httpx.Client, batch_id: str) -> tuple[zipfile.ZipFile, dict[str, Any]]:
    """Return the ZIP and its manifest."""
    answer = http.get(f"/api/v1/batches/{batch_id}/results.zip")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    assert answer.headers["content-disposition"] == f'attachment; filename="batch-{batch_id}.zip"'
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    return archive, json.loads(archive.read("manifest.json"))


def table(http: httpx.Client, batch_id: str, **query: str) -> list[dict[str, str]]:
    answer = http.get(f"/api/v1/batches/{batch_id}/results.csv", params=query)
    assert answer.status_code == 200
    return list(csv.DictReader(io.StringIO(answer.content.decode(), newline="")))


@pytest.fixture
def hidden(served: Served, client: Client, batch_id: str) -> Iterator[tuple[str, Path]]:
    """A run of the batch, whose file is away from the store for this test."""
    run = list(client.batches.runs(batch_id))[1]
    (file,) = (path for path in served.settings.data_dir.glob(f"artifacts/*/{run['id']}/*/*") if path.is_file())
    kept = file.read_bytes()
    yield run["id"], file
    file.write_bytes(kept)


def test_a_zip_holds_every_file_and_tells_its_sha256(http: httpx.Client, client: Client, batch_id: str) -> None:
    archive, manifest = fetched(http, batch_id)
    assert archive.testzip() is None
    assert (manifest["complete"], manifest["runs"], manifest["files_stored"]) == (True, 5, 5)
    assert (manifest["status"], manifest["counts"]) == ("finished_with_errors", {"finished": 4, "error": 1})
    listed = {entry["path"]: entry["sha256"] for entry in manifest["files"]}
    found = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
    assert found.pop("manifest.json")
    assert listed == found
    offered = [file["sha256"] for run in client.batches.runs(batch_id) for file in run["results"]]
    assert [listed[name] for name in archive.namelist()[:-2]] == offered, "in input order"


def test_a_name_from_outside_never_leaves_its_runs_folder(http: httpx.Client, client: Client, batch_id: str) -> None:
    archive, _ = fetched(http, batch_id)
    first = next(client.batches.runs(batch_id))["id"]
    assert archive.namelist()[:2] == [f"0-{first}/passwd", f"0-{first}/passwd (2)"]


def test_the_zip_and_the_folder_have_the_same_table_and_files(
    http: httpx.Client, served: Served, batch_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_URL", served.url)
    monkeypatch.setenv("ORCH_TOKEN", served.token)
    assert run_command(["batch", "results", batch_id, "--to", str(folder)]) == 0
    archive, _ = fetched(http, batch_id)
    inside = {name: archive.read(name) for name in archive.namelist() if name != "manifest.json"}
    stored = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert inside == stored


def test_the_same_files_give_the_same_zip(http: httpx.Client, batch_id: str) -> None:
    once, twice = (http.get(f"/api/v1/batches/{batch_id}/results.zip").content for _ in range(2))
    assert once == twice


def test_beyond_the_old_limits_the_zip_is_a_zip64(
    http: httpx.Client, batch_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    content = http.get(f"/api/v1/batches/{batch_id}/results.zip").content
    monkeypatch.undo()
    assert b"PK\x06\x06" in content, "the end of a ZIP64's directory"
    assert zipfile.ZipFile(io.BytesIO(content)).testzip() is None


@pytest.mark.parametrize(
    ("done", "code", "is_inside"),
    [
        (lambda file: file.unlink(), "artifact_missing", False),
        (lambda file: file.write_bytes(b"short"), "artifact_missing", False),
        (lambda file: file.write_bytes(b"x" * file.stat().st_size), "artifact_damaged", True),
    ],
)
def test_a_file_that_the_store_lost_or_damaged_is_told_of(
    http: httpx.Client, client: Client, batch_id: str, hidden: tuple[str, Path], folder: Path, done: Any, code: str,
    is_inside: bool,
) -> None:  # fmt: skip
    run_id, file = hidden
    done(file)
    archive, manifest = fetched(http, batch_id)
    assert (manifest["complete"], manifest["files_stored"], manifest["files_missing"]) == (False, 4, 1)
    (entry,) = (entry for entry in manifest["files"] if entry["error"])
    assert (entry["run_id"], entry["index"], entry["n"], entry["error"]["code"]) == (run_id, 1, 0, code)
    assert (entry["path"] in archive.namelist()) is is_inside
    rows = list(csv.DictReader(io.StringIO(archive.read("results.csv").decode())))
    assert (rows[1]["files"], rows[1]["paths"]) == ("1", "")
    made = client.batches.results_zip(batch_id, folder / "all.zip")
    assert [one["run_id"] for one in made["missing"]] == [run_id]
    said = json.loads(http.get(f"/api/v1/batches/{batch_id}/results.jsonl").text.splitlines()[1])
    assert (said["result"] is None, bool(said["left_out"])) == (True, True)


def test_a_file_that_is_stored_while_its_page_is_read_is_not_called_missing(
    http: httpx.Client, served: Served, batch_id: str
) -> None:
    """Between two statements of the reading a file is stored: the labels, which are read in between, are locked."""
    stored: list[tuple[zipfile.ZipFile, dict[str, Any]]] = []
    reader = threading.Thread(target=lambda: stored.append(fetched(http, batch_id)))
    url = served.settings.require_database_url().replace("+psycopg", "")
    with psycopg.connect(url) as worker, psycopg.connect(url, autocommit=True) as watcher:
        (was,) = worker.execute(f"SELECT stored_at FROM artifacts WHERE {IS_FIRST}", (batch_id,)).fetchone() or (None,)
        worker.execute(f"UPDATE artifacts SET stored_at = NULL WHERE {IS_FIRST}", (batch_id,))
        worker.commit()
        worker.execute("LOCK TABLE labels")
        reader.start()
        while watcher.execute(WAITS_FOR_LABELS).fetchone() == (0,):
            assert reader.is_alive()
        worker.execute(f"UPDATE artifacts SET stored_at = %s WHERE {IS_FIRST}", (was, batch_id))
        worker.commit()
    reader.join(30)
    ((archive, manifest),) = stored
    assert [entry for entry in manifest["files"] if entry["error"]] == []
    assert (manifest["complete"], manifest["files_missing"]) == (True, 0)
    assert len(archive.namelist()) == manifest["files_stored"] + 2


def test_whoever_stops_reading_keeps_no_connection_to_the_database(served: Served, batch_id: str) -> None:
    async def read_a_little() -> int:
        async with build(served.settings, program="test") as deps:
            who = Who(workspace_id=served.workspace, actor="test", scopes=frozenset({"read"}))
            pieces = results_zip.stream(deps, who, UUID(batch_id))
            assert await anext(pieces)
            held: int = deps.db._engine.pool.checkedout()  # type: ignore[attr-defined]
            await pieces.aclose()
            return held

    assert asyncio.run(read_a_little()) == 0


def test_a_zip_that_was_cut_off_gets_no_name(http: httpx.Client, batch_id: str, folder: Path) -> None:
    content = http.get(f"/api/v1/batches/{batch_id}/results.zip").content
    with pytest.raises(VerificationFailed):
        received_zip([content[:-40]], folder / "all.zip")
    assert list(folder.iterdir()) == []


def test_a_table_has_a_row_for_each_run_with_its_input_and_result(http: httpx.Client, batch_id: str) -> None:
    rows = table(http, batch_id)
    assert [(row["index"], row["external_id"], row["status"], row["files"]) for row in rows] == [
        ("0", "a", "finished", "2"),
        ("1", "b", "finished", "1"),
        ("2", "c", "error", "0"),
        ("3", "d", "finished", "1"),
        ("4", "e", "finished", "1"),
    ]
    assert [row["attempts"] for row in rows] == ["1"] * 5
    assert rows[2]["error_code"]
    assert rows[1]["input.deep"] == '{"a":[1,2.50]}', "numbers keep their spelling"
    assert any(name.startswith("result.") and rows[1][name] for name in rows[1])
    assert rows[0]["left_out"] == "2 result files"
    assert rows[3]["left_out"] == "the result has 400000 bytes"
    assert rows[4]["left_out"].startswith("the input has 20"), "long inputs stay out, and the row says so"
    assert rows[4]["input.n"] == ""


def test_a_cell_is_text_to_a_spreadsheet_unless_it_is_asked_for_raw(http: httpx.Client, batch_id: str) -> None:
    safe, raw = table(http, batch_id), table(http, batch_id, raw="true")
    assert [row["input.note"] for row in safe] == ["'=1+1", "'- 5", "plain", "'@x", ""]
    assert [row["input.note"] for row in raw] == ["=1+1", "- 5", "plain", "@x", ""]
    assert safe[3]["input.n"] == "-3", "a number is no formula"


def test_lines_hold_inputs_and_results_as_they_came(http: httpx.Client, client: Client, batch_id: str) -> None:
    answer = http.get(f"/api/v1/batches/{batch_id}/results.jsonl")
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = answer.text.splitlines()
    assert [json.loads(line)["run_id"] for line in lines] == [run["id"] for run in client.batches.runs(batch_id)]
    assert '"deep": {"a": [1, 2.50]}' in lines[1]
    assert json.loads(lines[1])["result"]


def test_another_workspaces_batch_and_unknown_words_are_refused(
    http: httpx.Client, stranger: Client, batch_id: str, folder: Path
) -> None:
    for ask in (stranger.batches.results_zip, stranger.batches.table):
        with pytest.raises(NotFound):
            ask(batch_id, folder / "x")
    assert list(folder.iterdir()) == []
    for path in ("results.csv?raw=yes", "results.jsonl?raw=true", "results.zip?x=1"):
        assert http.get(f"/api/v1/batches/{batch_id}/{path}").status_code == 422


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 2),
        (("--to", "d", "--zip", "z"), 2),
        (("--zip", "z", "--raw"), 2),
        (("--zip", "z", "-o", "wrong"), 2),
        (("--table", "csv", "-o", "t.csv"), 0),
        (("--table", "jsonl", "-o", "t.jsonl"), 0),
        (("--zip", "all.zip", "-o", "json"), 0),
    ],
)
def test_the_command_takes_one_form_and_a_file(
    served: Served, batch_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...], code: int,
) -> None:  # fmt: skip
    monkeypatch.setenv("ORCH_URL", served.url)
    monkeypatch.setenv("ORCH_TOKEN", served.token)
    monkeypatch.chdir(folder)
    assert run_command(["batch", "results", batch_id, *arguments]) == code
    assert len(list(folder.iterdir())) == (1 if code == 0 else 0)
    if "all.zip" in arguments:
        said = json.loads(capsys.readouterr().out)
        assert (said["file"], said["files"], said["missing"]) == ("all.zip", 5, [])
