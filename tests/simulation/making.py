"""How a world is made, and what of the product is replaced while it turns."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta
from random import Random
from typing import Any, TypeVar

from orchestrator.engine import poison
from orchestrator.faultpoints import watched_by
from orchestrator.storage import copying
from sandbox.options import parse_options
from tests.simulation.faults import Faults
from tests.simulation.locks import Server
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Fabric, Latency
from tests.simulation.plan import Plan
from tests.simulation.postgres import copy_rows_blocking
from tests.simulation.provider import SimProvider
from tests.simulation.store import SimStore
from tests.simulation.world import EPOCH, World

W = TypeVar("W", bound=World)


async def make(plan: Plan, dsn: str, loop: VirtualLoop) -> World:
    """Build a world inside its loop."""
    return await make_a(World, plan, dsn, loop)


async def make_a(kind: type[W], plan: Plan, dsn: str, loop: VirtualLoop, *, epoch: datetime = EPOCH) -> W:
    """Build a world of some kind inside its loop.

    Args:
        epoch: its wall clock when the loop's time is 0.
    """
    faults = Faults(rng=Random(f"faults:{plan.seed}"), rates=dict(plan.rates))
    loop.resolver_fault = lambda host: OSError("no such name (simulated)") if faults.at("net.resolve") else None
    fabric = Fabric(
        rng=Random(f"fabric:{plan.seed}"), faults=faults, latency=Latency(median_s=plan.latency_s, most_s=3.0)
    )
    options: dict[str, Any] = {
        **plan.options,
        "requests_per_minute": plan.requests_per_minute,
        "max_concurrent": plan.max_concurrent,
        "log_entries": 10_000_000,
    }
    start_s = (epoch + timedelta(seconds=loop.time())).timestamp()
    provider = SimProvider(fabric, options=parse_options(options), seed=plan.seed, start_s=start_s)
    return kind(
        plan=plan,
        dsn=dsn,
        loop=loop,
        faults=faults,
        provider=provider,
        fabric=fabric,
        store=SimStore(faults),
        server=Server(dsn=dsn.replace("+psycopg", "")),
        epoch=epoch,
    )


@contextlib.contextmanager
def standing_in(world: World) -> Any:
    """Replace what the product asks of the outside and cannot be handed: COPY, the fault points.

    The product catches its own bugs row by row and goes on; here each of them is heard.
    """

    async def copy_rows(connection: Any, query: Any, lines: Any) -> None:
        copy_rows_blocking(connection, query, lines)

    def tell(what: str, why: poison.Poisoned, **facts: str) -> None:
        world.bug(f"poison: {what} {facts}", why.failure)

    real, copying.copy_rows = copying.copy_rows, copy_rows
    real_tell, poison.tell = poison.tell, tell
    try:
        with watched_by(world.reached):
            yield
    finally:
        copying.copy_rows, poison.tell = real, real_tell
