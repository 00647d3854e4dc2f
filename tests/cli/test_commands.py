"""The commands against the running product: real API, real workers, a sandbox behind them."""

from __future__ import annotations

import csv
import hashlib
import json
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, Product

SCORE = "Score customer"
APPROVE = "Approve invoice"


def test_a_connection_is_added_with_its_key_from_stdin_and_never_shows_it(cli: Cli, product: Product) -> None:
    added = cli(
        *("connection", "add", "second", "--provider", "script", "--base-url", product.sandbox.api_url),
        *("--api-key-stdin", "-o", "json"),
        stdin=f"{product.sandbox.key}\n".encode(),
    )
    assert added.code == 0 and added.json["name"] == "second"
    listed = cli("connection", "list")
    assert "second\tscript" in listed.out
    assert product.sandbox.key not in added.out + added.err + listed.out + cli("connection", "show", "second").out
    tested = cli("connection", "test", "second", "-o", "json")
    assert tested.code == 0 and SCORE in [one["name"] for one in tested.json["workflows"]]
    assert cli("connection", "remove", "second").code == 0
    assert cli("connection", "show", "second").code == 4


def test_what_other_programs_start_is_watched(cli: Cli, product: Product) -> None:
    cli(
        *("connection", "add", "jobs", "--provider", "scripe", "--base-url", product.sandbox.scripe_url),
        *("--api-key-stdin", "-o", "json"),
        stdin=f"{product.sandbox.scripe_key}\n".encode(),
    )
    job = product.sandbox.add_job("KB_INGEST_TEXT")
    watched = cli("connection", "watch", "jobs", "--since", "1h", "--type", "KB_INGEST_TEXT", "-o", "json")
    assert watched.code == 0 and watched.json["watch"]["is_on"]
    until = time.monotonic() + 20
    found: list[dict[str, object]] = []
    while not found and time.monotonic() < until:
        found = cli("run", "list", "--connection", "jobs", "--status", "finished", "-o", "json").json
    assert [(run["origin"], run["execution_id"]) for run in found] == [("observed", job)]
    assert cli("connection", "watch", "jobs", "--stop", "--type", "X").code == 2
    assert not cli("connection", "watch", "jobs", "--stop", "-o", "json").json["watch"]["is_on"]
    assert cli("connection", "watch", "main").code == 5
    assert cli("run", "retry", str(found[0]["id"])).code == 5


def test_a_key_is_not_taken_from_arguments(cli: Cli) -> None:
    said = cli("connection", "add", "x", "--provider", "script", "--base-url", "http://127.0.0.1:1/api/v1")
    assert said.code == 2 and "--api-key-stdin" in said.err


def test_a_run_is_submitted_typed_awaited_and_its_results_are_fetched_and_verified(
    cli: Cli, product: Product, tmp_path: Path
) -> None:
    workflow = product.sandbox.workflows[SCORE]
    said = cli(
        *("run", "submit", workflow, "--connection", "main", "-i", "customer_id=007", "-i", "amount=1.50"),
        *("-i", "active=true", "--label", "env=test", "--wait", "--timeout", "30", "-o", "json"),
    )
    assert said.code == 0, said.err
    run = said.json
    assert run["status"] == "finished" and run["labels"] == {"env": "test"}
    truth = {one["id"]: one for one in product.sandbox.truth()["executions"]}[run["execution_id"]]
    assert truth["input"] == {"customer_id": "007", "amount": 1.5, "active": True}

    assert cli("run", "results", run["id"], "--to", tmp_path / "r").code == 0
    stored = list((tmp_path / "r" / run["id"]).iterdir())
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in stored] == [
        file["sha256"] for file in truth["files"]
    ]
    events = cli("run", "events", run["id"], "-o", "jsonl")
    assert events.code == 0 and [json.loads(line)["seq"] for line in events.out.splitlines()][:2] == [1, 2]


