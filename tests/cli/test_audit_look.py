"""`orchestrator audit list|chain|checkpoints|report`, `system`, `connection standing`: what the server tells."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from orchestrator import __version__
from orchestrator.embedded.postgres import EmbeddedPostgres
from tests.cli.conftest import Cli, Product


def test_what_people_did_is_listed_as_a_table_and_for_programs(cli: Cli, product: Product) -> None:
    product.client.connections.add(
        "listed", provider="script", base_url="https://a.example/v1", api_key="k", max_concurrent=3
    )
    product.client.connections.set("listed", max_concurrent=7, reason="more slots")
    product.client.connections.remove("listed", reason="done")
    table = cli("audit", "list", "--words", "listed")
    assert table.code == 0, table.err
    heads, removed, changed, added = table.out.splitlines()
    assert heads.split("\t") == ["seq", "at", "actor", "type", "target", "changed", "reason"]
    assert changed.endswith("connection_set\tconnection listed\tmax_concurrent: 3 → 7\tmore slots")
    assert "connection_removed" in removed and "connection_added" in added
    found = cli("audit", "list", "--type", "connection_set", "--words", "listed", "-o", "json").json
    assert found[0]["changed"] == [{"name": "max_concurrent", "was": 3, "now": 7}]
    lines = cli("audit", "list", "--about", "connection", "--since", "1h", "--limit", "2", "-o", "jsonl")
    assert [json.loads(line)["type"] for line in lines.out.splitlines()] == ["connection_removed", "connection_set"]
    assert cli("audit", "list", "--until", "2001-01-01", "-o", "json").json == []
    assert cli("audit", "list", "--about", "nonsense").code == 2


def test_a_report_is_known_again_by_its_file_and_a_changed_one_is_not(
    cli: Cli, product: Product, tmp_path: Path
) -> None:
    run = product.client.runs.submit("main", product.sandbox.workflows["Free form"], {"n": 1})
    file = tmp_path / "run.html"
    made = product.client.reports.run(run["id"], file)
    told = cli("audit", "report", file, "-o", "json").json
    assert (told["sha256"], told["target"]) == (made["sha256"], {"kind": "run", "id": run["id"]})
    assert cli("audit", "report", made["sha256"]).code == 0
    file.write_bytes(file.read_bytes() + b" ")
    refused = cli("audit", "report", file, "-o", "json")
    assert (refused.code, refused.problem["code"]) == (4, "report_not_found")
    assert cli("audit", "report", tmp_path / "nowhere").code == 2


def test_a_chain_that_does_not_link_up_is_exit_code_8(
    cli: Cli, product: Product, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("audit", "chain", "-o", "json").json["broken"] is None
    assert "link up" in cli("audit", "chain").err
    monkeypatch.setenv("ORCH_DATA_DIR", str(product.folder))
    monkeypatch.chdir(tmp_path)
    assert cli("audit", "export").code == 0, "everything is signed up to now"
    signed = cli("audit", "checkpoints", "--limit", "1", "-o", "json").json
    assert (len(signed), signed[0]["is_signed"]) == (1, True)
    postgres = EmbeddedPostgres(product.folder)
    with psycopg.connect(postgres.superuser_libpq("orchestrator"), autocommit=True) as connection:
        # A row of the workspace names another end than its history has.
        row = connection.execute("SELECT id, event_hash FROM workspaces").fetchone()
        assert row is not None
        connection.execute("UPDATE workspaces SET event_hash = sha256('other') WHERE id = %s", (row[0],))
        try:
            told = cli("audit", "chain")
            assert (told.code, "First bad place" in told.err) == (8, True)
        finally:
            connection.execute("UPDATE workspaces SET event_hash = %s WHERE id = %s", (row[1], row[0]))
    assert cli("audit", "chain").code == 0


def test_the_system_is_shown_to_people_and_to_programs(cli: Cli) -> None:
    told = cli("system", "-o", "json").json
    assert told["version"] == __version__
    assert [worker["state"] for worker in told["workers"]] == ["running"]
    shown = cli("system")
    assert shown.code == 0
    for words in ("Workers", "running", "looks at executions", "pgmq in the same Postgres"):
        assert words in shown.out


def test_a_connection_says_how_it_stands(cli: Cli) -> None:
    told = cli("connection", "standing", "main", "-o", "json").json
    assert told["limit"] == 6000
    assert len(told["hour"]) == 60
    shown = cli("connection", "standing", "main").out
    assert "ok\tWorks" in shown
    assert "6000 requests in any 60 s" in shown
    assert cli("connection", "standing", "nowhere").code == 4
