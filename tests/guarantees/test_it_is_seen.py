"""What is wrong is seen within a minute, in words: a store that takes nothing, a worker that died."""

from __future__ import annotations

import json
import os
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.engine import reading
from tests.guarantees.nursery import Child
from tests.guarantees.site import Site

pytestmark = pytest.mark.anyio

#: Within so long after it began a trouble stands in a worker's log, seconds.
SEEN_WITHIN_S = 60.0

LARGE = "duration_s=0.1; files=2; size_bytes=3000000"

Act = Callable[[Site, Child], None]


def fill(_: Site, worker: Child) -> None:
    """Let the worker write no file beyond 1 MB: what a full volume looks like to root and to everybody else."""
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))


def empty(_: Site, worker: Child) -> None:
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def unmount(site: Site, _: Child) -> None:
    folder = site.deps.settings.data_dir / "artifacts"
    folder.rename(folder.with_name("elsewhere"))


def mount(site: Site, _: Child) -> None:
    folder = site.deps.settings.data_dir / "artifacts"
    folder.with_name("elsewhere").rename(folder)


def forbid(site: Site, _: Child) -> None:
    for folder in (site.deps.settings.data_dir / "artifacts", site.deps.settings.data_dir / "artifacts" / ".parts"):
        folder.chmod(0o500)


def allow(site: Site, _: Child) -> None:
    for folder in (site.deps.settings.data_dir / "artifacts", site.deps.settings.data_dir / "artifacts" / ".parts"):
        folder.chmod(0o700)


def may_write_anywhere() -> bool:
    """Tell whether this account, as root mostly does, writes where it is forbidden."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o500)
        return os.access(folder, os.W_OK)


read_only = pytest.param(
    forbid, allow, "store_full", id="read-only", marks=pytest.mark.skipif(may_write_anywhere(), reason="root may write")
)


@pytest.mark.parametrize(
    ("hinder", "mend", "code"),
    [
        pytest.param(fill, empty, "store_full", id="full"),
        pytest.param(unmount, mount, "store_away", id="unmounted"),
        read_only,
    ],
)
async def test_while_the_store_takes_nothing_runs_wait_say_so_and_go_on_by_themselves(
    site: Site, hinder: Act, mend: Act, code: str
) -> None:
    worker = site.worker(ORCH_LOG_FORMAT="json")
    _, url = site.api()
    await site.until_beating(1)
    await site.until_answers(url)
    hinder(site, worker)
    runs = [await site.run(LARGE) for _ in range(3)]

    async def all_wait() -> bool:
        return [await why(site, run) for run in runs] == ["store"] * len(runs)

    async def is_told() -> bool:
        return any(line["level"] == "error" for line in told(worker, code))

    try:
        await site.until(all_wait)
        await site.until(is_told, limit_s=SEEN_WITHIN_S)
        view = await reading.get_run(site.deps, site.who, runs[0])
        assert "resumes by itself" in view["waiting_because"]["message"]
        assert view["results_expire_at"] is not None
        assert gauge(url, f'orch_downloads_waiting{{reason="{code}"}}') == 3
        assert 0 < gauge(url, "orch_first_result_lost_in_seconds") <= 3600
        assert await site.statuses() == {"downloading": 3}, "nothing else has become of them"
    finally:
        mend(site, worker)
    for run in runs:
        await site.until_status(run, "finished", limit_s=40)
    await site.all_is_well()
    assert len(told(worker, code)) == 1, "it was told once, not with every try"


async def test_a_killed_worker_is_told_of_by_the_other_and_stands_in_the_metrics(site: Site) -> None:
    victim, witness = site.worker(), site.worker(ORCH_LOG_FORMAT="json")
    _, url = site.api()
    await site.until_beating(2)
    await site.until_answers(url)
    victim.kill()

    async def is_told() -> bool:
        return bool(told(witness, "worker_dead"))

    async def is_counted() -> bool:
        return gauge(url, 'orch_workers{state="dead"}') == 1 and gauge(url, "orch_dead_workers_unrecovered") == 0

    await site.until(is_told, limit_s=SEEN_WITHIN_S)
    await site.until(is_counted)
    assert gauge(url, 'orch_workers{state="running"}') == 1
    assert 0 <= gauge(url, "orch_dead_worker_recovery_seconds") < 45
    assert gauge(url, "orch_sweep_age_seconds") < 30


async def test_that_no_worker_lives_is_told_by_the_api_and_by_its_readiness(site: Site) -> None:
    last = site.worker()
    api, url = site.api(ORCH_LOG_FORMAT="json")
    await site.until_beating(1)
    await site.until_answers(url)
    last.kill()

    async def is_told() -> bool:
        return bool(told(api, "no_workers"))

    await site.until(is_told, limit_s=SEEN_WITHIN_S)
    (line,) = told(api, "no_workers")
    assert line["level"] == "error"
    answer = httpx.get(f"{url}/readyz", trust_env=False, verify=False, timeout=10)
    assert answer.status_code == 503
    assert "no worker" in answer.json()["because"]


async def why(site: Site, run: Any) -> str | None:
    """Return the code of why a run waits."""
    reason = (await reading.get_run(site.deps, site.who, run))["waiting_because"]
    return None if reason is None else str(reason["code"])


def told(worker: Child, code: str) -> list[dict[str, Any]]:
    """Return what a worker has told under a code."""
    lines = [json.loads(line) for line in worker.said().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("code") == code]


def gauge(url: str, series: str) -> float:
    """Scrape one value, as Prometheus does."""
    text = httpx.get(f"{url}/metrics", trust_env=False, verify=False, timeout=10).text
    (value,) = [line.rpartition(" ")[2] for line in text.splitlines() if line.rpartition(" ")[0] == series]
    return float(value)
