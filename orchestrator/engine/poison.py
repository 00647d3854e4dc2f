"""Poison: a row that breaks our own code harms only itself. It is logged, put off, and the others go on."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import backoff
from orchestrator.engine.deps import Deps
from orchestrator.errors import OrchestratorError
from orchestrator.storage import setbacks
from orchestrator.storage.lanes import Turn
from orchestrator.telemetry import get_logger

log = get_logger(__name__)

T = TypeVar("T")

#: What is put off comes back after so long, then ever later: it may have been mended, or our code.
FIRST_S = 60.0
LONGEST_S = 3600.0

#: A whole lane is put off for less: others work on it, perhaps of a version that can.
LANE_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Poisoned:
    """Work that failed in a way that would fail again: no outage, but data that our code cannot take."""

    failure: Exception


async def caught(work: Callable[[], Awaitable[T]]) -> T | Poisoned:
    """Do some work; return what broke it, if that was poison.

    Raises:
        OrchestratorError: the world's troubles, which pass, or are met elsewhere.
    """
    try:
        return await work()
    except OrchestratorError:
        raise
    except Exception as failure:
        if setbacks.passes(failure):
            raise  # the database's trouble; whoever opened the transaction says so
        return Poisoned(failure=failure)


def tell(what: str, why: Poisoned, **facts: str) -> None:
    """Write down what broke, where in our code, and on whose data."""
    # Not its message: an error of the database repeats the row, and the row may hold personal data.
    places = [f for f in traceback.extract_tb(why.failure.__traceback__) if "orchestrator" in f.filename]
    where = " < ".join(f"{PurePath(f.filename).stem}.{f.name}:{f.lineno}" for f in reversed(places[-3:]))
    state = getattr(getattr(why.failure, "orig", None), "sqlstate", None)
    log.error(
        "its data breaks our code, put off",
        code="poison",
        what=what,
        error=_kind(why),
        sqlstate=state,
        where=where,
        **facts,
    )


def _kind(why: Poisoned) -> str:
    return type(getattr(why.failure, "orig", None) or why.failure).__name__


async def put_off(deps: Deps, run: UUID, fence: int, *, tries: int, what: str, why: Poisoned) -> None:
    """Give back a claim that cannot be worked, due later and ever later."""
    tell(what, why, run=str(run))
    wait = backoff.retry_delay(tries + 1, first_s=FIRST_S, cap_s=LONGEST_S, unit=deps.sources.unit())

    async def write(connection: AsyncConnection) -> None:
        await setbacks.put_off(connection, run, fence, wait_s=wait.total_seconds())

    await deps.db.run(write)


async def put_off_lane(deps: Deps, lane: UUID, turn: Turn, why: Poisoned) -> None:
    """Let a lane whose claim fails wait: it would be the first for ever, and no other would be served."""
    tell(f"{turn} claim", why, lane=str(lane))

    async def write(connection: AsyncConnection) -> None:
        await setbacks.put_off_lane(connection, lane, turn, wait_s=LANE_S)

    await deps.db.run(write)
