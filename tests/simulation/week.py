"""A simulated week: three schedules, people, an outage over a change of the clock, from the first tick to the report.

`python -m tests.simulation.week autumn spring` lives through the stories named and prints, as a JSON list, what is to
be judged: every tick's row, the report of the week, the provider's truth. It judges nothing itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import gc
import io
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import structlog

from orchestrator.artifacts.incoming import Incoming
from orchestrator.engine import schedules, workflows
from orchestrator.engine.deps import Deps
from orchestrator.engine.schedule_words import BatchOptions
from orchestrator.engine.schedule_words import Plan as SchedulePlan
from orchestrator.engine.watch import Watch
from tests.simulation import outcome
from tests.simulation.ground import Ground, ground
from tests.simulation.loop import VirtualLoop
from tests.simulation.making import make_a, standing_in
from tests.simulation.plan import Plan
from tests.simulation.postgres import Client as DatabaseClient
from tests.simulation.week_evidence import Evidence, gather
from tests.simulation.week_people import doings
from tests.simulation.week_story import STORIES, WAVE_SIZE, Rota, Story
from tests.simulation.worker import TICK_S, SimWorker
from tests.simulation.world import WORKFLOW, World

#: The schedules are made so long before the week, and its last work is done so long before its end.
BEFORE = timedelta(minutes=10)
BEFORE_THE_END = timedelta(seconds=20)

#: Hearts and sweeps of a week; the product's own would be most of its work. What they decide, they decide later.
HEARTBEAT_S = 900.0
SWEEP_S = 3_600.0

#: A worker with nothing due asks again after so long at the latest, seconds: what a person did waits no longer.
LONGEST_IDLE_S = 600.0

#: A worker's sleeps may be longer by this, and then wake it late: of short ones that is little.
_LONGER = 1.2
_SHORT_S = 30.0

# A worker asks every 0.4 s what is due. This one sleeps until something is: the hours between cost nothing. While a
# tick is carried out nobody sleeps until its lease ends: what it submits is due at once.
NEXT_DUE = """
    SELECT min(at) FROM (
        SELECT next_at FROM schedules WHERE removed_at IS NULL
        UNION ALL SELECT CASE state WHEN 'due' THEN created_at ELSE due_at END FROM fires WHERE due_at IS NOT NULL
        UNION ALL SELECT LEAST(launch_due_at, poll_due_at) FROM lanes
        UNION ALL SELECT due_at FROM timers WHERE kind IN ('download', 'sending')) d (at)"""


@dataclass
class WeekWorld(World):
    """A world that lives through a story. Set `folder` and `story` before anything happens."""

    folder: Path = field(init=False)
    story: Story = field(init=False)
    #: What the watch told each time that somebody came.
    seen: list[list[dict[str, Any]]] = field(default_factory=list)

    def process(self, kind: str) -> SimWorker:
        worker = super().process(kind)
        worker.idle = self._until_due_s
        return worker

    def _deps(self, name: str, client: DatabaseClient, rng: Random) -> Deps:
        made = super()._deps(name, client, rng)
        settings = made.settings.model_copy(update={"heartbeat_s": HEARTBEAT_S, "sweep_interval_s": SWEEP_S})
        return replace(made, settings=settings, incoming=Incoming(self.folder))

    def _until_due_s(self, _: float) -> float:
        """Return how long to sleep while nothing is due."""
        (at,) = self.server.monitor.execute(NEXT_DUE).fetchone() or (None,)
        idle_s = LONGEST_IDLE_S if at is None else (at - self.now()).total_seconds()
        return max(TICK_S, idle_s if idle_s < _SHORT_S else min(idle_s, LONGEST_IDLE_S) / _LONGER)

    async def until(self, moment: datetime) -> None:
        """Let time pass."""
        await asyncio.sleep(max(0.0, (moment - self.now()).total_seconds()))

    async def live(self) -> None:
        """Let the week happen."""
        await self.prepare()
        await workflows.set_workflow(
            self.api.deps, self.who, "main", self.provider.workflows[WORKFLOW], poll="initial=20,factor=2,cap=120"
        )
        for rota in self.story.rotas:
            await self.through_api(partial(self._make, rota))
        for night in self.story.nights():
            if night not in (self.story.late[0], self.story.never):
                self._leave_file(night)
        self._start()
        await asyncio.gather(*self._happenings())
        await self.until(self.story.until - BEFORE_THE_END)
        for worker in self.living:
            await worker.stop()

    def _happenings(self) -> list[Awaitable[None]]:
        """Return everything that befalls the week."""
        story = self.story
        night, comes_at = story.late
        bad_night = datetime.combine(story.retry.night, datetime.min.time(), story.since.tzinfo)
        return [
            self._at(comes_at, partial(self._leave_file, night)),
            *(
                self._at(doubt.tick - timedelta(minutes=2), partial(self._arm, doubt.fault, doubt.kind))
                for doubt in story.doubts
            ),
            self._at(bad_night, partial(self._error_share, 1.0)),
            self._at(bad_night + timedelta(hours=4), partial(self._error_share, 0.0)),
            self._fewer_hands(),
            self._outage(),
            *doings(self),
        ]

    async def _at(self, moment: datetime, do: Callable[[], None]) -> None:
        await self.until(moment)
        do()

    # -- the schedules and their files ---------------------------------------------------------------------------

    async def _make(self, rota: Rota) -> None:
        fixed = None if rota.input is None else json.dumps(rota.input).encode()
        plan = SchedulePlan(
            input=fixed,
            template=None if fixed is not None else f"in/{rota.name}-{{date}}.csv",
            options=BatchOptions(wave_size=WAVE_SIZE) if fixed is None else BatchOptions(),
            overlap=rota.overlap,
            catch_up=rota.catch_up,
            max_catch_up=rota.max_catch_up,
            deadline_s=int(rota.deadline.total_seconds()),
        )
        await schedules.create_schedule(
            self.api.deps, self.who, rota.name, workflow_id=self.provider.workflows[WORKFLOW], connection="main",
            cron=rota.cron, every=None, zone=rota.zone, plan=plan,
        )  # fmt: skip

    def _leave_file(self, night: date) -> None:
        """Leave a night's file in the folder of inputs, written long enough ago to be settled."""
        rows = self.story.rows_of(night)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        path = self.folder / "in" / f"nightly-{night}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.getvalue())
        os.utime(path, (1_000_000_000, 1_000_000_000))

    # -- what goes wrong -----------------------------------------------------------------------------------------

    def _arm(self, fault: str, kind: str) -> None:
        self.provider.service.rules.add([{"fault": fault, "kind": kind, "times": 1}])

    def _error_share(self, share: float) -> None:
        self.provider.service.live.change({"error_share": share})

    async def _fewer_hands(self) -> None:
        """After the first night one worker is enough: a second asks for the same, and costs as much."""
        await self.until(self.story.since + timedelta(hours=6))
        await self.living[-1].stop()

    async def _outage(self) -> None:
        """Pull the plug of everything of ours, and put it in again later."""
        await self.until(self.story.off)
        for process in [*self.living, self.api]:
            process.kill()
        await self.until(self.story.on)
        self._start()

    def _start(self) -> None:
        for _ in range(self.plan.workers):
            self.start_worker()

    # -- what is seen --------------------------------------------------------------------------------------------

    async def look_around(self) -> list[dict[str, Any]]:
        """Return what the watch tells now, as a person would read it who comes to work."""
        told = []
        for worker in self.living:
            lines = await Watch(worker.deps, worker=worker.id, place="simulation").look()
            told += [{"code": str(line.alarm.code), "at": self.now(), **line.alarm.facts} for line in lines]
        return told


