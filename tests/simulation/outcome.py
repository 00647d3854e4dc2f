"""What came of a world: figures, the faults that struck, what was broken, and a digest that a replay must repeat."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import os
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import structlog
from sqlalchemy.exc import SAWarning

from orchestrator.engine import pump
from orchestrator.errors import OrchestratorError
from tests.simulation.ground import Ground
from tests.simulation.invariants.checker import NAMED, Breach, Checker
from tests.simulation.invariants.view import Evidence
from tests.simulation.loop import VirtualLoop
from tests.simulation.making import make, standing_in
from tests.simulation.plan import Plan
from tests.simulation.postgres import Killed
from tests.simulation.world import World

#: A pump that waits for answers asks anew so often, seconds. Coarser than the product's: it is most of a world's work.
COARSE_RETRY_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One world's end.

    Args:
        broken: invariant -> what offends it.
        bugs: errors that no fault explains.
        digest: of every event and every request, in order.
        requests_before_heal: of the requests, those that were made while faults could still strike.
        ended_before_heal: runs that had ended, or waited for a person, by then.
    """

    seed: int
    lifecycles: int
    took_s: float
    virtual_s: float
    requests: int
    max_in_60_s: int
    statuses: dict[str, int]
    doubts: int
    hits: Counter[tuple[str, str]]
    broken: dict[str, list[str]]
    bugs: list[str]
    digest: str
    requests_before_heal: int = 0
    ended_before_heal: int = 0
    faults_before_heal: int = 0

    @classmethod
    def of_crash(cls, plan: Plan, error: Exception) -> Outcome:
        """Return the outcome of a world that could not be lived to its end."""
        told = "".join(traceback.format_exception(error)[-4:])
        return cls(
            seed=plan.seed, lifecycles=0, took_s=0.0, virtual_s=0.0, requests=0, max_in_60_s=0, statuses={}, doubts=0,
            hits=Counter(), broken={}, bugs=[f"the world broke down: {told}"], digest="none",
        )  # fmt: skip

    @property
    def is_well(self) -> bool:
        """Nothing was broken."""
        return not self.broken and not self.bugs


@dataclass
class _Ears:
    """Hears of exceptions that nobody awaited."""

    heard: list[str] = field(default_factory=list)

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        # A killed worker leaves turns that nobody waits for; what they met then is no bug.
        if not isinstance(error, Killed | asyncio.CancelledError | OrchestratorError):
            self.heard.append(f"nobody awaited: {error!r} ({context.get('message')})"[:400])


def live_through(plan: Plan, ground: Ground, *, checks_steps: bool = True, stops_at_breach: bool = False) -> Outcome:
    """Let one world live and end, and say what came of it.

    Args:
        stops_at_breach: a world in which something was broken need not come to rest.
    """
    name = f"w{plan.seed}_{os.getpid()}"
    dsn = ground.create(name)
    began = time.perf_counter()
    loop = VirtualLoop()
    ears = _Ears()
    loop.set_exception_handler(ears)
    # Rubbish is collected between worlds: in the middle of one it would come at a moment that no seed gives.
    gc.collect()
    gc.disable()
    try:
        world, broken = loop.run_until_complete(
            _live(plan, dsn, loop, checks_steps=checks_steps, stops_at_breach=stops_at_breach)
        )
        world.bugs += ears.heard
        return _outcome(world, broken, took_s=time.perf_counter() - began)
    finally:
        close(loop)
        gc.enable()
        ground.drop(name)


