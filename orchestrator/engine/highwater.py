"""Keeps the mark outside the database, and holds all launches where the database is older than it.

Looks and downloads never ask: what the database knows of is watched and fetched, held or not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import highwater as decisions
from orchestrator.domain import launch_notes
from orchestrator.domain.answers import Accepted, WaveAccepted
from orchestrator.domain.highwater import Finding, Mark, OutsideMark
from orchestrator.domain.launch_notes import AnswerNote, Came, LaunchNote
from orchestrator.engine.deps import Deps
from orchestrator.engine.launch_orders import LaunchOrder
from orchestrator.engine.ports import Outside
from orchestrator.errors import Gone, Misbehaved, Misconfigured, NotSent, ProviderError, Refused, Throttled, Unavailable
from orchestrator.storage import highwater
from orchestrator.telemetry import get_logger

log = get_logger(__name__)

#: While launches are held, a lane asks again so often, seconds.
ASK_AGAIN_S = 5.0
#: When a comparison must be made first, it asks again so soon.
COMPARE_S = 0.5

#: Launches of the journal's end that a start looks for in the database.
LOOKED_FOR = 1000


async def keep_mark(deps: Deps) -> bool:
    """Compare the database with the places outside; if it is no older, advance the mark and write it there.

    Returns whether launches may go. A worker calls it at its start and every few seconds.

    Raises:
        Unavailable: the database or a place outside is away. Before the first comparison nothing is launched then.
    """
    if deps.outside is None:
        deps.watermark.is_checked = True
        return True
    is_first = not deps.watermark.is_checked
    try:
        told = await deps.outside.read()
    except Misconfigured as error:
        await _hold(deps, decisions.damaged(error.message))
        return False
    last = await _last_noted(deps.outside) if is_first else []
    finding, mark = await _compare(deps, told, last)
    if finding is not None:
        await _hold(deps, finding)
    deps.watermark.is_checked = True
    if mark is None:
        return False
    if is_first and not told:
        log.info("no high-water mark outside yet: nothing to compare the database with", mark=mark.number)
    await deps.outside.write(mark)
    deps.watermark.has_written = True
    return True


async def ensure_compared(deps: Deps) -> None:
    """Compare before the first launch of this process, and after a claim met a database that it does not recognise."""
    if deps.watermark.is_checked:
        return
    async with deps.watermark.comparing:
        if not deps.watermark.is_checked:
            await keep_mark(deps)


async def _hold(deps: Deps, finding: Finding) -> None:
    """Hold all launches, of every worker; the first to find it says so."""

    async def write(connection: AsyncConnection) -> bool:
        return await highwater.hold(connection, finding)

    if await deps.db.run(write):
        log.error("launches are held", why=finding.because, code=str(finding.code), do="orchestrator admin held")
    deps.watermark.is_checked = True


async def _compare(deps: Deps, told: list[OutsideMark], last: list[UUID]) -> tuple[Finding | None, Mark | None]:
    """Return what speaks against the database, and the advanced mark where nothing holds."""

    async def write(connection: AsyncConnection) -> tuple[Finding | None, Mark | None]:
        here = await highwater.lock(connection)
        finding = await find(deps, connection, here, told, last)
        if finding is not None or await highwater.holds(connection):
            return finding, None
        advanced = Mark(incarnation=here.incarnation, epoch=here.epoch, number=here.number + 1)
        await highwater.set_to(connection, advanced)
        return None, advanced

    finding, mark = await deps.db.run(write)
    if mark is not None:
        deps.watermark.see(mark)
    return finding, mark


async def find(
    deps: Deps, connection: AsyncConnection, here: Mark, told: list[OutsideMark], last: list[UUID]
) -> Finding | None:
    """Say why this database must not launch, None when nothing speaks against it.

    Args:
        told: what the places outside said, read before this transaction began.
        last: the last intents that are written down outside.
    """
    memory = deps.watermark
    if memory.seen is not None and decisions.is_taken_over(here, told, memory.seen):
        memory.seen, memory.last_intent = None, None
    asked = [*last, *([memory.last_intent] if memory.last_intent is not None else [])]
    lost = await highwater.unknown_intents(connection, asked) if asked else set()
    return decisions.judge(here, told, seen=memory.seen, lost_launches=len(lost), at_start=not memory.has_written)


async def _last_noted(outside: Outside) -> list[UUID]:
    """Return the intents at the journal's end."""
    notes = [launch_notes.parse(line) for line in await outside.tail()]
    launches = sorted((n for n in notes if isinstance(n, LaunchNote)), key=lambda note: note.at)
    return [note.intent_id for note in launches[-LOOKED_FOR:]]


async def last_noted(deps: Deps) -> list[UUID]:
    """Return the intents at the journal's end, none where nothing is kept outside."""
    return [] if deps.outside is None else await _last_noted(deps.outside)


async def wait_s(deps: Deps, connection: AsyncConnection) -> float | None:
    """Say for how long a claim must launch nothing, None when it may: one small statement for each claim."""
    memory = deps.watermark
    # What was known before the statement began, the database must know: other turns of this process go on meanwhile.
    seen, last_intent = memory.seen, memory.last_intent
    found = await highwater.gate(connection, last_intent)
    if found.is_held:
        return ASK_AGAIN_S
    is_strange = seen is not None and (
        seen.incarnation != found.mark.incarnation or seen.epoch != found.mark.epoch or found.mark.is_before(seen)
    )
    if is_strange or not found.knows_intent:
        # Swapped under us, or released meanwhile: the whole comparison tells which.
        memory.is_checked = False
        return COMPARE_S
    memory.see(found.mark)
    return None


async def note_launches(deps: Deps, orders: Sequence[LaunchOrder]) -> None:
    """Write launches down outside, before their requests are sent."""
    deps.watermark.last_intent = orders[-1].intent_id
    at = deps.sources.utc_now()
    notes = (
        LaunchNote(
            at=at,
            intent_id=order.intent_id,
            fence=order.fence,
            connection_id=order.connection_id,
            remote_workflow_id=order.remote_workflow_id,
            is_wave=order.wave_id is not None,
            body_sha256=hashlib.sha256(order.body).hexdigest(),
            body_bytes=len(order.body),
            runs=tuple(order.facts.runs),
        )
        for order in orders
    )
    await _note(deps, b"".join(note.line() for note in notes))


async def note_answer(deps: Deps, order: LaunchOrder, answer: Accepted | WaveAccepted | ProviderError) -> None:
    """Write down outside what came of a launch, before the database is told."""
    came, ids = _came(answer)
    note = AnswerNote(at=deps.sources.utc_now(), intent_id=order.intent_id, came=came, execution_ids=ids)
    await _note(deps, note.line())


async def _note(deps: Deps, lines: bytes) -> None:
    if deps.outside is None:
        return
    try:
        await deps.outside.note(lines)
    except Unavailable as error:
        # The database has it. Only a restore would miss it, so the launch goes on.
        log.warning("a launch is not written down outside the database", why=error.message)


def _came(answer: Accepted | WaveAccepted | ProviderError) -> tuple[Came, dict[int, str]]:
    match answer:
        case Accepted(execution_id=execution_id):
            return Came.ACCEPTED, {0: execution_id}
        case WaveAccepted(execution_ids=execution_ids):
            return Came.ACCEPTED, dict(execution_ids)
        case NotSent() | Throttled() | Refused() | Gone() | Misbehaved():
            return Came.NOTHING, {}
        case _:
            return Came.UNKNOWN, {}
