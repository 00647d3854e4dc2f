"""Doubts: launches of which nobody knows whether they arrived, and how a person settles them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import operator_decisions
from orchestrator.domain.changes import Change
from orchestrator.domain.operator_decisions import Act, Resolution
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.engine import adoption, doubt_sight, settle
from orchestrator.engine.deps import Deps
from orchestrator.engine.doubt_sight import Seen
from orchestrator.engine.shown import shown
from orchestrator.engine.who import Who
from orchestrator.errors import BadInput, Conflict, NotFound, Problem
from orchestrator.storage import batches, changes, doubts, events, intents, lanes, operations, questions, turns, waves
from orchestrator.storage.changes import WavePlace
from orchestrator.storage.doubts import DoubtedRun, DoubtPlace
from orchestrator.storage.lanes import Lane, Turn

#: Runs of one doubt that a list shows.
SHOWN_RUNS = 100


async def page_doubts(
    deps: Deps, who: Who, *, after: UUID | None = None, limit: int = 50
) -> tuple[list[dict[str, Any]], UUID | None]:
    """Return one page of the doubts, and after which the next begins."""
    found = await list_doubts(deps, who, after=after, limit=limit + 1)
    return found[:limit], UUID(found[limit - 1]["id"]) if len(found) > limit else None


async def list_doubts(deps: Deps, who: Who, *, after: UUID | None = None, limit: int = 200) -> list[dict[str, Any]]:
    """Return doubts, oldest first, each with its `seen`; a wave is one."""

    async def read(connection: AsyncConnection) -> list[dict[str, Any]]:
        found = await doubts.page(connection, who.workspace_id, after=after, limit=limit)
        seen = await doubt_sight.of_doubts(connection, deps, who, [row["id"] for row in found])
        return [
            {
                **{name: value for name, value in row.items() if name != "runs_in_doubt"},
                "count": row["runs_in_doubt"],
                "seen": seen[row["id"]],
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
    unverified: bool = False,
    seen: str | None = None,
    as_of: datetime | None = None,
) -> dict[str, Any]:
    """Settle a doubt, a run's or a whole wave's, as a person decided.

    Args:
        how: `adopt`, `not_started`, `relaunch` or `abandon`.
        execution_id: for `adopt` of a single run: the provider's id of its execution.
        execution_ids: for `adopt` of a wave: by the run's index in its batch. Runs it does not name stay in doubt.
        unverified: adopt without asking the provider whether it knows the executions.
        seen: what the decision rests on, as the doubt was shown with it: kept with it, and refused if it has changed.
        as_of: of a run, in place of `seen`: when many were decided about at once, each as it stood then.

    Raises:
        BadInput: no reason, an unknown way, ids missing, doubled or unknown at the provider.
        NotFound, Conflict: there is no such doubt, or it is settled already.
        Unavailable: the provider could not be asked.
    """
    resolution = _resolution(how, reason)
    sight = None if seen is None else doubt_sight.redeem(deps, who, doubt_id, seen)
    act = replace(who.act("doubt resolve", reason), seen={} if sight is None else sight.told())
    ids = _given_ids(resolution, execution_id, execution_ids)
    place = await _place(deps, who, doubt_id)
    if ids and not unverified:
        await _refuse_settled(deps, who, doubt_id, sight)
        await adoption.verify(deps, place, {_field(index): id for index, id in ids.items()})

    async def write(connection: AsyncConnection) -> tuple[int, int, frozenset[UUID]]:
        lane, found = await _lock(connection, who, place, doubt_id)
        await doubt_sight.refuse_changed(connection, who, doubt_id, sight)
        if not found and who.operation is not None:
            raise _settled()
        if who.operation is not None and not await operations.take(connection, who.operation, doubt_id):
            return 0, len(found), frozenset()
        if not found:
            return await _acknowledge(deps, connection, lane, act, place, doubt_id, resolution)
        chosen = _choose(found, resolution, ids)
        await _refuse_known(connection, place, chosen)
        said = await _resting(connection, who, doubt_id, act, as_of)
        decided = [
            operator_decisions.resolve(run.facts, said, resolution, execution_id=id, now=lane.now) for run, id in chosen
        ]
        ended = await _write(deps, connection, lane, place, decided, [run for run, _ in chosen])
        await _tell_batch(connection, lane, place, act, resolution, runs=len(chosen))
        return len(chosen), len(found) - len(chosen), ended

    resolved, left, ended = await deps.db.run(write)
    await settle.settle_batches(deps, ended)
    return {"resolved": resolved, "left": left}


async def _resting(connection: AsyncConnection, who: Who, run_id: UUID, act: Act, as_of: datetime | None) -> Act:
    """Return the act with what it rests on, if it was decided with many: how its run stood then, and does still."""
    if as_of is None:
        return act
    return replace(act, seen=(await doubt_sight.unchanged(connection, who, run_id, as_of)).told())


async def _lock(
    connection: AsyncConnection, who: Who, place: DoubtPlace, doubt_id: UUID
) -> tuple[Lane, list[DoubtedRun]]:
    """Lock what a doubt hangs on, and its runs that are in doubt still."""
    lane = await lanes.lock(connection, place.lane_id)
    if place.batch_id is not None:
        await batches.lock(connection, place.batch_id)
    if place.wave_id is not None:
        await waves.lock(connection, [place.wave_id])
    return lane, await doubts.lock_runs(connection, who.workspace_id, doubt_id)


async def _tell_batch(
    connection: AsyncConnection, lane: Lane, place: DoubtPlace, act: Act, resolution: Resolution, *, runs: int
) -> None:
    """Write the decision about a wave into its batch's history."""
    if place.wave_id is not None and place.batch_id is not None:
        told = act.event("doubts_resolved", how=str(resolution), wave=str(place.wave_id), runs=runs)
        await events.append_to_batch(connection, place.batch_id, [told], at=lane.now)