async def _live(
    plan: Plan, dsn: str, loop: VirtualLoop, *, checks_steps: bool, stops_at_breach: bool
) -> tuple[World, dict[str, list[str]]]:
    world = await make(plan, dsn, loop)
    try:
        with (
            standing_in(world),
            coarse_pumps(),
            psycopg.connect(dsn.replace("+psycopg", ""), autocommit=True) as connection,
        ):
            checker = Checker(_evidence(world, connection))
            broken: dict[str, list[str]] = {}

            def step() -> None:
                _note(broken, checker.after_step(), at_s=loop.time())
                world.is_condemned = stops_at_breach and bool(broken or world.bugs)

            if checks_steps:
                world.after_step = step
            await world.live()
            world.after_step = lambda: None
            is_quiet = world.is_quiet()
            _note(broken, checker.at_end(is_quiet=is_quiet), at_s=loop.time())
            if not is_quiet and not world.is_condemned:
                _note(broken, [Breach("comes_to_rest", world.unrest())], at_s=loop.time())
            return world, broken
    finally:
        world.end()


@contextmanager
def coarse_pumps(again_s: float = COARSE_RETRY_S) -> Iterator[None]:
    """Let pumps ask less often while answers are out."""
    retry_s, pump.RETRY_S = pump.RETRY_S, again_s
    try:
        yield
    finally:
        pump.RETRY_S = retry_s


def _evidence(world: World, connection: psycopg.Connection[Any]) -> Evidence:
    return Evidence(
        connection=connection,
        provider=world.provider,
        exchanges=world.fabric.exchanges,
        store=world.store,
        journal=lambda: world.client.journal,
        now=world.now,
        requests_per_minute=world.plan.requests_per_minute,
        max_concurrent=world.plan.max_concurrent,
    )


def _note(broken: dict[str, list[str]], breaches: Sequence[Breach], *, at_s: float) -> None:
    """Keep the first few offenders of each invariant, and when they were seen."""
    for breach in breaches:
        offenders = broken.setdefault(breach.name, [])
        if len(offenders) < NAMED and not any(breach.what in told for told in offenders):
            offenders.append(f"at {at_s:.1f} s: {breach.what}")


def _outcome(world: World, broken: dict[str, list[str]], *, took_s: float) -> Outcome:
    with psycopg.connect(world.server.dsn) as connection:
        statuses: dict[str, int] = dict(
            connection.execute("SELECT status, count(*) FROM runs GROUP BY 1 ORDER BY 1").fetchall()
        )
        (doubts,) = connection.execute("SELECT count(*) FROM events WHERE type = 'in_doubt'").fetchone() or (0,)
        digest = digest_of(world, connection)
    meters = world.provider.service.meters.values()
    return Outcome(
        seed=world.plan.seed,
        lifecycles=world.plan.lifecycles,
        took_s=took_s,
        virtual_s=world.loop.time(),
        requests=len(world.fabric.exchanges),
        max_in_60_s=max((meter.max_arrivals for meter in meters), default=0),
        statuses=statuses,
        doubts=doubts,
        hits=world.hits(),
        broken=broken,
        bugs=list(dict.fromkeys(world.bugs)),
        digest=digest,
        requests_before_heal=world.under_fire.requests,
        ended_before_heal=world.under_fire.ended,
        faults_before_heal=world.under_fire.faults,
    )


def digest_of(world: World, connection: psycopg.Connection[Any]) -> str:
    """Return the hash of every event and every request of a world, in order."""
    told = hashlib.sha256()
    for row in connection.execute("SELECT stream, seq, type, at, hash FROM events ORDER BY stream, seq"):
        told.update(repr((str(row[0]), row[1], row[2], row[3].isoformat(), bytes(row[4]))).encode())
    for exchange in world.fabric.exchanges:
        told.update(repr((exchange.owner, exchange.began_at, exchange.method, exchange.target)).encode())
    return told.hexdigest()[:16]


def close(loop: VirtualLoop) -> None:
    """End what still runs, quietly: the dead need no farewell."""
    rest = asyncio.all_tasks(loop)
    for task in rest:
        task.cancel()
    if rest:
        loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
    loop.close()
    gc.collect()


def silence() -> None:
    """Let nothing of the product's own log through: a world's warnings are its weather."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    # A killed worker returns no connection to its pool.
    warnings.filterwarnings("ignore", message="The garbage collector is trying to clean up", category=SAWarning)
