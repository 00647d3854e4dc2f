"""The show, as `make demo` runs it."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import psutil

from orchestrator.embedded.leftovers import leftovers
from orchestrator.embedded.postgres import EmbeddedPostgres


def test_the_demo_kills_its_workers_loses_nothing_launches_nothing_twice_and_leaves_nothing_running(
    tmp_path: Path,
) -> None:
    (tmp_path / ".orchestrator-demo").mkdir()
    (tmp_path / ".orchestrator-demo" / "old").write_text("of an earlier demo")
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "demo"],
        cwd=tmp_path,
        # Somebody's real server must not be touched by a demo.
        env={**os.environ, "ORCH_URL": "http://127.0.0.1:1", "ORCH_DATABASE_URL": "postgresql://127.0.0.1:1/x"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    assert "STAND-IN" in said
    assert "25 of 25 accounted for, 0 launched twice" in said
    killed = re.search(r"kill -9 (\d+) (\d+)", said)
    assert killed and "Work goes on" in said
    assert not any(psutil.pid_exists(int(pid)) for pid in killed.groups())

    folder = tmp_path / ".orchestrator-demo"
    assert not (folder / "old").exists()
    rows = list(csv.DictReader((folder / "results" / "results.csv").open()))
    assert [int(row["index"]) for row in rows] == list(range(25))
    assert [row["status"] for row in rows].count("finished") == 23
    assert len([path for path in (folder / "results").rglob("*/*") if path.is_file()]) == 23
    assert EmbeddedPostgres(folder).pid is None and not leftovers(folder)
