"""What is asked of schedules: what there is, what comes next, and what became of each tick."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import templates
from orchestrator.domain.calendar.preview import in_words, preview
from orchestrator.domain.calendar.reading import read_rhythm
from orchestrator.domain.calendar.rhythms import Rhythm
from orchestrator.domain.fires import FireState
from orchestrator.engine import schedule_words as words
from orchestrator.engine import ticks
from orchestrator.engine.deps import Deps
from orchestrator.engine.shown import shown
from orchestrator.engine.who import Who
from orchestrator.errors import BadInput, NotFound
from orchestrator.storage import fires, schedules
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.schedules import ScheduleRow

#: Ticks that a preview shows.
MOST_PREVIEWED = 1_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def list_schedules(deps: Deps, who: Who) -> list[dict[str, Any]]:
    """Return the workspace's schedules by name, each with what its latest tick came to."""

    async def read(session: AsyncConnection) -> list[dict[str, Any]]:
        found = await schedules.page(session, who.workspace_id)
        latest = await fires.latest(session, [row.id for row in found])
        return [words.view(row, latest.get(row.id)) for row in found]

    return await deps.db.run(read)


async def show_schedule(deps: Deps, who: Who, name: str) -> dict[str, Any]:
    """Return one schedule."""

    async def read(session: AsyncConnection) -> dict[str, Any]:
        row = await find(session, who, name)
        latest = await fires.latest(session, [row.id])
        return words.view(row, latest.get(row.id))

    return await deps.db.run(read)


async def preview_schedule(deps: Deps, who: Who, name: str, *, count: int) -> dict[str, Any]:
    """Return the next ticks of a schedule, in its zone and in UTC, with what the clock change does to them."""

    async def read(session: AsyncConnection) -> ScheduleRow:
        return await find(session, who, name)

    row = await deps.db.run(read)
    return _previewed(ticks.rhythm_of(row), row.now, count, template=row.template)


async def preview_rhythm(
    deps: Deps, *, cron: str | None, every: str | None, zone: str, count: int, template: str | None = None
) -> dict[str, Any]:
    """Return the ticks that a rhythm would have from now on, with the files of a template; nothing is stored."""
    now = await deps.db.run(transaction_now)
    named = None if template is None else templates.check(template)
    return _previewed(read_rhythm(cron=cron, every=every, zone=zone, anchor=whole(now)), now, count, template=named)


async def list_fires(
    deps: Deps,
    who: Who,
    name: str,
    *,
    before: int | None = None,
    states: Sequence[str] | None = None,
    limit: int = 50,
) -> tuple[list[dict[str, Any]], int | None]:
    """Return a schedule's ticks, latest first, and the time before which the next page begins, epoch microseconds."""
    unknown = set(states or ()) - set(FireState)
    if unknown:
        raise BadInput(f"a tick's state is one of {', '.join(FireState)}, not {sorted(unknown)[0]!r}")

    async def read(session: AsyncConnection) -> list[dict[str, Any]]:
        row = await find(session, who, name)
        at = None if before is None else _EPOCH + timedelta(microseconds=before)
        return await fires.page(session, row.id, before=at, states=states, limit=limit + 1)

    found = await deps.db.run(read)
    following = None
    if len(found) > limit:
        following = (found[limit - 1]["nominal_at"] - _EPOCH) // timedelta(microseconds=1)
    return [words.fire_view(row) for row in found[:limit]], following


async def find(session: AsyncConnection, who: Who, name: str) -> ScheduleRow:
    """Return a schedule, or raise `NotFound`."""
    row = await schedules.find(session, who.workspace_id, name)
    if row is None:
        raise unknown(name)
    return row


def _previewed(rhythm: Rhythm, now: datetime, count: int, *, template: str | None = None) -> dict[str, Any]:
    if not 1 <= count <= MOST_PREVIEWED:
        raise BadInput(f"a preview shows 1 to {MOST_PREVIEWED} ticks", code="field.range")
    ticks = [
        {
            "at": tick.utc,
            "local": tick.local.isoformat(timespec="seconds"),
            "jump": tick.jump,
            "file": None if template is None else templates.fill(template, tick.local),
        }
        for tick in preview(rhythm, now, count)
    ]
    return shown({"when": in_words(rhythm), "tz": rhythm.zone, "ticks": ticks})


def whole(at: datetime) -> datetime:
    """Return the second in which a time lies: intervals are counted from whole ones."""
    return at.astimezone(UTC).replace(microsecond=0)


def unknown(name: str) -> NotFound:
    """Return what is raised for a name that there is not."""
    return NotFound(
        f"there is no schedule named {name!r}", code="schedule_not_found", hint="orchestrator schedule list"
    )
