"""Doubts: launches of which nobody knows whether they arrived, and how a person settles them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import operator_decisions
from orchestrator.domain.changes import Change
from orchestrator.domain.operator_decisions import Resolution
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.engine import settle
from orchestrator.engine.deps import Deps
from orchestrator.engine.shown import shown
from orchestrator.engine.who import Who
from orchestrator.errors import BadInput, Conflict, NotFound
from orchestrator.storage import batches, changes, doubts, intents, lanes, questions, turns, waves
from orchestrator.storage.changes import WavePlace
from orchestrator.storage.doubts import DoubtedRun, DoubtPlace
from orchestrator.storage.lanes import Lane, Turn

#: Runs of one doubt that a list shows.
SHOWN_RUNS = 100


async def list_doubts(deps: Deps, who: Who, *, limit: int = 200) -> list[dict[str, Any]]:
    """Return the doubts, oldest first; a wave is one."""

    async def read(connection: AsyncConnection) -> list[dict[str, Any]]:
        found = await doubts.page(connection, who.workspace_id, limit=limit)
        return [
            {
                **{name: value for name, value in row.items() if name != "runs_in_doubt"},
                "count": row["runs_in_doubt"],
                "runs": await doubts.runs_of(connection, who.workspace_id, row["id"], limit=SHOWN_RUNS),
            }
            for row in found
        ]

    return [shown(row) for row in await deps.db.run(read)]


async def resolve_doubt(
    deps: Deps,
    who: Who,
    doubt_id: UUID,
    *,
    how: str,
    execution_id: str | None = None,
    execution_ids: Mapping[int, str] | None = None,
    reason: str,
) -> dict[str, Any]:
    """Settle a doubt, a run's or a whole wave's, as a person decided.

    Args:
        how: `adopt`, `not_started`, `relaunch` or `abandon`.
        execution_id: for `adopt` of a single run: the provider's id of its execution.
        execution_ids: for `adopt` of a wave: by the run's index in its batch. Runs it does not name stay in doubt.

    Raises:
        BadInput: no reason, an unknown way, ids missing or doubled.
        NotFound, Conflict: there is no such doubt, or it is settled already.
    """
    resolution = _resolution(how, reason)
    ids = _given_ids(resolution, execution_id, execution_ids)
    place = await _place(deps, who, doubt_id)

    async def write(connection: AsyncConnection) -> tuple[int, int, frozenset[UUID]]:
        lane = await lanes.lock(connection, place.lane_id)
        if place.batch_id is not None:
            await batches.lock(connection, place.batch_id)
        if place.wave_id is not None:
            await waves.lock(connection, [place.wave_id])
        found = await doubts.lock_runs(connection, who.workspace_id, doubt_id)
        if not found:
            raise Conflict("this doubt is settled already", code="not_in_doubt", hint="orchestrator doubt list")
        chosen = _choose(found, resolution, execution_id, ids)
        await _refuse_known(connection, place, [id for _, id in chosen if id is not None])
        decided = [
            operator_decisions.resolve(run.facts, who.act(reason), resolution, execution_id=id, now=lane.now)
            for run, id in chosen
        ]
        ended = await _write(deps, connection, lane, place, decided, [run for run, _ in chosen])
        return len(chosen), len(found) - len(chosen), ended

    resolved, left, ended = await deps.db.run(write)
    await settle.settle_batches(deps, ended)
    return {"resolved": resolved, "left": left}


async def _write(
    deps: Deps,
    connection: AsyncConnection,
    lane: Lane,
    place: DoubtPlace,
    decided: list[Change],
    runs: list[DoubtedRun],
) -> frozenset[UUID]:
    places = (
        {run.facts.run_id: WavePlace(wave_id=place.wave_id, position=run.position) for run in runs}
        if place.wave_id is not None
        else {}
    )
    applied = await changes.apply(
        connection, decided, now=lane.now, sources=deps.sources, sealer=deps.sealer, places=places, lane=lane.id
    )
    if place.wave_id is not None:
        await waves.settle_doubts(connection, place.wave_id)
        await questions.settle_waves(connection, [place.wave_id])
    if place.batch_id is not None and any(change.to is S.QUEUED for change in decided):
        await turns.give_turn(connection, place.batch_id)
    await lanes.save(connection, lane.pull(Turn.POLL, lane.now).pull(Turn.LAUNCH, lane.now))
    return applied.batches_with_endings


def _resolution(how: str, reason: str) -> Resolution:
    if not reason.strip():
        raise BadInput("say why: a reason is recorded with the decision", code="reason_missing")
    try:
        return Resolution(how)
    except ValueError:
        raise BadInput(f"a doubt is resolved by {', '.join(Resolution)}, not {how!r}", code="field.value") from None


def _given_ids(
    resolution: Resolution, execution_id: str | None, execution_ids: Mapping[int, str] | None
) -> Mapping[int, str]:
    ids = dict(execution_ids or {})
    given = [*ids.values(), *([execution_id] if execution_id is not None else [])]
    if resolution is not Resolution.ADOPT:
        if given:
            raise BadInput("execution ids go with adopt only", code="field.value")
        return {}
    if not given:
        raise BadInput("adopt needs the execution's id at the provider", code="field.missing")
    if len(set(given)) != len(given) or not all(id.strip() and id.isprintable() and len(id) <= 200 for id in given):
        raise BadInput("execution ids are printable, at most 200 characters, and each stands once", code="field.value")
    return ids


def _choose(
    found: list[DoubtedRun], resolution: Resolution, execution_id: str | None, ids: Mapping[int, str]
) -> list[tuple[DoubtedRun, str | None]]:
    """Return the runs that are resolved now, with the ids that they adopt."""
    if resolution is not Resolution.ADOPT:
        return [(run, None) for run in found]
    if execution_id is not None:
        if len(found) != 1:
            raise BadInput(f"one id for {len(found)} runs: name each by its index (--adopt-file)", code="field.value")
        return [(found[0], execution_id)]
    by_index = {run.index: run for run in found}
    unknown = sorted(index for index in ids if index not in by_index)
    if unknown:
        raise BadInput(f"not in doubt here: index {', '.join(map(str, unknown[:20]))}", code="field.value")
    return [(by_index[index], id) for index, id in sorted(ids.items())]


async def _refuse_known(connection: AsyncConnection, place: DoubtPlace, ids: list[str]) -> None:
    known = await intents.known_remote_ids(connection, place.connection_id, ids) if ids else set()
    if known:
        raise Conflict(
            f"these executions belong to other runs already: {', '.join(sorted(known)[:10])}", code="execution_taken"
        )


async def _place(deps: Deps, who: Who, doubt_id: UUID) -> DoubtPlace:
    async def read(connection: AsyncConnection) -> DoubtPlace | None:
        return await doubts.place(connection, who.workspace_id, doubt_id)

    found = await deps.db.run(read)
    if found is None:
        raise NotFound(f"there is no run or wave {doubt_id}", code="doubt_not_found", hint="orchestrator doubt list")
    return found
