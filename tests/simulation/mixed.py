"""Runs of both providers side by side, under faults, in virtual time.

`python -m tests.simulation.mixed --runs 500 --seed 1` lives through one world and prints, as one JSON line, what became
of every run, what the provider has in its books, and whether the promises held (exit code 8: they did not).

Half of the runs are Script executions, singly and in waves; half are Scripe jobs. Every fourth launch of a job is
taken, and its connection reset before the answer. What only the Script API has is a doubt after a lost answer; people
settle those by the provider's console, and what is left over is a breach like any other.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, fields, replace
from random import Random
from typing import Any

import psycopg

from orchestrator.engine import connections, submit
from orchestrator.engine.deps import Deps
from orchestrator.engine.submit import BatchSpec, RunSpec
from orchestrator.providers.scripe import ScripeProvider
from sandbox.calls import SCRIPE_PREFIX
from tests.simulation import outcome
from tests.simulation.ground import Ground, ground
from tests.simulation.loop import VirtualLoop
from tests.simulation.making import make_a, standing_in
from tests.simulation.mixed_verdict import judge
from tests.simulation.people import Client, Operator
from tests.simulation.plan import Plan, plan_of
from tests.simulation.postgres import Client as DatabaseClient
from tests.simulation.provider_faults import ProviderFaults, boundaries
from tests.simulation.world import World

POSTS = "POST_GENERATION"

#: Of the launches of jobs so many are taken and reset, beside all other faults.
RESET_SHARE = 0.25

#: The provider is away for so long at most, seconds.
LONGEST_AWAY_S = 300.0

#: A good no to what is sent again says nothing of the time before: it is a doubt by design, and not what is shown here.
_NOES = frozenset({("provider.launch", "400"), ("provider.launch", "404")})

#: A job that the provider loses from its books is no run that can complete.
_LOSSES = frozenset({("provider.look", "lost_execution")})


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedPlan(Plan):
    """A world with jobs beside its executions: some in a batch at its beginning, the others one by one."""

    batched_posts: int = 0
    posts_at_s: tuple[float, ...] = ()

    @property
    def lifecycles(self) -> int:
        return super(MixedPlan, self).lifecycles + self.batched_posts + len(self.posts_at_s)


def mixed_plan(seed: int, *, runs: int, strain: float) -> MixedPlan:
    """Return the world that a seed means, with so many runs in all."""
    posts = runs // 2
    script = plan_of(seed, size=runs - posts, strain=strain)
    rng = Random(f"posts:{seed}")
    options = {
        **script.options,
        "error_share": 0.05,
        "human_share": 0.0,
        # An hour of trouble with files is not what is shown here: results are lost by it, as they must be.
        "url_hour": "look",
        "scripe_requests_per_minute": 120,
        "scripe_queued_s": 0.5,
        "scripe_rate_headers": rng.choice(("always", "refused")),
    }
    given = {f.name: getattr(script, f.name) for f in fields(script)}
    given |= {"options": options, "on_doubt": "hold", "acts_every_s": 1e9, "share_under_fire": 0.95}
    # Where nothing gets through for long, the work waits for the end of the faults, and is not struck by any.
    given["provider_away"] = tuple(away for away in script.provider_away if away.seconds <= LONGEST_AWAY_S)
    return MixedPlan(
        **given,
        batched_posts=posts - posts // 3,
        posts_at_s=tuple(sorted(rng.uniform(0, 300.0) for _ in range(posts // 3))),
    )


def post(tag: str) -> dict[str, Any]:
    """Return a job's input, with a tag to know it by."""
    return {"projectId": "p", "source": {"text": tag}}


class MixedClient(Client):
    """Submits jobs too."""

    async def submit_posts(self, items: int) -> None:
        """Submit the jobs of the batch."""
        tags = [f"p{n}" for n in range(items)]
        data = b"\n".join(json.dumps(post(tag)).encode() for tag in tags)
        spec = BatchSpec(connection="posts", workflow_id=POSTS, format="jsonl", external_id="posts")
        stored = await self._until_answered(
            lambda: submit.submit_batch(self.world.api.deps, self.world.who, spec, data)
        )
        if stored is not None:
            self.journal.batches[stored.id] = tags

    async def submit_post(self, number: int, at_s: float) -> None:
        """Submit one job."""
        await self.world.at(at_s)
        tag = f"q{number}"
        spec = RunSpec(connection="posts", workflow_id=POSTS, input=json.dumps(post(tag)).encode(), external_id=tag)
        stored = await self._until_answered(lambda: submit.submit_run(self.world.api.deps, self.world.who, spec))
        if stored is not None:
            self.journal.runs[stored.id] = tag


