"""Retention: retire months of settled history, and erase the content of what ended long ago, as the operator set it.

A month is exported first, and the export verified; then one transaction writes down that it is retired, and drops it.
So there is no half: a death before the commit leaves an export that nothing names, which the next try removes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import retention as rules
from orchestrator.domain.checkpoint_chain import Period
from orchestrator.domain.retention import Content, Month, Retired
from orchestrator.engine import audit, checkpoints
from orchestrator.engine.deps import Deps
from orchestrator.engine.ports import RetiredExports
from orchestrator.engine.retired_proof import prove
from orchestrator.engine.who import SCOPES, Who
from orchestrator.errors import Conflict, Misconfigured, Unavailable
from orchestrator.faultpoints import Point, reach
from orchestrator.storage import checkpoints as signed
from orchestrator.storage import events, retention
from orchestrator.storage.database import now as transaction_now
from orchestrator.telemetry import get_logger

log = get_logger(__name__)

ACTOR = "orchestrator"

#: So long after a death another worker takes up an export.
LEASE_S = 3600.0
#: Between two months that go, after one that could not, and between two looks for one.
NEXT_S, AGAIN_S, LOOK_S = 60.0, 600.0, 6 * 3600.0
#: Tries to find a moment in which nobody holds the history, and the pause between them: half a minute.
TRIES, PAUSE_S = 600, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What is to become of a month. `reasons`: why it stays; none, and it goes."""

    month: Month
    reasons: tuple[str, ...]
    content: Content | None = None

    def shown(self) -> dict[str, Any]:
        """Return it for people."""
        content = self.content
        return {
            "partition": self.month.name,
            "begins_at": self.month.begins_at.isoformat(),
            "goes": not self.reasons,
            "streams": content.streams if content else None,
            "events": content.events if content else None,
            "reasons": list(self.reasons),
        }


async def fates(deps: Deps, *, keep_days: int, until_one_goes: bool = False) -> list[Fate]:
    """Return what is to become of each month, the oldest first; read-only.

    Args:
        until_one_goes: look no further than the first that may.
    """
    found: list[Fate] = []
    for month in await deps.db.run(retention.months):

        async def judge(connection: AsyncConnection, month: Month = month) -> Fate:
            return await _judge(connection, month, keep_days=keep_days, erases=_erases(deps))

        found.append(await deps.db.run(judge))
        if until_one_goes and not found[-1].reasons:
            break
    return found


async def retire_next(deps: Deps, *, at_once: bool = False) -> Retired | None:
    """Retire the oldest month that may go, if one may and it is our turn to look.

    Raises:
        Unavailable: the database is away or busy, or there is no place for the export; nothing was retired.
        Conflict: what was exported does not prove the month; nothing was retired.
    """
    keep_days = deps.settings.keep_history_days
    if keep_days is None:
        return None

    async def claim(connection: AsyncConnection) -> tuple[datetime, UUID | None] | None:
        return await retention.claim(connection, "history", lease_s=LEASE_S, at_once=at_once)

    claimed = await deps.db.run(claim)
    if claimed is None:
        return None
    wait_s, gone = AGAIN_S, None
    try:
        await checkpoints.keep(deps, at_once=True)
        found = await fates(deps, keep_days=keep_days, until_one_goes=True)
        going = [fate for fate in found if not fate.reasons]
        if not going:
            wait_s = LOOK_S
        for fate in going:
            gone, wait_s = await _retire(deps, fate, lease=claimed[0], keep_days=keep_days), NEXT_S
    finally:
        await _leave(deps, claimed[0], wait_s)
    return gone


async def _leave(deps: Deps, lease: datetime, wait_s: float) -> None:
    async def leave(connection: AsyncConnection) -> None:
        await retention.leave(connection, "history", lease, wait_s=wait_s)

    await deps.db.run(leave)


async def _judge(connection: AsyncConnection, month: Month, *, keep_days: int, erases: bool) -> Fate:
    """Ask the cheap questions first: most months are too young, and are not read."""
    now = await transaction_now(connection)
    young = rules.too_young(month, now=now, keep_days=keep_days)
    if young is not None:
        return Fate(month=month, reasons=(young,))
    living = rules.alive(await retention.living(connection, month, erases=erases))
    if living:
        return Fate(month=month, reasons=tuple(living))
    content = await retention.content(connection, month)
    return Fate(month=month, reasons=tuple(rules.held_by(content, now=now, keep_days=keep_days)), content=content)


