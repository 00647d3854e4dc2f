"""Signs the history now and then, and keeps what was signed outside the database.

Any number of workers may try at any time: one signs, the others find it done. What is signed is committed first and
kept outside afterwards, so that a death in between leaves a checkpoint that the next try brings out.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import checkpoints as rules
from orchestrator.domain.audit_export import anchor_line, read_anchor
from orchestrator.domain.checkpoints import SignedCheckpoint, Unreadable, read_body
from orchestrator.engine.deps import Deps
from orchestrator.engine.ports import Anchors
from orchestrator.storage import checkpoints
from orchestrator.storage.checkpoints import Stored
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.signing import Signer
from orchestrator.telemetry import get_logger

log = get_logger(__name__)

#: Checkpoints that are brought out together.
AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A checkpoint that was just signed. `is_whole`: it holds all that had moved."""

    stored: Stored
    is_whole: bool


async def keep(deps: Deps, *, at_once: bool = False) -> int:
    """Sign what is due in each workspace, and bring out what is not outside yet. Returns how many were signed.

    Args:
        at_once: sign whatever happened since the last checkpoint, however short ago that was.

    Raises:
        Unavailable: the database is away; or the place outside, and what was signed comes out later.
    """
    if deps.signer is None:
        return 0

    made = 0
    for workspace in await deps.db.run(checkpoints.workspaces):
        signed = await _sign(deps, deps.signer, workspace, at_once=at_once)
        made += len(signed)
        if deps.anchors is not None:
            await _bring_out(deps, deps.anchors, workspace, signed)
    return made


async def _sign(deps: Deps, signer: Signer, workspace: UUID, *, at_once: bool) -> list[Stored]:
    """Sign a workspace's history if it is due: more than one checkpoint where very much has moved."""
    signed: list[Stored] = []

    async def write(connection: AsyncConnection) -> _Made | None:
        return await _sign_next(connection, signer, workspace, is_asked=at_once or bool(signed))

    while (made := await deps.db.run(write)) is not None:
        signed.append(made.stored)
        if made.is_whole:
            break
    return signed


async def _sign_next(connection: AsyncConnection, signer: Signer, workspace: UUID, *, is_asked: bool) -> _Made | None:
    if not await checkpoints.take_turn(connection, workspace):
        return None
    now = await transaction_now(connection)
    last = await checkpoints.last(connection, workspace)
    last_at = None if last is None else last.at
    if not is_asked and not rules.is_due(last_at, now=now, has_news=True):
        return None
    since = rules.look_from(None if last is None else last.settled_until, now=now)
    moved = await checkpoints.moved(connection, workspace, since=since, limit=rules.MAX_HEADS)
    is_due = rules.is_due(last_at, now=now, has_news=bool(moved))
    if not is_due and not (is_asked and moved):
        return None
    checkpoint, heads = rules.next_checkpoint(
        None if last is None else last.body, moved, workspace=workspace, at=now, key=signer.key_id
    )
    body = rules.body_text(checkpoint)
    signed = SignedCheckpoint(body=body, signature=signer.sign(body.encode()), heads=heads)
    is_whole = len(moved) < rules.MAX_HEADS
    await checkpoints.keep_key(connection, signer.key_id, signer.public_key)
    settled_until = now - rules.LOOK_BACK if is_whole else since
    await checkpoints.insert(connection, checkpoint, signed, settled_until=settled_until)
    return _Made(stored=Stored(number=checkpoint.number, at=checkpoint.at, signed=signed), is_whole=is_whole)


async def _bring_out(deps: Deps, anchors: Anchors, workspace: UUID, signed: list[Stored]) -> None:
    """Append what the place outside does not have yet. It is never changed: a history that differs begins anew."""
    if not anchors.can_be_read:
        if signed:
            await anchors.append(workspace, [_line(each) for each in signed], anew=False)
        return
    kept = await anchors.last(workspace)
    after = 0 if kept is None else await _continues(deps, anchors, workspace, kept)
    anew = after is None
    while found := await _read(deps, workspace, after=after or 0):
        await anchors.append(workspace, [_line(each) for each in found], anew=anew)
        after, anew = found[-1].number, False


async def _continues(deps: Deps, anchors: Anchors, workspace: UUID, kept: bytes) -> int | None:
    """Return the number of the last checkpoint outside, None where the database's history is not that one."""
    try:
        outside = read_anchor(kept)
        number = read_body(outside.body).number
    except Unreadable as wrong:
        _tell_apart(anchors, workspace, f"its last line is damaged: {wrong}")
        return None
    found = await _read(deps, workspace, after=number - 1, limit=1)
    if found and found[0].number == number and _line(found[0]) == kept:
        return number
    why = "is not the one that was kept" if found else "is missing in the database"
    _tell_apart(anchors, workspace, f"checkpoint {number} {why}: the database was restored, or its history rewritten")
    return None


def _tell_apart(anchors: Anchors, workspace: UUID, because: str) -> None:
    log.error(
        "the history is not the one that was anchored outside; it is anchored anew, beside it",
        code="history_diverged",
        workspace=str(workspace),
        place=anchors.place,
        because=because,
        hint="was the database restored? Else: orchestrator audit verify --anchors FILE",
    )


async def _read(deps: Deps, workspace: UUID, *, after: int, limit: int = AT_ONCE) -> list[Stored]:
    async def read(connection: AsyncConnection) -> list[Stored]:
        return await checkpoints.read(connection, workspace, after=after, limit=limit, with_heads=False)

    return await deps.db.run(read)


def _line(stored: Stored) -> bytes:
    return anchor_line(stored.signed).encode()