def test_a_result_that_was_changed_in_the_store_is_exit_code_8_and_is_not_kept(
    cli: Cli, product: Product, tmp_path: Path
) -> None:
    run = product.client.runs.submit("main", product.sandbox.workflows["Free form"], {"note": "to be spoilt"})
    assert cli("run", "wait", run["id"], "--timeout", "30").code == 0
    offered = product.client.runs.results(run["id"])[0]
    spoilt = 0
    for path in (product.folder / "artifacts").rglob("*"):
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == offered["sha256"]:
            path.chmod(0o600)
            path.write_bytes(bytes(path.stat().st_size))
            spoilt += 1
    assert spoilt == 1
    said = cli("run", "results", run["id"], "--to", tmp_path / "r")
    assert said.code == 8 and "SHA-256" in said.err
    assert list((tmp_path / "r" / run["id"]).iterdir()) == []


def test_a_run_that_ends_in_error_is_exit_code_1(cli: Cli, product: Product) -> None:
    workflow = product.sandbox.workflows["Free form"]
    said = cli(
        *("run", "submit", workflow, "--connection", "main", "-f", "-", "--wait", "--timeout", "30"),
        stdin=b'{"sandbox": "outcome=error"}',
    )
    assert said.code == 1


def test_a_run_that_waits_for_a_person_is_exit_code_9_and_stands_in_the_inbox(cli: Cli, product: Product) -> None:
    workflow = product.sandbox.workflows[APPROVE]
    run = cli("run", "submit", workflow, "--connection", "main", "-i", "invoice=9", "-o", "json").json
    assert cli("run", "wait", run["id"], "--timeout", "30").code == 9
    item = next(one for one in cli("inbox", "list", "-o", "json").json if one["run_id"] == run["id"])
    assert cli("inbox", "show", item["id"]).code == 0
    product.sandbox.approve(cli("run", "get", run["id"], "-o", "json").json["execution_id"])
    assert cli("run", "check", run["id"]).code == 0
    assert cli("run", "watch", run["id"], "--timeout", "30").code == 0


def test_a_wait_that_is_over_too_early_is_exit_code_7_and_the_work_goes_on(cli: Cli, product: Product) -> None:
    run = product.client.runs.submit(
        "main", product.sandbox.workflows["Free form"], {"sandbox": "duration_s=3600", "n": 7}
    )
    said = cli("run", "wait", run["id"], "--timeout", "0.2")
    assert said.code == 7 and "goes on" in said.err
    assert cli("run", "abandon", run["id"]).code == 2
    assert cli("run", "cancel", "0195a000-0000-7000-8000-000000000000").code == 4


