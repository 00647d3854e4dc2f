"""The parts by themselves, as in a cluster: a database that is named, a schema, a first token."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.embedded.postgres import EmbeddedPostgres
from tests.cli.conftest import Cli


def test_a_named_database_is_migrated_and_gives_a_first_token_without_any_api(
    bare: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    postgres = EmbeddedPostgres(tmp_path / "elsewhere", durable=False)
    postgres.start()
    try:
        monkeypatch.setenv("ORCH_DATABASE_URL", postgres.dsn())
        monkeypatch.setenv("ORCH_SECRET_KEY", "A" * 43 + "=")
        first = bare("migrate", "-o", "json")
        assert first.code == 0 and first.json["revision"] == first.json["needed"], first.err
        assert bare("migrate", "-o", "json").json == first.json
        created = bare("token", "create", "admin", "--local", "-o", "json")
        assert created.code == 0 and created.json["secret"].startswith("orch_"), created.err
        assert bare("token", "create", "odd", "--local", "--scope", "everything").code == 2
    finally:
        postgres.stop("immediate")


def test_a_database_that_is_away_is_said_so_and_is_exit_code_6(bare: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    said = bare("migrate")
    assert said.code == 6 and "database cannot be reached" in said.err


def test_without_a_database_the_parts_say_what_to_set(bare: Cli) -> None:
    said = bare("migrate")
    assert said.code == 2 and "ORCH_DATABASE_URL" in said.err