class MixedOperator(Operator):
    """Looks after both connections."""

    async def test_connection(self) -> None:
        await super().test_connection()
        shown = await connections.show_connection(self.world.api.deps, self.world.who, "posts")
        if shown["status"] != "ok":
            await connections.test_connection(self.world.api.deps, self.world.who, "posts")


@dataclass
class MixedWorld(World):
    """A world with a connection to each of the two APIs of its provider."""

    posts: MixedClient = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        cells = {(where, name) for where, names in boundaries().items() for name in names}
        self.misbehaviour = ProviderFaults(
            self.provider,
            Random(f"misbehaviour:{self.plan.seed}"),
            rate=self.plan.provider_rate,
            spell_every_s=self.plan.spells_every_s,
            only=frozenset(cells - _NOES - _LOSSES),
        )
        self.operator = MixedOperator(self, Random(f"operator:{self.plan.seed}"))

    @property
    def mixed(self) -> MixedPlan:
        """The plan, as what it is."""
        assert isinstance(self.plan, MixedPlan), "made by `mixed_plan`"
        return self.plan

    def _deps(self, name: str, client: DatabaseClient, rng: Random) -> Deps:
        made = super()._deps(name, client, rng)
        script = made.provider("script")
        scripe = ScripeProvider(
            allow_private_networks=True,
            monotonic=self.loop.time,
            utc_now=self.now,
            network=self.fabric.network(name),
        )
        return replace(made, provider=lambda which: scripe if which == "scripe" else script)

    async def prepare(self) -> None:
        await super().prepare()
        await connections.add_connection(
            self.api.deps,
            self.who,
            name="posts",
            provider="scripe",
            base_url=f"{self.provider.service.url('api')}{SCRIPE_PREFIX.rstrip('/')}",
            api_key=self.provider.service.live.current.scripe_keys[0].secret,
            requests_per_minute=120,
            limit_group="workspace",
        )
        self.client = self.posts = MixedClient(self, self.provider.workflows["Free form"])
        self.provider.service.rules.add(
            [{"fault": "reset_after", "kind": "launch", "workflow_id": POSTS, "probability": RESET_SHARE}]
        )

    def _submissions(self) -> list[Awaitable[None]]:
        doings = super()._submissions()
        doings += [self.posts.submit_post(number, at_s) for number, at_s in enumerate(self.mixed.posts_at_s)]
        return [*doings, self.posts.submit_posts(self.mixed.batched_posts)] if self.mixed.batched_posts else doings

    async def _settle_down(self, *, limit_s: float) -> None:
        """Let the work come to rest; what only people can move, they move by what the console shows."""
        await super()._settle_down(limit_s=limit_s)
        await self.through_api(lambda: self.operator.settle_doubts(most=1_000))
        await super()._settle_down(limit_s=limit_s)


def live_through(plan: MixedPlan, base: Ground) -> dict[str, Any]:
    """Let one world live and end; return its verdict."""
    name = f"mixed_{plan.seed}_{os.getpid()}"
    dsn = base.create(name)
    began = time.perf_counter()
    loop = VirtualLoop()
    gc.collect()
    gc.disable()
    try:
        found = loop.run_until_complete(_live(plan, dsn, loop))
        return {"seed": plan.seed, **found, "took_s": round(time.perf_counter() - began, 1)}
    finally:
        outcome.close(loop)
        gc.enable()
        base.drop(name)


async def _live(plan: MixedPlan, dsn: str, loop: VirtualLoop) -> dict[str, Any]:
    world = await make_a(MixedWorld, plan, dsn, loop)
    try:
        with standing_in(world), outcome.coarse_pumps():
            await world.live()
            with psycopg.connect(world.server.dsn) as connection:
                return judge(world, connection, runs=plan.lifecycles)
    finally:
        world.end()


def main(argv: Sequence[str] | None = None) -> int:
    """Live through one world after the other; return 0 when the promises held, 8 else."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mixed", description=__doc__)
    parser.add_argument("--seed", type=int, action="append", help="a world; may be repeated (default: 1)")
    parser.add_argument("--runs", type=int, default=500, help="runs of a world (default: %(default)s)")
    parser.add_argument("--strain", type=float, default=1.0, help="faults per run, about (default: %(default)s)")
    given = parser.parse_args(argv)
    is_well = True
    with ground() as base:
        outcome.silence()
        for seed in given.seed or [1]:
            found = live_through(mixed_plan(seed, runs=given.runs, strain=given.strain), base)
            is_well &= found["is_well"]
            sys.stdout.write(json.dumps(found) + "\n")
            sys.stdout.flush()
    return 0 if is_well else 8


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # As in `tests.simulation`: sets of words are walked in an order that a replay must repeat.
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation.mixed", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    sys.exit(main())
