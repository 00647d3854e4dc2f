"""`up`, `down` and `doctor` as processes of their own, on a data folder of their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.embedded.datadir import DataDir
from orchestrator.embedded.leftovers import leftovers
from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.embedded.restarts import Restarts
from orchestrator.embedded.supervisor import WORKER_GRACE_S, Supervisor
from orchestrator.errors import Conflict
from orchestrator.settings import Settings

START_TIMEOUT_S = 90.0


class Machine:
    """A folder in which commands are run as a person would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        settings = {"ORCH_DATA_DIR": str(folder), "ORCH_PORT": "0", "ORCH_WORKERS": "1", "ORCH_LOG_LEVEL": "warning"}
        self._environment = {**os.environ, **settings}
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator.cli", *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def up(self) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        """Start it and return what it says when it is ready."""
        process = self.start("up", "-o", "json")
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        while lines[-1] not in ("}\n", ""):
            lines.append(process.stdout.readline())
        assert lines[-1], process.communicate()[1]
        return process, json.loads("".join(lines))

    def run(self, *arguments: str) -> tuple[int, str, str]:
        out, err = (process := self.start(*arguments)).communicate(timeout=START_TIMEOUT_S)
        return process.returncode, out, err

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=10)
        for left in leftovers(self.folder):
            left.kill()
        EmbeddedPostgres(self.folder).stop("immediate")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine = Machine(tmp_path_factory.mktemp("machine").resolve())
    yield machine
    machine.end()


def test_up_refuses_a_second_restarts_the_dead_and_leaves_only_postgres_when_it_is_killed(machine: Machine) -> None:
    first, ready = machine.up()
    code, _, err = machine.run("up", "-o", "json")
    assert (code, json.loads(err)["code"]) == (5, "data_dir_in_use")
    assert str(first.pid) in json.loads(err)["detail"]

    os.kill(ready["worker_pids"][0], signal.SIGKILL)
    until(lambda: len(children := of_worker(machine)) == 1 and children != ready["worker_pids"])

    postgres = EmbeddedPostgres(machine.folder)
    postmaster = postgres.pid
    first.kill()
    until(lambda: not leftovers(machine.folder), patience_s=WORKER_GRACE_S + 10)
    assert postgres.pid == postmaster is not None

    second, again = machine.up()
    assert again["url"] != ready["url"] and EmbeddedPostgres(machine.folder).pid == postmaster
    code, out, err = machine.run("doctor", "-o", "json")
    assert code == 0, out
    assert {check["check"]: check["level"] for check in json.loads(out)}["workers"] == "ok"
    assert (machine.folder / "client.json").stat().st_mode & 0o777 == 0o600

    assert machine.run("down")[0] == 0
    assert second.wait(timeout=60) == 0
    assert EmbeddedPostgres(machine.folder).pid is None and not leftovers(machine.folder)


def test_doctor_says_what_to_do_where_nothing_runs(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "none")
    code, out, _ = machine.run("doctor", "-o", "json")
    checks = {check["check"]: check for check in json.loads(out)}
    assert code == 1
    assert checks["supervisor"]["level"] == "fail" and checks["supervisor"]["do"] == "orchestrator up"
    assert not (tmp_path / "none").exists()
    assert machine.run("down")[0] == 0


def test_a_busy_port_is_refused_with_the_setting_to_change_and_nothing_is_left_running(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings.model_validate({"data_dir": tmp_path, "port": taken.getsockname()[1]})
        with pytest.raises(Conflict, match="taken") as refused:
            Supervisor(settings, say=lambda _line: None).start()
    assert refused.value.code == "port_in_use" and "ORCH_PORT" in (refused.value.hint or "")
    assert EmbeddedPostgres(tmp_path).pid is None and DataDir(tmp_path).holder() is None


def test_a_child_that_keeps_dying_is_started_ever_more_slowly_and_anew_after_a_good_minute() -> None:
    restarts = Restarts()
    assert [restarts.next_delay_s(lived_s=1.0) for _ in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]
    assert restarts.next_delay_s(lived_s=60.0) == 0


def of_worker(machine: Machine) -> list[int]:
    """Return the pids of the workers that run."""
    return [process.pid for process in leftovers(machine.folder) if "worker" in cmdline(process)]


def cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def until(is_so: Callable[[], bool], *, patience_s: float = 20.0) -> None:
    deadline = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)
