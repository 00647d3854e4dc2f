"""How the program starts, and what it says when the words were wrong."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from orchestrator import __version__
from tests.cli.conftest import Cli

HEAVY = ("fastapi", "sqlalchemy", "celery", "pydantic", "httpx", "rich", "psycopg")
COMMANDS = (
    "demo|up|down|doctor|version|config show|serve|worker|migrate"
    "|connection add list show standing test set rotate pause resume remove|workflow list show set"
    "|run submit list get events watch wait results cancel abandon retry refetch|doubt list resolve"
    "|batch submit list get watch wait pause resume cancel retry-failed results|inbox list show"
    "|token list create revoke|rehearse|explain|system|audit list chain checkpoints report export verify key"
)


def test_help_imports_nothing_heavy() -> None:
    for arguments in (
        ["--help"],
        ["batch", "submit", "--help"],
        ["up", "--help"],
        ["rehearse", "--help"],
        ["explain", "--help"],
    ):
        script = (
            "import sys; from orchestrator.cli.main import main; code = main(sys.argv[1:]); "
            f"sys.stderr.write(repr([m for m in {HEAVY} if m in sys.modules])); sys.exit(code)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=30, check=False
        )
        assert (done.returncode, done.stderr) == (0, "[]")


def test_every_command_of_the_contract_has_help(bare: Cli) -> None:
    for group in COMMANDS.split("|"):
        noun, *verbs = group.split()
        for path in [[noun, verb] for verb in verbs] or [[noun]]:
            said = bare(*path, "--help")
            assert said.code == 0 and "Usage: orchestrator" in said.out, path


def test_wrong_words_are_exit_code_2_and_say_where_help_is(bare: Cli) -> None:
    said = bare("batch", "submit", "x.csv")
    assert said.code == 2 and not said.out
    assert "Missing option '--workflow'" in said.err and "--help" in said.err


def test_a_program_gets_wrong_words_as_one_problem_object(bare: Cli) -> None:
    said = bare("batch", "submit", "x.csv", "-o", "json")
    assert said.code == 2 and not said.out
    assert said.problem["code"] == "usage"


def test_without_a_server_the_error_names_the_next_command(bare: Cli) -> None:
    said = bare("run", "list")
    assert said.code == 6 and not said.out
    assert "orchestrator up" in said.err


def test_a_server_without_a_token_is_an_auth_error(bare: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_URL", "http://127.0.0.1:1")
    assert bare("run", "list").code == 3


def test_the_version_is_the_packages(bare: Cli) -> None:
    assert bare("version").out.strip() == bare("--version").out.strip() == __version__
    assert bare("version", "-o", "json").json == bare("-o", "json", "version").json == {"version": __version__}


def test_settings_are_listed_with_their_origin_and_without_secrets(bare: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_DATABASE_URL", "postgresql://u:hunter2@h/d")
    said = bare("config", "show", "-o", "json")
    found = {one["name"]: one for one in said.json}
    assert found["ORCH_DATABASE_URL"]["origin"] == "environment" and found["ORCH_PORT"]["origin"] == "default"
    assert "hunter2" not in said.out


def test_a_setting_that_makes_no_sense_is_named(bare: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_PORT", "many")
    said = bare("config", "show", "-o", "json")
    assert said.code == 2 and "ORCH_PORT" in json.loads(said.err)["detail"]
