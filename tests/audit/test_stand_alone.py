"""`tools/verify_audit.py` is one file that needs Python alone, teaches, and answers by its exit code."""

from __future__ import annotations

import ast
import base64
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.audit.worlds import World, anchors_text, make_world, public, write
from tests.house.source import ROOT

TOOL = ROOT / "tools" / "verify_audit.py"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An export on disk, with its anchors and its key beside it, and the tool far from our code."""
    made = make_world(1)
    write(made.files(), tmp_path / "export")
    (tmp_path / "anchors.jsonl").write_bytes(anchors_text(made))
    (tmp_path / "key").write_bytes(base64.b64encode(public(made.key)) + b"\n")
    shutil.copy(TOOL, tmp_path / "tool.py")
    return made


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # -I and -S: no environment, no installed packages, not even the folder that it is called from.
    command = [sys.executable, "-I", "-S", "tool.py", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_it_imports_the_standard_library_alone() -> None:
    tree = ast.parse(TOOL.read_text())
    names = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names, "so that the next line can fail"
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names
    assert not {"socket", "urllib", "http", "subprocess"} & {name.split(".")[0] for name in names}


def test_a_sound_export_is_0_and_says_what_was_and_what_was_not_shown(world: World, tmp_path: Path) -> None:
    done = _run(tmp_path, "export", "--anchors", "anchors.jsonl", "--key", "key")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("SOUND\n")
    assert "anchors:          8 compared" in done.stdout
    alone = _run(tmp_path, "export")
    assert alone.returncode == 0
    assert "taken from the export itself, which proves only that it is of one piece" in alone.stdout
    assert "a cut-off end would not show" in alone.stdout


@pytest.mark.parametrize("form", ["base64", "file", "raw", "keys.json"])
def test_the_key_may_come_in_any_form(form: str, world: World, tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(public(world.key))
    forms = {"base64": base64.b64encode(public(world.key)).decode(), "file": "key", "raw": "raw"}
    assert _run(tmp_path, "export", "--key", forms.get(form, "export/keys.json")).returncode == 0


def test_another_key_than_the_trusted_one_is_8(world: World, tmp_path: Path) -> None:
    done = _run(tmp_path, "export", "--key", base64.b64encode(public(make_world(2).key)).decode())
    assert done.returncode == 8
    assert "NOT SOUND\nfirst bad place:  checkpoint 1" in done.stdout
    assert "can be trusted:   nothing" in done.stdout


def test_a_tampered_export_is_8(world: World, tmp_path: Path) -> None:
    events = tmp_path / "export" / "events.jsonl"
    events.write_bytes(events.read_bytes().replace(b"looked", b"lookad", 1))
    done = _run(tmp_path, "export")
    assert done.returncode == 8
    assert "does not match its hash" in done.stdout


def test_a_pipe_or_a_folder_in_a_files_place_does_not_keep_it_waiting(world: World, tmp_path: Path) -> None:
    for make in (os.mkfifo, os.mkdir):
        events = tmp_path / "export" / "events.jsonl"
        events.unlink()
        make(events)
        assert _run(tmp_path, "export").returncode == 8
        if make is os.mkfifo:
            continue
        events.rmdir()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nowhere"],
        ["key"],
        ["export", "--key", "nowhere"],
        ["export", "--key", "export"],
        ["export", "--key", "export/events.jsonl"],
        ["export", "--key", "A" * 5000],
        ["export", "--anchors", "nowhere"],
        ["export", "--frobnicate"],
    ],
    ids=str,
)
def test_a_command_line_without_sense_is_2(arguments: list[str], world: World, tmp_path: Path) -> None:
    done = _run(tmp_path, *arguments)
    assert done.returncode == 2
    assert done.stderr


def test_anchors_without_an_anchor_show_nothing_and_are_refused(world: World, tmp_path: Path) -> None:
    (tmp_path / "anchors.jsonl").write_bytes(b"")
    assert _run(tmp_path, "export", "--anchors", "anchors.jsonl").returncode == 8


def test_the_help_teaches(tmp_path: Path) -> None:
    shutil.copy(TOOL, tmp_path / "tool.py")
    said = _run(tmp_path, "--help").stdout
    for word in ("--key", "--anchors", "exit code 8", "what you need for what", "examples"):
        assert word in said
