"""Removes the files of erased runs from the store, after the transaction that erased them; every sweep goes on."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.engine import poison
from orchestrator.engine.deps import Deps
from orchestrator.errors import OrchestratorError, Unavailable
from orchestrator.storage import erased_files
from orchestrator.storage.erased_files import ToRemove
from orchestrator.telemetry import get_logger

log = get_logger(__name__)

#: Runs of which one claim removes the files.
RUNS_AT_ONCE = 50

#: A large batch is not waited for: a sweep, or the request that erased it, gives it so long, seconds.
WITHIN_S = 5.0


async def remove_files(deps: Deps, *, within_s: float = WITHIN_S) -> int:
    """Remove what is due; return of how many runs. A store that is away makes it wait for a later sweep."""
    ends_at = deps.sources.monotonic() + within_s
    done = 0

    async def claim(connection: AsyncConnection) -> list[ToRemove]:
        return await erased_files.claim(connection, limit=RUNS_AT_ONCE)

    while claimed := await deps.db.run(claim):
        gone = await _remove_all(deps, claimed)

        async def record(connection: AsyncConnection, gone: list[ToRemove] = gone) -> None:
            await erased_files.removed(connection, gone)

        try:
            if gone:
                await deps.db.run(record)
        except Unavailable as error:  # whoever holds what is needed is done by the next time
            log.warning("what was removed is not written down yet", code="erasing_waits", why=error.message)
            break
        done += len(gone)
        if len(gone) < len(claimed) or deps.sources.monotonic() >= ends_at:
            break
    return done


async def _remove_all(deps: Deps, claimed: list[ToRemove]) -> list[ToRemove]:
    """Remove the files of some runs; return the runs of which nothing is left."""
    gone = []
    try:
        if deps.leftovers is not None:
            await deps.leftovers.remove_unfinished()
        for item in claimed:
            done = await poison.caught(lambda item=item: _remove(deps, item))  # type: ignore[misc]
            if isinstance(done, poison.Poisoned):
                poison.tell("removing", done, run=str(item.run_id))
            else:
                gone.append(item)
    except OrchestratorError as error:
        # Their claims come due again by themselves, ever later; what was removed until now is recorded.
        log.warning(
            "files of erased runs are still in the store",
            code="erasing_waits",
            runs=len(claimed) - len(gone),
            why=error.message,
        )
    return gone


async def _remove(deps: Deps, item: ToRemove) -> None:
    for key in item.keys:
        await deps.store.delete(key)
    if deps.leftovers is not None:
        await deps.leftovers.remove_all(f"{item.workspace_id}/{item.run_id}")
