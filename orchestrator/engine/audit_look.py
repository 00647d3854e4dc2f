"""The audit as it is shown: who did what to what and why, whether it links up, and what of it is signed and kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import chain
from orchestrator.domain.audit_export import read_anchor
from orchestrator.domain.chain import GENESIS, Event
from orchestrator.domain.checkpoints import Unreadable, read_body
from orchestrator.engine.deps import Deps
from orchestrator.engine.shown import shown
from orchestrator.engine.who import Who
from orchestrator.errors import BadInput, NotFound, Unavailable
from orchestrator.storage import audit_look, checkpoints, events
from orchestrator.storage.audit_look import STRETCH, Sought
from orchestrator.storage.checkpoints import Stored
from orchestrator.storage.signing import is_signed

#: Events of the workspace's stream that a page verifies, the newest; the command verifies all of all streams.
VERIFIED = 1_000
#: Checkpoints that a page shows.
SHOWN = 10
#: Stretches of history in which the making of a report is looked for.
STRETCHES = 4

#: What a filter offers: each stands for the kinds that begin with its words.
SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "connection": ("added", "set", "rotated", "paused", "resumed", "removed"),
    "workflow": ("set",),
    "token": ("created", "revoked", "exposed"),
    "session": ("opened", "closed"),
    "webhook": ("added", "set", "rotated", "resent", "removed", "disabled"),
    "schedule": ("created", "updated", "paused", "resumed", "removed", "run_now", "set_aside"),
    "operation": ("started", "ended", "cancelled"),
    "report": ("made",),
    "audit": ("exported",),
}

#: What an event was about: the first of these that it names.
_TARGETS = (
    "connection", "workflow", "webhook", "schedule", "batch", "run", "token", "operation", "doubt", "item", "kind",
)  # fmt: skip


async def list_events(
    deps: Deps,
    who: Who,
    *,
    before: int | None,
    limit: int,
    types: Sequence[str] | None = None,
    actor: str | None = None,
    words: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> tuple[list[dict[str, Any]], int | None]:
    """Return one page of what was done in the workspace, latest first, and the number before which the next one begins.

    A page looks through a bounded stretch of the history: it may show few, or none, and still have a next one.

    Args:
        types, actor, words: of these kinds, by this one, with this in their facts; None: whatever they say.
        since, until: no earlier and no later than that.
    """
    sought = Sought(types=types, actor=actor, words=words, since=since, until=until)

    async def read(connection: AsyncConnection) -> tuple[int, int, list[Event]]:
        end = (await audit_look.head(connection, who.workspace_id)).seq + 1
        first, last = await audit_look.bounds(connection, who.workspace_id, sought, end=end)
        start = last if before is None else min(before, last)
        floor = max(first, start - STRETCH)
        page = await audit_look.page(connection, who.workspace_id, sought, floor=floor, before=start, limit=limit + 1)
        return first, floor, page

    first, floor, found = await deps.db.run(read)
    if len(found) > limit:
        return [_view(event) for event in found[:limit]], found[limit - 1].seq
    return [_view(event) for event in found], floor if floor > first else None


async def chain_state(deps: Deps, who: Who) -> dict[str, Any]:
    """Return whether the newest part of the workspace's stream links up, and ends where the workspace says.

    `broken` is the first bad place in words, None when all is well; `from_seq` to `to_seq` is what was looked at.
    """

    async def read(connection: AsyncConnection) -> tuple[int, bytes, list[Event]]:
        head = await audit_look.head(connection, who.workspace_id)
        first = max(0, head.seq - VERIFIED - 1)
        return head.seq, head.hash, await events.read(connection, who.workspace_id, after=first, limit=VERIFIED + 1)

    seq, digest, found = await deps.db.run(read)
    is_whole = not found or found[0].seq == 1
    broken = chain.first_break(found) if is_whole else chain.first_break(found[1:], after=found[0])
    if broken is None and (found[-1].hash if found else GENESIS) != digest:
        broken = "its last event is not the one that the workspace's row names"
    begins = 0 if not found else 1 if is_whole else found[0].seq + 1
    return {"broken": broken, "is_whole": is_whole, "from_seq": begins, "to_seq": seq}


async def checkpoint_state(deps: Deps, who: Who) -> dict[str, Any]:
    """Return the latest checkpoints, whether each is signed by the key that it names, and what is kept outside."""
    anchors = await anchor_state(deps, who)
    found, _ = await _checkpoints(deps, who, before=None, limit=SHOWN, outside=anchors["last"])
    return {"checkpoints": found, "anchors": anchors}


async def list_checkpoints(
    deps: Deps, who: Who, *, before: int | None, limit: int
) -> tuple[list[dict[str, Any]], int | None]:
    """Return one page of checkpoints, the latest first, and the number before which the next one begins."""
    outside, _ = await _outside(deps, who)
    return await _checkpoints(deps, who, before=before, limit=limit, outside=outside)


async def anchor_state(deps: Deps, who: Who) -> dict[str, Any]:
    """Return where checkpoints are kept outside, the last that is there, and what is in the way of knowing it."""
    last, trouble = await _outside(deps, who)
    return {
        "place": None if deps.anchors is None else deps.anchors.place,
        "can_be_read": deps.anchors is not None and deps.anchors.can_be_read,
        "last": last,
        "trouble": trouble,
    }


async def find_report(deps: Deps, who: Who, sha256: str) -> dict[str, Any]:
    """Return who was given the report of this SHA-256, and when: `made` is None where none is found.

    Raises:
        BadInput: it is no SHA-256.
    """
    wanted = sha256.strip().lower()
    if len(wanted) != 64 or not set(wanted) <= set("0123456789abcdef"):
        raise BadInput("a SHA-256 is 64 digits and letters a to f", code="field.value", hint="sha256sum FILE")
    before: int | None = None
    for _ in range(STRETCHES):
        found, before = await list_events(deps, who, before=before, limit=1, types=("report_made",), words=wanted)
        made = next((event for event in found if event["data"].get("sha256") == wanted), None)
        if made is not None or before is None:
            return {"sha256": wanted, "made": made, "looked_at_all": before is None}
    return {"sha256": wanted, "made": None, "looked_at_all": False}


async def show_report(deps: Deps, who: Who, sha256: str) -> dict[str, Any]:
    """Return the event of the making of the report of this SHA-256: to whom it was given, and when.

    Raises:
        BadInput: it is no SHA-256.
        NotFound: no report of it was made here, or not in the history that was looked through.
    """
    found = await find_report(deps, who, sha256)
    if found["made"] is not None:
        made: dict[str, Any] = found["made"]
        return made
    if found["looked_at_all"]:
        raise NotFound("no report of this SHA-256 was made in this workspace", code="report_not_found")
    raise NotFound(
        f"no report of this SHA-256 was made in the latest {STRETCHES * STRETCH:,} events of this workspace",
        code="report_not_found",
        hint="orchestrator audit list --type report_made --words SHA256 looks through all of them.",
    )


def kinds_of(subject: str) -> tuple[str, ...]:
    """Return the kinds of events about a subject.

    Raises:
        BadInput: there is no such subject.
    """
    if subject not in SUBJECTS:
        raise BadInput(f"about is one of {', '.join(SUBJECTS)}", code="field.value")
    return tuple(f"{subject}_{end}" for end in SUBJECTS[subject])


def kinds_asked(subject: str | None, types: Sequence[str]) -> tuple[str, ...] | None:
    """Return which kinds of events are asked for by a subject, by their names, or by both; None: all.

    Raises:
        BadInput: there is no such subject, or a kind is not about it.
    """
    if subject is None:
        return tuple(types) or None
    known = kinds_of(subject)
    if strange := [kind for kind in types if kind not in known]:
        raise BadInput(f"{strange[0]!r} is not about {subject}; that is {', '.join(known)}", code="field.value")
    return tuple(types) or known


async def _outside(deps: Deps, who: Who) -> tuple[int | None, str | None]:
    """Return the number of the last checkpoint that is kept outside, and what is in the way of knowing it."""
    if deps.anchors is None or not deps.anchors.can_be_read:
        return None, None
    try:
        kept = await deps.anchors.last(who.workspace_id)
        return None if kept is None else read_body(read_anchor(kept).body).number, None
    except Unavailable as error:
        return None, error.message
    except Unreadable as error:
        return None, f"its last line is damaged: {error}"


async def _checkpoints(
    deps: Deps, who: Who, *, before: int | None, limit: int, outside: int | None
) -> tuple[list[dict[str, Any]], int | None]:
    async def read(connection: AsyncConnection) -> tuple[list[Stored], Mapping[str, bytes]]:
        end = audit_look.LAST if before is None else before
        page = await audit_look.checkpoints(connection, who.workspace_id, before=end, limit=limit + 1)
        return page, await checkpoints.keys(connection)

    found, keys = await deps.db.run(read)
    told = [_checkpoint(stored, keys, outside) for stored in found[:limit]]
    return told, found[limit - 1].number if len(found) > limit else None


def _checkpoint(stored: Stored, keys: Mapping[str, bytes], outside: int | None) -> dict[str, Any]:
    body = read_body(stored.signed.body)
    key = keys.get(body.key)
    is_good = key is not None and is_signed(key, stored.signed.body.encode(), stored.signed.signature)
    return shown(
        {
            "number": stored.number,
            "at": stored.at,
            "key": body.key,
            "heads": body.heads,
            "events": body.events,
            "streams": body.streams,
            "root": body.root,
            "is_signed": is_good,
            "is_outside": None if outside is None else stored.number <= outside,
        }
    )


def _view(event: Event) -> dict[str, Any]:
    """Return an event as a page shows it: what it was about, what was before and after, why, and what else it says."""
    data = _facts(event)
    about = next((name for name in _TARGETS if data.get(name) is not None), None)
    was = data.get("was")
    before = was if isinstance(was, dict) else {}
    changed = [
        {"name": name, "was": value, "now": data.get(name)} for name, value in before.items() if value != data.get(name)
    ]
    hidden = {"reason", "was", about, *before}
    target = None if about is None else {"kind": about, "id": str(data[about])}
    rest = {name: value for name, value in data.items() if name not in hidden}
    return shown(
        {
            "seq": event.seq,
            "at": event.at,
            "type": event.type,
            "actor": event.actor,
            "target": target,
            "changed": changed,
            "reason": data.get("reason"),
            "facts": rest,
            "data": data,
            "hash": event.hash,
        }
    )


def _facts(event: Event) -> dict[str, Any]:
    """Return what an event says. One that was changed in the database is shown too; the chain tells of it."""
    try:
        data = json.loads(event.data, parse_constant=str)
    except ValueError:
        data = None
    return data if isinstance(data, dict) else {"unreadable": event.data[:1000]}
