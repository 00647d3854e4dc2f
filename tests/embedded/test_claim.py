"""One data folder has one supervisor, and a dead one holds nothing."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from orchestrator.embedded.datadir import DataDir
from orchestrator.errors import Conflict
from tests.embedded.conftest import Python

CLAIM = """
import sys, time
from pathlib import Path
from orchestrator.embedded.datadir import DataDir
claim = DataDir(Path(sys.argv[1])).claim("test up")
"""
HOLD = "print('claimed', flush=True); time.sleep(60)"
#: What a careless library may do: a child that keeps every descriptor, and one that is a bare fork.
HOLD_WITH_CHILDREN = """
import os, subprocess
started = subprocess.Popen(["sleep", "60"], close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
forked = os.fork()
if forked == 0:
    time.sleep(60)
print(started.pid, forked, flush=True)
time.sleep(60)
"""


def test_a_second_claim_is_refused_and_names_the_first(tmp_path: Path, python: Python) -> None:
    first = python(CLAIM + HOLD, tmp_path)
    assert first.stdout is not None
    assert first.stdout.readline() == "claimed\n"
    with pytest.raises(Conflict) as caught:
        DataDir(tmp_path).claim()
    assert f"process {first.pid} (test up)" in caught.value.message
    assert "orchestrator down" in str(caught.value.hint)


def test_a_claim_ends_with_kill_9(tmp_path: Path, python: Python) -> None:
    first = python(CLAIM + HOLD, tmp_path)
    assert first.stdout is not None
    first.stdout.readline()
    holder = DataDir(tmp_path).holder()
    assert holder is not None
    assert (holder.pid, holder.command) == (first.pid, "test up")
    first.kill()
    first.wait()
    assert DataDir(tmp_path).holder() is None
    DataDir(tmp_path).claim().release()


def test_no_child_of_a_killed_supervisor_inherits_its_claim(tmp_path: Path, python: Python) -> None:
    first = python(CLAIM + HOLD_WITH_CHILDREN, tmp_path)
    assert first.stdout is not None
    children = [int(pid) for pid in first.stdout.readline().split()]
    try:
        first.kill()
        first.wait()
        for pid in children:
            os.kill(pid, 0)  # they live
        DataDir(tmp_path).claim().release()
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)


def test_a_claim_survives_a_fork_of_its_holder(tmp_path: Path) -> None:
    with DataDir(tmp_path).claim():
        forked = os.fork()
        if forked == 0:
            os._exit(0)
        os.waitpid(forked, 0)
        assert DataDir(tmp_path).holder() is not None


def test_a_released_folder_can_be_claimed_again(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    with data.claim(), pytest.raises(Conflict):
        DataDir(tmp_path).claim()
    assert data.holder() is None
    data.claim().release()


def test_asking_who_holds_a_folder_never_makes_a_claim_fail(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    data.create()
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            DataDir(tmp_path).holder()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(20):
            data.claim().release()
    finally:
        done.set()
        asking.join()
