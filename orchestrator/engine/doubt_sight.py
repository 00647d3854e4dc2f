"""What a person was shown of a doubt before they decided: kept with the decision, which is refused if it has changed.

`seen` is opaque and signed: it says when a doubt was shown, and how the histories of its runs ended then.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.engine.deps import Deps
from orchestrator.engine.who import Who
from orchestrator.errors import BadInput, Conflict, Problem
from orchestrator.storage import doubts, events
from orchestrator.storage.doubts import Standing
from orchestrator.storage.sealing import Sealer

_MAC_BYTES = 12
MAX_SEEN_CHARS = 600
#: Events since then that a refusal names.
_TOLD = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How a doubt stood when it was shown: `digest` is over the ends of the histories of its runs in doubt.

    Args:
        at: when, where that is told: a list for programs has none, so that it stays the same while nothing changes.
    """

    at: str | None
    runs: int
    seq: int
    status: str
    digest: str

    def told(self) -> dict[str, object]:
        """Return what the decision's event keeps of it."""
        told = {"seen_at": self.at, "seen_runs": self.runs, "seen": self.digest}
        return {name: value for name, value in told.items() if value is not None}


async def of_doubts(
    connection: AsyncConnection, deps: Deps, who: Who, ids: Sequence[UUID], *, at: datetime | None = None
) -> dict[UUID, str]:
    """Return the `seen` of some doubts as they stand in this transaction."""
    found = await doubts.standing(connection, who.workspace_id, ids)
    return {standing.id: _issue(deps.sealer, who, standing, at=at) for standing in found}


def redeem(deps: Deps, who: Who, doubt_id: UUID, seen: str) -> Seen:
    """Return what a `seen` says.

    Raises:
        BadInput: it was changed, or is of another doubt.
    """
    found = _opened(deps.sealer, who, doubt_id, seen)
    if found is None:
        problem = Problem(message="is not one that this doubt was shown with", code="field.value", field="seen")
        raise BadInput(str(problem), code=problem.code, problems=(problem,))
    return found


async def refuse_changed(connection: AsyncConnection, who: Who, doubt_id: UUID, seen: Seen | None) -> None:
    """Refuse a decision about what is not as it was shown, if it was. The caller holds the locks.

    Raises:
        Conflict: with what has changed.
    """
    if seen is None:
        return
    (now,) = await doubts.standing(connection, who.workspace_id, [doubt_id])
    if now.digest == seen.digest and now.status == seen.status:
        return
    shown_at = f" at {seen.at}" if seen.at else ""
    raise Conflict(
        f"it has changed since it was shown to you{shown_at}: {await _changes(connection, doubt_id, seen, now)}",
        code="changed_meanwhile",
        hint="look at it again, then decide; nothing was done",
    )


async def unchanged(connection: AsyncConnection, who: Who, run_id: UUID, as_of: datetime) -> Seen:
    """Return how a run in doubt stood at a time, if it stands so still. The caller holds the locks.

    Raises:
        Conflict: something has happened to it since.
    """
    (now,) = await doubts.standing(connection, who.workspace_id, [run_id])
    latest = await events.read(connection, run_id, after=max(now.seq - _TOLD, 0), limit=_TOLD)
    since = [f"{e.type.replace('_', ' ')} ({e.actor}, {e.at:%H:%M:%S} UTC)" for e in latest if e.at > as_of]
    if since:
        raise Conflict(
            f"it has changed since this was decided for many at {_stamp(as_of)}: {', '.join(since)}",
            code="changed_meanwhile",
            hint="look at it, then decide about it by itself; nothing was done to it",
        )
    return Seen(at=_stamp(as_of), runs=now.runs, seq=now.seq, status=now.status, digest=now.digest)


async def _changes(connection: AsyncConnection, doubt_id: UUID, seen: Seen, now: Standing) -> str:
    since = await events.read(connection, doubt_id, after=seen.seq, limit=_TOLD + 1)
    if not since:  # a wave, whose runs have a history each
        return f"{seen.runs} of its runs were in doubt, now {now.runs} are" + (
            ", and others" if now.runs == seen.runs else ""
        )
    told = [f"{e.type.replace('_', ' ')} ({e.actor}, {e.at:%H:%M:%S} UTC)" for e in since[:_TOLD]]
    more = " and more" if len(since) > _TOLD else ""
    return f"{', '.join(told)}{more}; the run is {now.status.replace('_', ' ')} now"


def _issue(sealer: Sealer, who: Who, standing: Standing, *, at: datetime | None) -> str:
    seen = Seen(
        at=None if at is None else _stamp(at),
        runs=standing.runs,
        seq=standing.seq,
        status=standing.status,
        digest=standing.digest,
    )
    return _spelled(sealer, who, standing.id, json.dumps(asdict(seen), separators=(",", ":")))


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _opened(sealer: Sealer, who: Who, doubt_id: UUID, seen: str) -> Seen | None:
    if len(seen) > MAX_SEEN_CHARS or not seen.isascii():
        return None
    try:
        text = base64.b64decode(seen + "=" * (-len(seen) % 4), altchars=b"-_", validate=True)[_MAC_BYTES:].decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    if not hmac.compare_digest(seen, _spelled(sealer, who, doubt_id, text)):
        return None
    said: dict[str, Any] = json.loads(text)
    return Seen(**said)


def _spelled(sealer: Sealer, who: Who, doubt_id: UUID, text: str) -> str:
    mac = bytes.fromhex(sealer.fingerprint("seen", str(who.workspace_id), str(doubt_id), text))[:_MAC_BYTES]
    return base64.urlsafe_b64encode(mac + text.encode()).decode().rstrip("=")