def test_bad_rows_are_shown_with_their_place_and_nothing_is_stored(cli: Cli, product: Product, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("customer_id,amount\nA,1\nB,much\nC,2\nD,more\n")
    before = len(cli("batch", "list", "-o", "json").json)
    arguments = ("batch", "submit", path, "--workflow", product.sandbox.workflows[SCORE], "--connection", "main")
    said = cli(*arguments)
    assert said.code == 2 and not said.out
    assert "row 2, line 3, amount" in said.err and "row 4, line 5, amount" in said.err
    problem = cli(*arguments, "-o", "json").problem
    assert [(place["row"], place["line"], place["field"]) for place in problem["errors"]] == [
        (2, 3, "amount"),
        (4, 5, "amount"),
    ]
    assert len(cli("batch", "list", "-o", "json").json) == before


def test_skip_invalid_stores_the_good_rows_and_writes_the_bad_ones_beside_the_file(
    cli: Cli, product: Product, tmp_path: Path
) -> None:
    path = tmp_path / "some.csv"
    path.write_text("customer_id,amount\nskip-A,1\nskip-B,much\n")
    said = cli(
        *("batch", "submit", path, "--workflow", product.sandbox.workflows[SCORE], "--connection", "main"),
        *("--skip-invalid", "-o", "json"),
    )
    assert said.code == 0, said.err
    assert said.json["total"] == 1
    assert "skip-B,much" in (tmp_path / "some.csv.refused.csv").read_text()


def test_a_dry_run_prints_the_plan_and_stores_nothing(cli: Cli, product: Product) -> None:
    before = len(cli("batch", "list", "-o", "json").json)
    said = cli(
        *("batch", "submit", "-", "--workflow", product.sandbox.workflows[SCORE], "--connection", "main"),
        *("--dry-run", "-o", "json"),
        stdin=b'[{"customer_id": "dry"}]',
    )
    assert said.code == 0, said.err
    assert said.json["plan"] and said.json.get("id") is None
    assert len(cli("batch", "list", "-o", "json").json) == before


def test_a_batch_is_watched_to_its_end_and_its_results_are_fetched_twice_but_stored_once(
    cli: Cli, product: Product, tmp_path: Path
) -> None:
    rows = [{"customer_id": f"w-{n}", "sandbox": "outcome=error" if n == 1 else "files=2"} for n in range(4)]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    said = cli(
        *("batch", "submit", path, "--workflow", product.sandbox.workflows[SCORE], "--connection", "main"),
        *("--watch", "-o", "jsonl"),
    )
    looks = [json.loads(line) for line in said.out.splitlines()]
    assert said.code == 1 and looks[-1]["status"] == "finished_with_errors"
    batch = looks[-1]["id"]

    to = tmp_path / "results"
    first = cli("batch", "results", batch, "--to", to, "-o", "json")
    assert first.code == 0 and (first.json["files"], first.json["kept"]) == (6, 0)
    sorted(to.glob("2-*/*"))[0].unlink()
    again = cli("batch", "results", batch, "--to", to, "-o", "json")
    assert (again.json["files"], again.json["kept"]) == (6, 5)
    table = list(csv.DictReader((to / "results.csv").open()))
    assert [(row["index"], row["status"], row["files"]) for row in table] == [
        ("0", "finished", "2"),
        ("1", "error", "0"),
        ("2", "finished", "2"),
        ("3", "finished", "2"),
    ]
    assert len({path.name for path in (to / f"0-{table[0]['run_id']}").iterdir()}) == 2
    listed = cli("run", "list", "--batch", batch, "--status", "error", "-o", "json").json
    assert [run["index"] for run in listed] == [1]
    assert len(cli("run", "list", "--batch", batch, "--limit", "3", "-o", "jsonl").out.splitlines()) == 3


def test_a_revoked_token_is_an_auth_error(cli: Cli, product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    created = cli("token", "create", "ci", "--scope", "read", "--scope", "admin", "-o", "json").json
    monkeypatch.setenv("ORCH_TOKEN", created["secret"])
    assert any(one["id"] == created["id"] for one in cli("token", "list", "-o", "json").json)
    assert cli("token", "revoke", created["id"]).code == 0
    said = cli("token", "list", "-o", "json")
    assert said.code == 3 and said.problem["code"] == "unauthorized"


def test_workflows_are_shown_and_set(cli: Cli, product: Product) -> None:
    workflow = product.sandbox.workflows["Send welcome email"]
    assert "Send welcome email" in cli("workflow", "list", "--connection", "main").out
    changed = cli(
        *("workflow", "set", workflow, "--connection", "main", "--on-doubt", "fail"),
        *("--poll", "initial=3,factor=2,cap=30,jitter=0.1", "-o", "json"),
    )
    assert changed.code == 0 and changed.json["on_doubt"] == "fail"
    assert cli("workflow", "show", workflow, "--connection", "main", "-o", "json").json["on_doubt"] == "fail"
    assert cli("workflow", "set", workflow, "--connection", "main", "--on-doubt", "guess").code == 2


def test_a_doubt_takes_exactly_one_answer(cli: Cli) -> None:
    doubt = "0195a000-0000-7000-8000-000000000000"
    assert cli("doubt", "list", "-o", "json").json == []
    assert cli("doubt", "resolve", doubt, "--reason", "x").code == 2
    assert cli("doubt", "resolve", doubt, "--reason", "x", "--relaunch", "--abandon").code == 2
    assert cli("doubt", "resolve", doubt, "--reason", "x", "--relaunch").code == 4