def _plan(story: Story) -> Plan:
    """Return a world in which nothing goes wrong by chance."""
    habits = {"duration_sigma": 0.0, "url_hour": "look", "retry_after": "seconds", "human_holds_slot": True}
    return Plan(
        seed=story.seed, workers=2, requests_per_minute=100, max_concurrent=10, options=habits, on_doubt="hold",
        batches=(), singles_at_s=(), latency_s=0.05, interleave=0.0, rates={}, provider_rate=0.0, spells_every_s=0.0,
        point_rate=0.0, kills_at_s=(), stops_at_s=(), freezes=(), database_away=(), provider_away=(),
        acts_every_s=1e9,
    )  # fmt: skip


def live_through(story: Story, ground: Ground) -> Evidence:
    """Let one week happen; return what is to be judged."""
    name = f"week_{story.name}_{os.getpid()}"
    dsn = ground.create(name)
    with psycopg.connect(dsn.replace("+psycopg", "")) as connection:
        connection.execute("SELECT events_partition(%s), events_partition(%s)", (story.since, story.until))
    began = time.perf_counter()
    loop = VirtualLoop()
    gc.collect()
    gc.disable()
    try:
        with tempfile.TemporaryDirectory() as folder, listening() as lines:
            world = loop.run_until_complete(_live(story, dsn, loop, Path(folder)))
            return gather(world, lines, took_s=time.perf_counter() - began)
    finally:
        outcome.close(loop)
        gc.enable()
        ground.drop(name)


async def _live(story: Story, dsn: str, loop: VirtualLoop, folder: Path) -> WeekWorld:
    epoch = story.since - BEFORE - timedelta(seconds=loop.time())
    world = await make_a(WeekWorld, _plan(story), dsn, loop, epoch=epoch)
    world.story, world.folder = story, folder
    try:
        with standing_in(world), outcome.coarse_pumps():
            await world.live()
            return world
    finally:
        world.end()


@contextlib.contextmanager
def listening() -> Iterator[list[dict[str, Any]]]:
    """Keep what the product logs as warnings, in place of writing it."""
    lines: list[dict[str, Any]] = []

    def keep(_logger: object, level: str, event: Any) -> Any:
        lines.append({"level": level, **event})
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[keep], wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        yield lines
    finally:
        structlog.configure(**before)


def main(names: list[str]) -> None:
    """Live through the stories named, one after the other."""
    logging.disable(logging.CRITICAL)
    with ground() as base:
        found = [live_through(STORIES[name], base) for name in names]
    json.dump(found, sys.stdout, default=str)


if __name__ == "__main__":
    main(sys.argv[1:])
