"""Ten supervisors on one data folder at once: one runs, the others say why not and leave nothing behind."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.exits import Exit
from orchestrator.embedded.datadir import DataDir
from orchestrator.embedded.leftovers import leftovers
from orchestrator.embedded.postgres import EmbeddedPostgres
from tests.guarantees.nursery import Nursery

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder; whatever runs in it at the end is ended."""
    made = tmp_path / "data"
    yield made
    for left in leftovers(made):
        left.kill()
    EmbeddedPostgres(made).stop("immediate")


async def test_of_ten_supervisors_on_one_folder_exactly_one_runs(nursery: Nursery, folder: Path) -> None:
    environment = {"ORCH_DATA_DIR": str(folder), "ORCH_PORT": "0", "ORCH_WORKERS": "1", "ORCH_LOG_LEVEL": "warning"}
    started = [nursery.start(["up", "-o", "json"], environment, log=folder.parent / f"up-{n}.log") for n in range(10)]
    ends_at = time.monotonic() + 60
    while len(living := [child for child in started if child.poll() is None]) > 1 or '"url"' not in living[0].said():
        assert living and time.monotonic() < ends_at, [(child.code, child.said()[-500:]) for child in started]
        await asyncio.sleep(0.1)
    (winner,) = living
    holder = DataDir(folder).holder()
    assert holder is not None and holder.pid == winner.pid
    for refused in started:
        if refused is not winner:
            assert refused.code == Exit.REFUSED
            assert "data_dir_in_use" in refused.said() and "orchestrator down" in refused.said()
    winner.signal(signal.SIGTERM)
    assert winner.wait(limit_s=60) == 0
    assert DataDir(folder).holder() is None and not leftovers(folder)
