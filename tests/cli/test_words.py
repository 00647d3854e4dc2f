"""What is printed, read from arguments, and made of files: no server needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import files, output
from orchestrator.cli.exits import Exit
from orchestrator.cli.follow import follow, standing_of_batch, standing_of_run
from orchestrator.cli.inputs import read_input
from orchestrator.cli.output import Format
from orchestrator.cli.times import since
from orchestrator.domain.result_files import folder_name, guarded
from orchestrator.errors import BadInput

SCHEMA = {"properties": {"n": {"type": "integer"}, "x": {"type": ["number", "null"]}, "on": {"type": "boolean"}}}


@pytest.fixture(autouse=True)
def table() -> None:
    output.choose(Format.TABLE)


def test_without_a_terminal_a_table_is_tab_separated_and_nothing_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    output.rows([{"id": "a" * 300, "error": {"code": "x"}}, {"id": "b"}], ["id", "error.code"])
    assert capsys.readouterr().out == f"id\terror_code\n{'a' * 300}\tx\nb\t\n"


def test_names_from_outside_cannot_steer_a_terminal_or_break_a_row() -> None:
    assert output.cell("a\x1b[2Jb\tc\nd\u202ee") == "a [2Jb c d e"


def test_json_is_the_whole_object_and_messages_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    output.choose(Format.JSON)
    output.say("for people")
    output.rows([{"id": "a", "new": 1}], ["id"])
    said = capsys.readouterr()
    assert json.loads(said.out) == [{"id": "a", "new": 1}] and said.err == ""


def test_values_take_the_type_of_the_schema_and_keep_their_spelling() -> None:
    found = read_input(["n=5", "x=1.50", "on=true", "name=007", 'deep:={"a": 1}'], None, schema=lambda: SCHEMA)
    assert found == b'{"n": 5, "x": 1.50, "on": true, "name": "007", "deep": {"a": 1}}'


def test_a_value_that_the_schema_does_not_take_is_refused_with_its_name() -> None:
    with pytest.raises(BadInput, match="n=12,50: expected integer"):
        read_input(["n=12,50"], None, schema=lambda: SCHEMA)


def test_a_file_alone_is_passed_on_byte_by_byte(tmp_path: Path) -> None:
    raw = b' {"b": 1.0,\n "a": 1e2}'
    (tmp_path / "x.json").write_bytes(raw)

    def never() -> Mapping[str, Any]:
        raise AssertionError("no schema is needed")

    assert read_input([], str(tmp_path / "x.json"), schema=never) == raw


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.CSV", b"", "csv"),
        ("a.ndjson", b"", "jsonl"),
        ("a.json", b"{}", "json"),
        ("-", b"\xef\xbb\xbf [1]", "json"),
        ("-", b'{"a": 1}\n', "jsonl"),
        ("data", b"a;b\n", "csv"),
    ],
)
def test_the_format_follows_the_name_then_the_content(name: str, data: bytes, expected: str) -> None:
    assert files.format_of(name, data) == expected


def test_a_span_counts_back_from_now_and_a_time_stands() -> None:
    now = datetime(2026, 1, 8, tzinfo=UTC)
    assert since("7d", now=now) == "2026-01-01T00:00:00Z"
    assert since("2026-01-01T02:00:00+02:00", now=now) == "2026-01-01T00:00:00Z"
    with pytest.raises(BadInput):
        since("yesterday", now=now)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_a_cell_is_never_a_formula(text: str) -> None:
    assert guarded(text) == f"'{text}"


def test_a_single_run_has_no_index_in_its_folder() -> None:
    assert folder_name({"id": "r", "index": None}) == "r"
    assert folder_name({"id": "r", "index": 0}) == "0-r"


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (["queued", "processing", "finished"], Exit.DONE),
        (["processing", "error"], Exit.FAILED),
        (["human_in_the_loop", "human_in_the_loop"], Exit.NEEDS_PERSON),
        (["in_doubt", "processing", "finished"], Exit.DONE),
        (["processing"] * 9, Exit.TIMED_OUT),
    ],
)
def test_the_exit_code_says_what_became_of_a_run(statuses: list[str], code: Exit) -> None:
    looks = iter([*statuses, *statuses[-1:] * 1000])
    _, found = follow(
        ["r"],
        look=lambda one: {"id": one, "status": next(looks)},
        standing=standing_of_run,
        on_look=lambda _run: None,
        timeout_s=0.2,
        every_s=0.001,
    )
    assert found is code


@pytest.mark.parametrize(
    ("status", "code"),
    [("finished", 0), ("finished_with_errors", 1), ("cancelled", 1), ("waiting", 9), ("paused", 9), ("running", 7)],
)
def test_the_exit_code_says_what_became_of_a_batch(status: str, code: int) -> None:
    _, found = follow(
        ["b"],
        look=lambda one: {"id": one, "status": status},
        standing=standing_of_batch,
        on_look=lambda _batch: None,
        timeout_s=0.05,
        every_s=0.001,
    )
    assert found == code


def test_one_of_a_thing_is_one() -> None:
    assert [output.counted(n, "run") for n in (0, 1, 2000)] == ["0 runs", "1 run", "2,000 runs"]
    assert output.counted(1, "launch is", "launches are") == "1 launch is"
    assert output.counted(2, "batch") == "2 batches"
