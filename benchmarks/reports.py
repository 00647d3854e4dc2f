"""Measure what a report of a long period takes, and what it takes from the workers: `python -m benchmarks.reports`.

A database gets `--runs` ended runs. Reports of all of them are made, one of each format, while nobody works. Then
workers carry a load that leaves them no rest, and windows take turns: a report being made beside; nothing beside; a
process that only keeps one core busy. A report is one query after the other, so it may cost what one busy core costs,
and no more. One JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
from pydantic import SecretStr

from benchmarks import report_history
from benchmarks.costs import OBSERVER
from benchmarks.load import WORKFLOW, Load
from benchmarks.product_run import prepare
from benchmarks.stage import CHECKOUT, LONGEST_RUN_S, LOOK_EVERY_S, Processes, Stage, Stuck
from orchestrator.bootstrap import build
from orchestrator.embedded.environment import child_environment
from orchestrator.engine import checkpoints, submit
from orchestrator.engine.deps import Deps
from orchestrator.engine.submit import BatchSpec
from orchestrator.engine.who import Who
from orchestrator.settings import Settings
from workers import broker

DATABASE = "reports"
FORMATS = ("html", "csv", "json")
#: What the windows make: the counting alone, which is the heaviest on the database; and a list of every run.
BESIDE = ("html", "csv")
#: A window is no shorter, seconds: the workers' work comes in bursts.
LEAST_WINDOW_S = 15.0
#: As in life: many lanes with few executions each. One lane with thousands measures how its workers queue for it.
CONNECTIONS, SLOTS = 16, 10
#: Executions a second that are expected at first; what is submitted for a window must outlast it.
FIRST_PER_S = 80.0
#: While a window lasts, more is submitted so often where the rest would not last, seconds.
TOP_UP_EVERY_S = 10.0


def main(argv: list[str] | None = None) -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reports", description=__doc__)
    parser.add_argument("--runs", type=int, default=200_000, help="ended runs (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="windows of each kind (default %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="worker processes (default %(default)s)")
    given = parser.parse_args(argv)
    if given.runs < 1 or given.rounds < 1 or given.workers < 1:
        parser.error("--runs, --rounds and --workers are at least 1")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with Stage(Load(workers=given.workers, connections=CONNECTIONS)) as stage:
        figures = measure(stage, runs=given.runs, rounds=given.rounds)
    print(json.dumps({"benchmark": "reports", **figures}), flush=True)
    return 0


def measure(stage: Stage, *, runs: int, rounds: int, least_window_s: float = LEAST_WINDOW_S) -> dict[str, Any]:
    """Return the figures."""
    stage.create_database(DATABASE)
    settings = Settings(
        database_url=SecretStr(stage.postgres.dsn(DATABASE)),
        data_dir=stage.folder / DATABASE,
        allow_private_networks=True,
        poll_min_interval_s=0.1,
        log_level="warning",
        workers=stage.load.workers,
    )
    broker.prepare(settings)
    with Processes(stage) as processes:
        return asyncio.run(_measure(stage, processes, settings, runs, rounds, least_window_s))


async def _measure(
    stage: Stage, processes: Processes, settings: Settings, runs: int, rounds: int, least_window_s: float
) -> dict[str, Any]:
    async with build(settings, program="bench") as deps:
        who = await prepare(deps, stage, slots=SLOTS)
        # What is made by SQL below is older than this, so that no worker signs a million streams meanwhile.
        await checkpoints.keep(deps, at_once=True)
        await asyncio.to_thread(report_history.fill, stage.postgres.superuser_libpq(DATABASE), runs)
        maker = Maker(settings, who.workspace_id)
        alone = {}
        for format_ in FORMATS:
            alone[format_] = await asyncio.to_thread(maker.make, format_)
            _say(f"{format_} of {runs:,} runs while nobody works: {alone[format_]}")
        environment = child_environment(settings)
        for number in range(stage.load.workers):
            processes.start_python(f"worker-{number}", "orchestrator.cli", "worker", environment=environment)
        windows = Windows(stage=stage, deps=deps, who=who)
        await windows.warm_up()
        for _ in range(rounds):
            for format_ in BESIDE:
                child = await asyncio.to_thread(maker.start, format_, at_least_s=least_window_s)
                expected_s = max(alone[format_]["s"], least_window_s)
                seconds = await windows.take(format_, partial(maker.finish, child), expected_s=expected_s)
                await windows.take("nothing", partial(time.sleep, seconds), expected_s=seconds)
                await windows.take("one core busy", partial(_keep_busy, seconds), expected_s=seconds)
    return {"runs": runs, "reports": alone, "rounds": rounds, **windows.figures()}


class Maker:
    """Has reports of everything made, each by a process of its own."""

    def __init__(self, settings: Settings, workspace: UUID) -> None:
        now = datetime.now(UTC)
        self._asked = {
            "database_url": settings.require_database_url(),
            "data_dir": str(settings.data_dir),
            "workspace": str(workspace),
            "since": (now - timedelta(days=30)).isoformat(),
            # Not what the workers do meanwhile: every report is of the same runs.
            "until": now.isoformat(),
        }

    def make(self, format_: str) -> dict[str, Any]:
        """Make one report; return what it took."""
        return self.finish(self.start(format_))

    def start(self, format_: str, *, at_least_s: float = 0.0) -> subprocess.Popen[str]:
        """Start the process that will make reports, and wait until it is ready to."""
        child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.report_making"],
            cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdin is not None and child.stdout is not None, "both are pipes"
        child.stdin.write(json.dumps({**self._asked, "format": format_, "at_least_s": at_least_s}) + "\n")
        child.stdin.flush()
        child.stdout.readline()
        return child

    def finish(self, child: subprocess.Popen[str]) -> dict[str, Any]:
        """Have it made; return what it took."""
        said, _ = child.communicate("go\n")
        if child.returncode:
            raise Stuck("a report was not made; what it said stands above")
        found: dict[str, Any] = json.loads(said)
        return found


@dataclass(kw_only=True)
class Windows:
    """Counts what the workers finish while something goes on beside them. They always have more to do."""

    stage: Stage
    deps: Deps
    who: Who
    batches: list[UUID] = field(default_factory=list)
    submitted: int = 0
    rates: dict[str, list[float]] = field(default_factory=dict)

    async def warm_up(self) -> None:
        """Have the workers begin."""
        await self._submit(self.stage.load.warm_up)
        await asyncio.to_thread(self._wait_until_done, self.submitted)

    async def take(self, name: str, work: Callable[[], object], *, expected_s: float) -> float:
        """Do something beside the workers; return how long it took, in seconds."""
        if await self._top_up(expected_s * 2):
            # Its first executions are on their way when the window begins.
            await asyncio.to_thread(self._wait_until_done, await asyncio.to_thread(self._done) + 1)
        before, began_s = await asyncio.to_thread(self._done), time.perf_counter()
        doing = asyncio.create_task(asyncio.to_thread(work))
        while not (await asyncio.wait([doing], timeout=TOP_UP_EVERY_S))[0]:
            await self._top_up(2 * TOP_UP_EVERY_S)
        doing.result()
        after, seconds = await asyncio.to_thread(self._done), time.perf_counter() - began_s
        if after == self.submitted:
            raise Stuck("the workers ran out of work: what they do is not measured")
        self.rates.setdefault(name, []).append((after - before) / seconds)
        _say(f"beside {name}: {self.rates[name][-1]:.1f} executions/s in {seconds:.0f} s")
        return seconds

    def figures(self) -> dict[str, Any]:
        """Return the executions a second beside each, and the share of them that was left beside something."""
        medians = {name: statistics.median(rates) for name, rates in self.rates.items()}
        return {
            "executions_per_s": {name: [round(rate, 1) for rate in rates] for name, rates in self.rates.items()},
            "share_left": {
                name: round(median / medians["nothing"], 3)
                for name, median in medians.items()
                if name != "nothing" and medians["nothing"]
            },
        }

    def _most_per_s(self) -> float:
        seen = [rate for rates in self.rates.values() for rate in rates]
        return max(seen) + 5 if seen else FIRST_PER_S

    async def _top_up(self, lasts_s: float) -> bool:
        """Submit more where what is left would not last for so long; tell whether that was so."""
        enough = int(self._most_per_s() * (lasts_s + 5))
        left = self.submitted - await asyncio.to_thread(self._done)
        if left < enough:
            await self._submit(enough - left)
        return left < enough

    async def _submit(self, count: int) -> None:
        load = self.stage.load
        each = -(-count // load.connections)
        data = b"\n".join(load.inputs(each))
        for key in load.keys:
            workflow_id = self.stage.sandbox.workflows[WORKFLOW]
            spec = BatchSpec(connection=key, workflow_id=workflow_id, format="jsonl", concurrency="high", wave_size=1)
            batch = await submit.submit_batch(self.deps, self.who, spec, data)
            assert batch.id is not None, "it was stored"
            self.batches.append(batch.id)
        self.submitted += each * load.connections

    def _wait_until_done(self, count: int) -> None:
        ends_at = time.monotonic() + LONGEST_RUN_S
        while self._done() < count:
            if time.monotonic() > ends_at:
                raise Stuck(f"the workers did not do {count} executions in {LONGEST_RUN_S:.0f} s")
            time.sleep(LOOK_EVERY_S)

    def _done(self) -> int:
        superuser = self.stage.postgres.superuser_libpq(DATABASE)
        with psycopg.connect(superuser, autocommit=True, application_name=OBSERVER) as connection:
            row = connection.execute(
                "SELECT count(*) FROM runs WHERE batch_id = ANY(%s) AND status = 'finished'", (self.batches,)
            ).fetchone()
        assert row is not None, "a count returns a row"
        return int(row[0])


def _say(what: str) -> None:
    """Say how far it is, for who waits; the figures alone go to stdout."""
    sys.stderr.write(f"reports: {what}\n")
    sys.stderr.flush()


def _keep_busy(seconds: float) -> None:
    """Have a process do nothing on one core for so long."""
    program = f"import time\nends = time.monotonic() + {seconds}\nwhile time.monotonic() < ends: pass"
    subprocess.run([sys.executable, "-c", program], check=True)


if __name__ == "__main__":
    sys.exit(main())
