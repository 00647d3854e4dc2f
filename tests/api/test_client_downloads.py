"""Downloads that stop in their middle: told, with nothing left under their name; and files that appear when whole."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.main import main as run_command
from orchestrator.client import Client, Interrupted, wire
from orchestrator.client.received import appearing
from tests.api.test_client_wire import Scripted, client, server

__all__ = ["client", "server"]

HALF = {"Content-Length": "100"}
STALLED = {**HALF, "Stalls": "yes"}

DOWNLOADS: dict[str, Callable[[Client, Path], Any]] = {
    "result": lambda client, to: client.runs.download("r", 0, to),
    "zip": lambda client, to: client.batches.results_zip("b", to),
    "table": lambda client, to: client.batches.table("b", to),
    "report": lambda client, to: client.reports.run("r", to),
}


@pytest.mark.parametrize("kind", DOWNLOADS)
@pytest.mark.parametrize(("how", "word"), [(STALLED, "nothing more came"), (HALF, "broke")], ids=["stalls", "breaks"])
def test_a_download_that_stops_in_its_middle_is_told_and_leaves_the_older_file(
    server: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, how: dict[str, str], word: str
) -> None:
    monkeypatch.setattr(wire, "STALL_S", 0.2)
    (tmp_path / "f").write_bytes(b"old")
    server.answers = [(200, how, b"half")]
    with Client(server.url, "t") as patient, pytest.raises(Interrupted, match=word) as stopped:
        DOWNLOADS[kind](patient, tmp_path / "f")
    assert stopped.value.code == "download_interrupted"
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("f", b"old")]


def test_before_its_first_byte_a_download_may_take_longer(
    server: Scripted, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "STALL_S", 0.05)
    server.pause_s = 0.5
    server.answers = [(200, {}, b"index\n")]
    assert client.batches.table("b", tmp_path / "f") == 6


def test_a_fetch_into_a_folder_that_stops_keeps_whole_files_and_says_to_go_on(
    server: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(wire, "STALL_S", 0.2)
    monkeypatch.setenv("ORCH_URL", server.url)
    monkeypatch.setenv("ORCH_TOKEN", "t")
    offered = [
        {"n": n, "filename": name, "size_bytes": 4, "sha256": hashlib.sha256(b"good").hexdigest()}
        for n, name in enumerate("ab")
    ]
    run = {"id": "r", "index": 0, "status": "finished", "results": offered}
    listed = {"data": [run], "pagination": {"next_cursor": None, "has_more": False}}
    server.answers = [(200, {}, json.dumps(one).encode()) for one in ({"id": "b", "total": 1}, listed)]
    server.answers += [(200, {}, b"good"), (200, STALLED, b"go")]
    assert run_command(["batch", "results", "b", "--to", str(tmp_path)]) == 6
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()] == ["0-r/a"]
    assert "Run it again" in capsys.readouterr().err


def test_a_name_as_long_as_a_name_may_be_is_written(server: Scripted, client: Client, tmp_path: Path) -> None:
    digest = hashlib.sha256(b"good").hexdigest()
    for name in ("x" * 255, "\u7d50" * 85, os.fsdecode(b"\xff" * 255)):
        server.answers = [(200, {}, b"good"), (200, {"ETag": f'"{digest}"'}, b"good")]
        client.runs.download("r", 0, tmp_path / name)
        client.reports.run("r", tmp_path / name)
        assert (tmp_path / name).read_bytes() == b"good"
    assert len(list(tmp_path.iterdir())) == 3


def test_a_file_has_its_name_once_its_bytes_are_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no room"), appearing(tmp_path / "f") as file:
        file.write(b"all of it")
    assert list(tmp_path.iterdir()) == []


def test_two_programs_that_write_one_file_do_not_share_what_is_not_whole(tmp_path: Path) -> None:
    elsewhere = tmp_path / f".f.{os.getpid() + 1}.part"
    elsewhere.write_bytes(b"theirs")
    with appearing(tmp_path / "f") as file:
        file.write(b"ours")
        assert not (tmp_path / "f").exists()
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"f": b"ours", elsewhere.name: b"theirs"}
