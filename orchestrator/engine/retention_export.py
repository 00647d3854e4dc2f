"""A month's export: written, verified and named, beside the event loop and by one worker at a time."""

from __future__ import annotations

import threading
from datetime import timedelta
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.checkpoint_chain import Period
from orchestrator.domain.retention import Content, Month
from orchestrator.engine import audit
from orchestrator.engine.deps import Deps
from orchestrator.engine.ports import ExportSink, RetiredExports
from orchestrator.engine.retention_lease import Lease
from orchestrator.engine.retired_proof import Proof, prove
from orchestrator.engine.who import Who
from orchestrator.errors import Conflict
from orchestrator.runtime import in_thread
from orchestrator.storage import checkpoints as signed
from orchestrator.storage import retention

#: The code of a month whose export does not prove it.
UNPROVEN = "retention_unproven"


async def export(
    deps: Deps, place: RetiredExports, lease: Lease, who: Who, month: Month, content: Content
) -> tuple[str, str]:
    """Write the month out, and everything else that moved while its streams began: an export of that period.

    Returns its name, and the SHA-256 of its manifest.

    Raises:
        Unavailable: there is no place for it.
        Conflict: it does not prove the month, or somebody else is at it.
    """
    await _clear(deps, place, lease, who, month.name)
    # A stream that moved in a period is in its export whole, so the period ends when the last one has begun. Up to
    # their last events it would claim, and have to hold, every stream that moved in months that are not this one.
    assert content.begun_at is not None, "a month that goes has streams"
    period = Period(since=content.first_at, until=content.begun_at + timedelta(microseconds=1))
    take = deps.sources.new_id().hex
    async with place.writing(month.name, take) as sink, deps.db.transaction() as connection:
        await audit.write_export(connection, who, _Watched(sink, lease), period=period)
    proof = await _proof(deps, place, lease, month, take)
    if proof.problem is not None or (proof.streams, proof.events) != (content.streams, content.events):
        why = proof.problem or f"it holds {proof.events:,} of {content.events:,} events"
        raise Conflict(
            f"the export of {month.name} does not prove it: {why}; nothing was retired",
            code=UNPROVEN,
            hint="orchestrator audit verify",
        )
    return await in_thread(partial(place.keep, month.name, take))


async def _clear(deps: Deps, place: RetiredExports, lease: Lease, who: Who, name: str) -> None:
    """Remove what earlier tries left.

    What is there is listed before the lease is looked at: whoever takes the turn after that writes what is not listed,
    so that one who wakes up late removes nothing of theirs.
    """

    async def pinned(connection: AsyncConnection) -> list[str]:
        return [each.export for each in await retention.retired(connection, who.workspace_id)]

    left = await in_thread(partial(place.leftovers, name, keep=await deps.db.run(pinned)))
    async with lease.asking():
        await deps.db.run(lease.holds)
    await in_thread(partial(place.remove, left))


async def _proof(deps: Deps, place: RetiredExports, lease: Lease, month: Month, take: str) -> Proof:
    assert deps.signer is not None, "the caller looked"
    trusted = {**await deps.db.run(signed.keys), deps.signer.key_id: deps.signer.public_key}
    is_over = threading.Event()

    def get_on() -> None:
        lease.get_on()
        if is_over.is_set():
            raise _Over

    def work() -> Proof:
        files = place.unfinished(month.name, take)
        return prove(files, keys=trusted, first=month.first, until=month.until, on_line=get_on)

    return await in_thread(work, on_cancel=is_over.set)


class _Over(Exception):
    """Ends the reading of an export that nobody waits for any more."""


class _Watched:
    """A sink that tells of each piece that it takes."""

    def __init__(self, sink: ExportSink, lease: Lease) -> None:
        self._sink, self._lease = sink, lease

    def write(self, name: str, text: bytes) -> None:
        """Append to a file of the export."""
        self._sink.write(name, text)
        self._lease.get_on()
