"""`orchestrator audit`: an export that proves itself, and what a changed history says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from orchestrator.embedded.postgres import EmbeddedPostgres
from tests.cli.conftest import Cli, Product
from tests.house.source import ROOT

VERIFIER = ROOT / "tools" / "verify_audit.py"


@pytest.fixture
def here(product: Product, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A shell at the machine of the product, in an empty folder."""
    monkeypatch.setenv("ORCH_DATA_DIR", str(product.folder))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def alone(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the stand-alone verifier as an auditor does: elsewhere, with nothing of the product."""
    return subprocess.run(
        [sys.executable, "-I", str(VERIFIER), *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_an_export_is_verified_here_and_alone_with_the_key_and_the_anchors(
    cli: Cli, here: Path, product: Product
) -> None:
    made = cli("audit", "export", "--output", "json").json
    assert made["events"] > 0
    assert made["checkpoints"] > 0
    shown = cli("audit", "key", "--output", "json").json
    (anchors,) = (product.folder / "anchors").glob("*.jsonl")
    found = cli("audit", "verify", made["folder"], "--key", shown["public_key"], "--anchors", str(anchors))
    assert found.code == 0, found.out
    assert "Everything is as it was signed." in found.out
    by_itself = alone(here / made["folder"], "--key", shown["public_key"], "--anchors", anchors)
    assert by_itself.returncode == 0, by_itself.stdout
    assert cli("audit", "verify", "--output", "json").json["ok"] is True


def test_the_export_of_a_period_holds_what_moved_in_it(cli: Cli, here: Path) -> None:
    cli("audit", "export", "--to-dir", "all")
    made = cli("audit", "export", "--from", "1h", "--to-dir", "hour", "--output", "json").json
    assert made["events"] > 0
    assert cli("audit", "verify", "hour").code == 0
    nothing = cli("audit", "export", "--to", "2001-01-01", "--to-dir", "none", "--output", "json").json
    assert nothing["events"] == 0
    assert cli("audit", "verify", "none").code == 0
    assert alone("none").returncode == 0
    refused = cli("audit", "export", "--from", "2026-02-01", "--to", "2026-01-01", "--to-dir", "x")
    assert (refused.code, "ends before it begins" in refused.err) == (2, True)


def test_a_changed_export_is_told_with_its_place_and_exit_code_8(cli: Cli, here: Path) -> None:
    cli("audit", "export", "--to-dir", "out")
    events = here / "out" / "events.jsonl"
    lines = events.read_bytes().split(b"\n")
    event = json.loads(lines[0])
    event["actor"] = "token:innocent"
    lines[0] = json.dumps(event, sort_keys=True, separators=(",", ":")).encode()
    events.write_bytes(b"\n".join(lines))
    found = cli("audit", "verify", "out")
    assert found.code == 8
    assert f"stream {event['stream']}, event 1: does not match its hash" in found.out
    assert "can be trusted: checkpoint" in found.out
    assert cli("audit", "verify", "out", "--output", "json").code == 8


def test_a_folder_with_something_in_it_and_a_key_that_is_none_are_refused(cli: Cli, here: Path) -> None:
    (here / "full").mkdir()
    (here / "full" / "mine").write_text("keep")
    refused = cli("audit", "export", "--to-dir", "full")
    assert (refused.code, "is not empty" in refused.err) == (2, True)
    assert [path.name for path in (here / "full").iterdir()] == ["mine"]
    cli("audit", "export", "--to-dir", "out")
    wrong = cli("audit", "verify", "out", "--key", "nonsense")
    assert (wrong.code, "is no public key" in wrong.err) == (2, True)
    assert cli("audit", "verify", "nowhere").code == 2
    assert cli("audit", "verify", "out", "--anchors", "nowhere").code == 2
    (here / "empty").write_text("")
    assert cli("audit", "verify", "out", "--anchors", "empty").code == 8, "an empty file of anchors shows nothing"


def test_a_history_that_was_changed_in_the_database_is_told(cli: Cli, here: Path, product: Product) -> None:
    assert cli("audit", "export").code == 0, "everything is signed up to now"
    postgres = EmbeddedPostgres(product.folder)
    with psycopg.connect(postgres.superuser_libpq("orchestrator"), autocommit=True) as connection:
        partitions = [row[0] for row in connection.execute("SELECT inhrelid::regclass::text FROM pg_inherits"
                                                           " WHERE inhparent = 'events'::regclass")]  # fmt: skip
        for table in partitions:
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())
        found = connection.execute("SELECT stream, seq, actor FROM events ORDER BY stream, seq LIMIT 1").fetchone()
        assert found is not None
        change = "UPDATE events SET actor = %s WHERE stream = %s AND seq = %s"
        try:
            connection.execute(change, ("token:innocent", found[0], found[1]))
            told = cli("audit", "verify")
            assert told.code == 8
            assert f"stream {found[0]}" in told.out
        finally:
            connection.execute(change, (found[2], found[0], found[1]))
            for table in partitions:
                connection.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER no_change".encode())
                connection.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER no_truncate".encode())
    assert cli("audit", "verify").code == 0