async def _acknowledge(
    deps: Deps,
    connection: AsyncConnection,
    lane: Lane,
    act: Act,
    place: DoubtPlace,
    doubt_id: UUID,
    resolution: Resolution,
) -> tuple[int, int, frozenset[UUID]]:
    """Close the question of a late answer, which is about no doubt any more: it can only be left as it is."""
    asked = await doubts.lock_asked(connection, place.workspace_id, doubt_id)
    if asked is None:
        raise _settled()
    if resolution is not Resolution.ABANDON:
        raise Conflict(
            f"the run is not in doubt: it is {asked.status}, and a late answer was noted",
            code="not_in_doubt",
            hint="orchestrator inbox list; when you have seen to it, resolve it with --abandon",
        )
    seen = operator_decisions.acknowledge(asked, act)
    await changes.apply(connection, [seen], now=lane.now, sources=deps.sources, sealer=deps.sealer, lane=lane.id)
    return 1, 0, frozenset()


def _settled() -> Conflict:
    return Conflict("this doubt is settled already", code="not_in_doubt", hint="orchestrator doubt list")


async def _refuse_settled(deps: Deps, who: Who, doubt_id: UUID, sight: Seen | None) -> None:
    """Refuse before the provider is asked; asked again under the locks."""

    async def read(connection: AsyncConnection) -> Sequence[dict[str, Any]]:
        await doubt_sight.refuse_changed(connection, who, doubt_id, sight)
        return await doubts.runs_of(connection, who.workspace_id, doubt_id, limit=1)

    if not await deps.db.run(read):
        raise _settled()


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
) -> Mapping[int | None, str]:
    """Return the ids by index; None stands for the only run of the doubt."""
    ids: dict[int | None, str] = dict((execution_ids or {}).items())
    if execution_id is not None:
        ids[None] = execution_id
    if resolution is not Resolution.ADOPT:
        if ids:
            raise BadInput("execution ids go with adopt only", code="field.value")
        return {}
    if not ids:
        raise BadInput("adopt needs the execution's id at the provider", code="field.missing")
    if execution_id is not None and len(ids) > 1:
        raise BadInput("give one execution id, or ids by index, not both", code="field.value")
    adoption.check_ids({_field(index): id for index, id in ids.items()})
    return ids


def _field(index: int | None) -> str:
    return "execution_id" if index is None else f"execution_ids.{index}"


def _choose(
    found: list[DoubtedRun], resolution: Resolution, ids: Mapping[int | None, str]
) -> list[tuple[DoubtedRun, str | None]]:
    """Return the runs that are resolved now, with the ids that they adopt."""
    if resolution is not Resolution.ADOPT:
        return [(run, None) for run in found]
    if None in ids:
        if len(found) != 1:
            raise BadInput(f"one id for {len(found)} runs: name each by its index (--adopt-file)", code="field.value")
        return [(found[0], ids[None])]
    by_index = {run.index: run for run in found}
    adoption.refuse(
        [
            Problem(message="no run of this index is in doubt here", code="index_unknown", field=_field(index))
            for index in ids
            if index not in by_index
        ]
    )
    return [(by_index[index], id) for index, id in ids.items()]


async def _refuse_known(
    connection: AsyncConnection, place: DoubtPlace, chosen: list[tuple[DoubtedRun, str | None]]
) -> None:
    ids = [id for _, id in chosen if id is not None]
    known = await intents.known_remote_ids(connection, place.connection_id, ids) if ids else set()
    if known:
        indexes = [str(run.index) for run, id in chosen if id in known and run.index is not None]
        where = f" (index {', '.join(indexes[:10])})" if indexes else ""
        raise Conflict(
            f"these executions belong to other attempts already: {', '.join(sorted(known)[:10])}{where}",
            code="execution_taken",
            hint="nothing was settled",
        )


async def _place(deps: Deps, who: Who, doubt_id: UUID) -> DoubtPlace:
    async def read(connection: AsyncConnection) -> DoubtPlace | None:
        return await doubts.place(connection, who.workspace_id, doubt_id)

    found = await deps.db.run(read)
    if found is None:
        raise NotFound(f"there is no run or wave {doubt_id}", code="doubt_not_found", hint="orchestrator doubt list")
    return found