async def _retire(deps: Deps, fate: Fate, *, lease: datetime, keep_days: int) -> Retired:
    content, month = fate.content, fate.month
    assert content is not None, "a month that goes was read"
    assert content.first_at is not None, "and is not empty"
    assert content.last_at is not None, "and is not empty"
    if deps.retired is None or deps.signer is None:
        raise Misconfigured("history is not retired by a process that has no place for it and signs nothing")
    who = Who(workspace_id=content.workspaces[0], actor=ACTOR, scopes=frozenset(SCOPES))
    export, digest = await _export(deps, deps.retired, who, month, content)
    await reach(Point.RETIREMENT_EXPORTED)

    async def last(connection: AsyncConnection) -> int:
        found = await signed.last(connection, who.workspace_id)
        return found.number if found else 0

    retired = Retired(
        partition=month.name,
        first_stream=month.first,
        until_stream=month.until,
        streams=content.streams,
        events=content.events,
        checkpoint=await deps.db.run(last),
        export=export,
        manifest_sha256=digest,
    )
    await _drop(deps, who, retired, content.last_at, lease=lease, keep_days=keep_days)
    log.info(
        "a month of the history is retired",
        code="history_retired",
        partition=month.name,
        events=content.events,
        streams=content.streams,
        export=export,
        manifest_sha256=digest,
        checkpoint=retired.checkpoint,
    )
    return retired


async def _export(deps: Deps, place: RetiredExports, who: Who, month: Month, content: Content) -> tuple[str, str]:
    """Write the month out, and everything else that moved in its time: an export of that period, as any other."""

    async def pinned(connection: AsyncConnection) -> list[str]:
        return [each.export for each in await retention.retired(connection, who.workspace_id)]

    place.clear(month.name, keep=await deps.db.run(pinned))
    assert content.last_at is not None, "a month that goes has a last event"
    period = Period(since=content.first_at, until=content.last_at + timedelta(microseconds=1))
    with place.writing(month.name) as sink:
        async with deps.db.transaction() as connection:
            await audit.write_export(connection, who, sink, period=period)
    keys = await deps.db.run(signed.keys)
    assert deps.signer is not None, "the caller looked"
    trusted = {**keys, deps.signer.key_id: deps.signer.public_key}
    proof = await asyncio.to_thread(
        prove, place.unfinished(month.name), keys=trusted, first=month.first, until=month.until
    )
    if proof.problem is not None or (proof.streams, proof.events) != (content.streams, content.events):
        why = proof.problem or f"it holds {proof.events:,} of {content.events:,} events"
        raise Conflict(
            f"the export of {month.name} does not prove it: {why}; nothing was retired",
            code="retention_unproven",
            hint="orchestrator audit verify",
        )
    return await asyncio.to_thread(place.keep, month.name)


async def _drop(deps: Deps, who: Who, retired: Retired, last_at: datetime, *, lease: datetime, keep_days: int) -> None:
    """Find a moment in which nobody holds the history; it waits for nobody, so that nobody waits behind it."""
    for _ in range(TRIES):
        if await _dropped(deps, who, retired, last_at, lease=lease, keep_days=keep_days):
            return
        await asyncio.sleep(PAUSE_S * (0.5 + deps.sources.unit()))
    raise Unavailable(
        f"{retired.partition} is exported and stays for now: the history was in use at each of {TRIES} tries",
        code="retention_busy",
        hint="it is tried again in ten minutes; in a quiet hour: orchestrator admin retention",
    )


class _NotNow(Exception):
    """Rolls back."""


async def _dropped(
    deps: Deps, who: Who, retired: Retired, last_at: datetime, *, lease: datetime, keep_days: int
) -> bool:
    async def drop(connection: AsyncConnection) -> None:
        if any(each.partition == retired.partition for each in await retention.retired(connection, who.workspace_id)):
            return  # the commit before this try went through; only its answer was lost
        if not await retention.hold(connection, "history", lease):
            raise Conflict(f"somebody else took {retired.partition} up meanwhile", code="retention_late")
        # The workspace before the tables: whoever holds it waits for none of ours.
        told = retired.told(who.actor, keep_days=keep_days)
        await events.append_to_workspace(connection, who.workspace_id, [told], at=await transaction_now(connection))
        came = await retention.drop(connection, retired, workspace=who.workspace_id, last_at=last_at)
        if came == "moved":
            raise Conflict(f"{retired.partition} has moved meanwhile; it stays", code="retention_moved")
        if came == "busy":
            raise _NotNow
        await reach(Point.RETIREMENT_WRITTEN)

    try:
        await deps.db.run(drop)
    except _NotNow:
        return False
    return True


def _erases(deps: Deps) -> bool:
    return deps.settings.keep_content_days is not None
