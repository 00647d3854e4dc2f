"""The places outside the database that show a restore: fresh, foreign, copied, several, damaged; and real workers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestrator.bootstrap import build
from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.engine import health, highwater, restore
from orchestrator.engine.deps import Deps
from orchestrator.errors import BadInput, Conflict, Misconfigured
from orchestrator.settings import Settings
from orchestrator.storage.migrate import migrate
from tests.guarantees.backups import ACTOR, LONG, Backups, Hands, executed_twice, launched
from tests.guarantees.site import Site

pytestmark = pytest.mark.anyio


async def test_a_fresh_install_and_a_restart_are_not_held(site: Site, hands: Hands, later: Deps) -> None:
    run = await site.run()
    await hands.work_until(run, "finished")
    assert await highwater.keep_mark(later)
    assert not (await restore.held(later))["held"]
    with pytest.raises(Conflict, match="not held"):
        await restore.release(later, actor=ACTOR, reason="nothing to do")


async def test_a_new_database_with_an_old_folder_is_held_in_clear_words(
    site: Site, hands: Hands, settings: Settings, postgres: EmbeddedPostgres
) -> None:
    run = await site.run(LONG)
    await hands.launch()
    postgres.create_database("begun_anew")
    try:
        url = postgres.dsn("begun_anew")
        migrate(url)
        anew = settings.model_copy(update={"database_url": SecretStr(url)})
        async with build(anew, program="anew") as deps:
            assert not await highwater.keep_mark(deps)
            held = await restore.held(deps)
            (reason,) = held["reasons"]
            assert reason["code"] == "foreign"
            assert "it is new, or another one" in reason["because"]
            assert [one["run_id"] for one in held["launches"]] == [str(run)]
            await restore.release(deps, actor=ACTOR, reason="started over")
            assert await highwater.keep_mark(deps)
    finally:
        postgres.drop_database("begun_anew")


async def test_a_folder_that_was_copied_back_with_its_database_is_held(
    site: Site, hands: Hands, settings: Settings, tmp_path: Path
) -> None:
    await site.run()
    await hands.launch()
    kept = settings.data_dir / "highwater" / "mark.json"
    told = json.loads(kept.read_text())
    told["written_at"] = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    kept.write_text(json.dumps(told))
    restored = tmp_path / "restored"
    shutil.copytree(settings.data_dir, restored)
    for folder, may_launch in ((settings.data_dir, True), (restored, False)):
        async with build(settings.model_copy(update={"data_dir": folder}), program="later") as deps:
            assert await highwater.keep_mark(deps) is may_launch
            assert [r["code"] for r in (await restore.held(deps))["reasons"]] == ([] if may_launch else ["copied"])


async def test_launches_stay_held_until_every_folder_that_knows_more_is_released(
    site: Site, hands: Hands, backup: Backups, settings: Settings, tmp_path: Path
) -> None:
    other = settings.model_copy(update={"data_dir": tmp_path / "other"})
    async with build(other, program="other") as deps:
        elsewhere = await Hands.of(site, deps)
        first, second = await site.run(LONG), await site.run(LONG)
        await deps.db.close()
        copy = await backup.take()
        await hands.launch()
        await highwater.keep_mark(deps)
        await deps.db.close()
        await backup.put_back(copy)
        for worker in (hands, elsewhere, hands, elsewhere):
            await worker.launch()
            await highwater.keep_mark(worker.deps)
        assert len((await restore.held(deps))["reasons"]) == 2
        newcomer = settings.model_copy(update={"data_dir": tmp_path / "newcomer"})
        async with build(newcomer, program="newcomer") as third:
            assert not await highwater.keep_mark(third), "whoever knows nothing must not move the mark past the others'"
        report = await restore.release(deps, actor=ACTOR, reason="here")
        assert (report["held"], report["adopted"]) == (True, 0)
        await elsewhere.launch()
        assert await site.statuses() == {"queued": 2}
        report = await restore.release(site.deps, actor=ACTOR, reason="there too")
        assert (report["held"], report["adopted"]) == (False, 2)
    assert {await site.status(first), await site.status(second)} == {"processing"}
    assert launched(site) == 2


async def test_a_damaged_mark_launches_nothing(site: Site, hands: Hands, settings: Settings, later: Deps) -> None:
    await hands.launch()
    (settings.data_dir / "highwater" / "mark.json").write_text('{"mark": ')
    await site.run()
    worker = await Hands.of(site, later)
    await worker.launch()
    assert launched(site) == 0
    assert "damaged" in (await health.readiness(later))["launches_held"]
    with pytest.raises(Misconfigured, match="damaged"):
        await restore.release(later, actor=ACTOR, reason="too early")
    (settings.data_dir / "highwater" / "mark.json").unlink()
    await restore.release(later, actor=ACTOR, reason="removed it")
    await worker.launch()
    await worker.launch()
    assert launched(site) == 1


async def test_a_release_needs_a_reason(site: Site) -> None:
    with pytest.raises(BadInput):
        await restore.release(site.deps, actor=ACTOR, reason=" ")


async def test_the_journal_holds_no_input_and_no_key(site: Site, hands: Hands, settings: Settings) -> None:
    await site.run("marker=do-not-write-me-down")
    await hands.launch()
    journal = "".join(path.read_text() for path in (settings.data_dir / "highwater").rglob("*.jsonl"))
    assert '"t":"launch"' in journal
    assert '"t":"answer"' in journal
    assert site.sandbox.key not in journal
    assert "marker" not in journal


def command(site: Site, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", *words],
        env={**os.environ, **site.environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_real_workers_launch_nothing_after_a_restore_until_the_command_releases(
    site: Site, backup: Backups
) -> None:
    started = [await site.run(LONG) for _ in range(3)]
    copy = await backup.take()
    worker = site.worker()
    for run in started:
        await site.until_status(run, "processing", limit_s=60)
    await backup.put_back(copy)
    waiting = await site.run()
    await site.until_said(worker, "launches are held")
    await site.until_beating(1)
    assert await site.statuses() == {"queued": 4}
    report = json.loads(command(site, "admin", "held", "-o", "json").stdout)
    assert {one["run_id"]: one["fate"] for one in report["launches"]} == {str(run): "adopt" for run in started}
    assert launched(site) == 3
    done = command(site, "admin", "release", "--reason", "restored on purpose")
    assert done.returncode == 0, done.stderr
    assert "launches go again" in done.stderr
    await site.until_status(waiting, "finished", limit_s=60)
    assert [await site.status(run) for run in started] == ["processing"] * 3
    assert launched(site) == 4
    assert executed_twice(site) == []
