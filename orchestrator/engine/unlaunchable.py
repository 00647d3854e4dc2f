"""Unlaunchable: runs whose intent cannot be written, because their data breaks our code. Nothing was sent."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.chain import NewEvent
from orchestrator.domain.changes import Change, RunError
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.engine import poison
from orchestrator.engine.deps import Deps
from orchestrator.engine.launch_orders import Launchable
from orchestrator.storage import changes, setbacks, turns
from orchestrator.storage.lanes import Lane

#: A subject whose bad run cannot even be ended comes back after so long.
AGAIN_S = 300.0


async def set_aside(
    deps: Deps, connection: AsyncConnection, lane: Lane, what: Launchable, why: poison.Poisoned
) -> None:
    """Keep what cannot be launched from stopping the rest of its batch, and of its lane.

    A wave is halved, as if the provider had refused it, until the bad item stands alone; that one ends in error, where
    a person sees it and may retry it.
    """
    runs = what.runs
    poison.tell("launch order", why, run=str(runs[0].id), runs=str(len(runs)), workflow=str(what.workflow.id))
    if len(runs) > 1 and what.batch_id is not None:
        await turns.set_wave_cap(connection, what.batch_id, len(runs) // 2)
        return

    async def end() -> None:
        async with connection.begin_nested():
            await _end(deps, connection, lane, what)

    failed = await poison.caught(end)
    if isinstance(failed, poison.Poisoned):
        await setbacks.put_off_turn(connection, what.batch_id or runs[0].id, wait_s=AGAIN_S)


async def _end(deps: Deps, connection: AsyncConnection, lane: Lane, what: Launchable) -> None:
    (run,) = what.runs
    change = Change(
        run_id=run.id,
        was=S.QUEUED,
        via=(S.LAUNCHING,),
        to=S.ERROR,
        events=(NewEvent(type="unlaunchable", data={"attempt": run.attempt}),),
        error=RunError(
            code="unlaunchable", message="the launch could not be prepared, and nothing was sent; the log says why"
        ),
        # A batch's turn is its own timer, not the run's.
        keeps_timer=what.batch_id is not None,
    )
    await changes.apply(connection, [change], now=lane.now, sources=deps.sources, sealer=deps.sealer, lane=lane.id)
