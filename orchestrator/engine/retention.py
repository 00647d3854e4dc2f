"""Retention: retire months of settled history, and erase the content of what ended long ago, as the operator set it.

A month is exported first, and the export verified; then one transaction writes down that it is retired, and drops it.
So there is no half: a death before the commit leaves an export that nothing names, which the next try removes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import retention as rules
from orchestrator.domain.retention import Content, Month, Retired
from orchestrator.engine import checkpoints, retention_export
from orchestrator.engine.deps import Deps
from orchestrator.engine.retention_export import UNPROVEN
from orchestrator.engine.retention_lease import Lease
from orchestrator.engine.who import SCOPES, Who
from orchestrator.errors import Conflict, Misconfigured, OrchestratorError, Unavailable
from orchestrator.faultpoints import Point, reach
from orchestrator.storage import checkpoints as signed
from orchestrator.storage import events, retention
from orchestrator.storage.database import now as transaction_now
from orchestrator.telemetry import get_logger

log = get_logger(__name__)

ACTOR = "orchestrator"

#: Between two months of a round, after one that could not be had now, and between two rounds.
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


def _in_silence() -> None:
    """Tell nobody."""


async def fates(
    deps: Deps,
    *,
    keep_days: int,
    after: UUID | None = None,
    until_one_goes: bool = False,
    on_judged: Callable[[], None] = _in_silence,
) -> list[Fate]:
    """Return what is to become of each month, the oldest first; read-only.

    Args:
        after: look only at months whose first stream is later.
        until_one_goes: look no further than the first that may.
        on_judged: called after each: one may take minutes.
    """
    found: list[Fate] = []
    for month in await deps.db.run(retention.months):
        if after is not None and month.first.int <= after.int:
            continue

        async def judge(connection: AsyncConnection, month: Month = month) -> Fate:
            return await _judge(connection, month, keep_days=keep_days, erases=_erases(deps))

        found.append(await deps.db.run(judge))
        on_judged()
        if until_one_goes and not found[-1].reasons:
            break
    return found


async def retire_next(deps: Deps, *, at_once: bool = False, anew: bool = False) -> Retired | None:
    """Retire the next month that may go, if one may and it is our turn to look.

    A round goes through all months once, the oldest first, one at a time. One that cannot be proven stays, and is in
    nobody's way: months share no chain, and each export has to prove itself. The next round tries it again.

    Args:
        at_once: do not wait until it is due.
        anew: begin a round, wherever the last one is.

    Returns: None at the end of a round, and where it is not our turn.

    Raises:
        Unavailable: the database is away or busy, or there is no place for the export; nothing was retired.
        Conflict: what was exported does not prove the month; it stays, and the next call goes on after it.
    """
    keep_days = deps.settings.keep_history_days
    if keep_days is None:
        return None

    lease = await Lease.take(deps, at_once=at_once)
    if lease is None:
        return None
    left = _Left(reached=None if anew else lease.reached)
    try:
        async with lease.kept():
            return await _step(deps, left, lease, keep_days=keep_days)
    finally:
        await _leave(deps, lease, left)


@dataclass(slots=True, kw_only=True)
class _Left:
    """How a step leaves its round: where, for how long, and which month it has found proven or unproven."""

    reached: UUID | None
    wait_s: float = AGAIN_S
    proven: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)


async def _step(deps: Deps, left: _Left, lease: Lease, *, keep_days: int) -> Retired | None:
    await checkpoints.keep(deps, at_once=True)
    found = await fates(deps, keep_days=keep_days, after=left.reached, until_one_goes=True, on_judged=lease.get_on)
    going = [fate for fate in found if not fate.reasons]
    if not going:
        left.reached, left.wait_s = None, LOOK_S
        return None
    [fate] = going
    try:
        gone = await _retire(deps, fate, lease, keep_days=keep_days)
    except Conflict as error:
        if error.code == UNPROVEN:
            left.reached, left.wait_s, left.unproven = fate.month.first, NEXT_S, [fate.month.name]
            log.error("a month of the history cannot be proven", code=UNPROVEN, why=error.message, hint=error.hint)
        raise
    left.reached, left.wait_s, left.proven = fate.month.first, NEXT_S, [fate.month.name]
    await _sign(deps)
    return gone


async def _sign(deps: Deps) -> None:
    """Sign that the month was retired: until then verifiers find its streams missing."""
    try:
        await checkpoints.keep(deps, at_once=True)
    except OrchestratorError as error:
        # It is retired whatever comes of this, and the workers sign about every minute.
        log.warning("that a month is retired is signed later", code=error.code, why=error.message)


async def _leave(deps: Deps, lease: Lease, left: _Left) -> None:
    async def leave(connection: AsyncConnection) -> None:
        if left.proven or left.unproven:
            await lease.note_unproven(connection, left.unproven, but=left.proven)
        await lease.leave(connection, wait_s=left.wait_s, reached=left.reached)

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


async def _retire(deps: Deps, fate: Fate, lease: Lease, *, keep_days: int) -> Retired:
    content, month = fate.content, fate.month
    assert content is not None, "a month that goes was read"
    assert content.first_at is not None, "and is not empty"
    assert content.last_at is not None, "and is not empty"
    if deps.retired is None or deps.signer is None:
        raise Misconfigured("history is not retired by a process that has no place for it and signs nothing")
    who = Who(workspace_id=content.workspaces[0], actor=ACTOR, scopes=frozenset(SCOPES))
    export, digest = await retention_export.export(deps, deps.retired, lease, who, month, content)
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
    await _drop(deps, lease, who, retired, content.last_at, keep_days=keep_days)
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


async def _drop(deps: Deps, lease: Lease, who: Who, retired: Retired, last_at: datetime, *, keep_days: int) -> None:
    """Find a moment in which nobody holds the history; it waits for nobody, so that nobody waits behind it."""
    for _ in range(TRIES):
        lease.get_on()
        if await _dropped(deps, lease, who, retired, last_at, keep_days=keep_days):
            return
        await asyncio.sleep(PAUSE_S * (0.5 + deps.sources.unit()))
    raise Unavailable(
        f"{retired.partition} is exported and stays for now: the history was in use at each of {TRIES} tries",
        code="retention_busy",
        hint="it is tried again in ten minutes; in a quiet hour: orchestrator admin retention",
    )


class _NotNow(Exception):
    """Rolls back."""


async def _dropped(deps: Deps, lease: Lease, who: Who, retired: Retired, last_at: datetime, *, keep_days: int) -> bool:
    async def drop(connection: AsyncConnection) -> None:
        if any(each.partition == retired.partition for each in await retention.retired(connection, who.workspace_id)):
            return  # the commit before this try went through; only its answer was lost
        await lease.holds(connection)
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
        async with lease.asking():
            await deps.db.run(drop)
    except _NotNow:
        return False
    return True


def _erases(deps: Deps) -> bool:
    return deps.settings.keep_content_days is not None
