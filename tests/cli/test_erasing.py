"""`run erase` and `batch erase`: asked about, told in full, and what the other commands say of it afterwards."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import erasing
from tests.cli.conftest import Cli, Product

WHY = ("--reason", "request 17")


@pytest.fixture
def batch(cli: Cli, product: Product, tmp_path: Path) -> Any:
    """A batch of two finished runs."""
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"n": n, "of": tmp_path.name}) for n in range(2)))
    workflow = product.sandbox.workflows["Free form"]
    arguments = ("--workflow", workflow, "--connection", "main", "--name", "Ada's rows", "-o", "json")
    made = cli("batch", "submit", path, *arguments)
    assert made.code == 0, made.err
    assert cli("batch", "wait", made.json["id"], "--timeout", "60").code == 0
    return made.json


@pytest.fixture
def run_id(cli: Cli, batch: Any) -> str:
    return str(cli("run", "list", "--batch", batch["id"], "-o", "json").json[0]["id"])


def test_without_a_terminal_it_is_not_done_unless_that_is_said(cli: Cli, run_id: str) -> None:
    said = cli("run", "erase", run_id, *WHY)
    assert said.code == 2
    assert "--yes" in said.err
    assert cli("run", "erase", run_id, "--yes").code == 2, "a reason is needed"
    assert cli("run", "erase", run_id, *WHY, "-o", "json").problem["code"] == "not_confirmed"
    assert cli("run", "get", run_id, "-o", "json").json["erased_at"] is None


def test_a_person_is_shown_what_goes_and_asked(cli: Cli, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "_can_ask", lambda: True)
    no = cli("run", "erase", run_id, *WHY, stdin=b"n\n")
    assert no.code == 130
    assert "results: 1 file," in no.err
    assert "Nothing was erased." in no.err
    assert cli("run", "get", run_id, "-o", "json").json["erased_at"] is None
    yes = cli("run", "erase", run_id, *WHY, stdin=b"y\n")
    assert yes.code == 0
    assert "Erased run" in yes.err
    assert "Not erased: what the provider keeps" in yes.err
    assert "name and external id of its batch stay" in yes.err
    again = cli("run", "erase", run_id, *WHY)
    assert again.code == 0
    assert "erased before" in again.err


def test_a_look_first_takes_nothing(cli: Cli, run_id: str) -> None:
    said = cli("run", "erase", run_id, *WHY, "--dry-run", "-o", "json")
    assert (said.code, said.json["dry_run"], said.json["files"]) == (0, True, 1)
    assert cli("run", "get", run_id, "-o", "json").json["erased_at"] is None


def test_results_and_reports_say_erased_instead_of_failing(cli: Cli, batch: Any, run_id: str, tmp_path: Path) -> None:
    assert cli("run", "erase", run_id, *WHY, "--yes").code == 0
    listed = cli("run", "results", run_id)
    assert (listed.code, "They were erased" in listed.err) == (0, True)
    fetched = cli("run", "results", run_id, "--to", tmp_path / "one")
    assert (fetched.code, "results of 1 run were erased" in fetched.err) == (0, True)
    whole = cli("batch", "results", batch["id"], "--to", tmp_path / "all", "-o", "json")
    assert (whole.code, whole.json["files"], whole.json["erased"]) == (0, 1, 1)
    rows = list(csv.DictReader((tmp_path / "all" / "results.csv").open()))
    assert [(row["files"], row["paths"] == "erased", bool(row["sha256"])) for row in rows] == [
        ("0", True, True),
        ("1", False, True),
    ]
    assert cli("report", "run", run_id, "--file", tmp_path / "run.html").code == 0
    assert "it was erased" in (tmp_path / "run.html").read_text()
    assert cli("report", "batch", batch["id"], "--file", tmp_path / "batch.html").code == 0


def test_a_batch_is_erased_whole_and_an_open_one_is_refused(cli: Cli, product: Product, batch: Any) -> None:
    said = cli("batch", "erase", batch["id"], *WHY, "--yes", "-o", "json")
    assert said.code == 0, said.err
    assert (said.json["kind"], said.json["runs"], said.json["files_left"]) == ("batch", 2, 0)
    assert cli("batch", "get", batch["id"], "-o", "json").json["name"] is None
    assert cli("batch", "retry-failed", batch["id"]).code == 5
    workflow = product.sandbox.workflows["Free form"]
    rows = b'[{"sandbox": "duration_s=3600", "erase": 1}]'
    open_ = cli("batch", "submit", "-", "--workflow", workflow, "--connection", "main", "-o", "json", stdin=rows)
    refused = cli("batch", "erase", open_.json["id"], *WHY, "--yes")
    assert refused.code == 5
    assert "1 of 1 in this batch has not ended" in refused.err
    assert f"orchestrator batch cancel {open_.json['id']}" in refused.err
    cli("batch", "cancel", open_.json["id"])
