"""Erase: take away what an ended run, or a batch of ended runs, holds. The facts and the history stay, and tell of it.

One transaction takes the content out of the database and writes the event; the files follow (`removal`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import erasure as decisions
from orchestrator.domain.erasure import Holdings, Tally
from orchestrator.domain.operator_decisions import Act
from orchestrator.engine import acts, removal
from orchestrator.engine.deps import Deps
from orchestrator.engine.shown import shown
from orchestrator.engine.submission_rules import erased_external_id
from orchestrator.engine.who import Who
from orchestrator.errors import Unavailable
from orchestrator.faultpoints import Point, reach
from orchestrator.storage import batches, erased_files, erasure, events
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.erasure import ErasedBatch, Of, Redaction


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """What is to be erased. `batch_id` is the batch that is locked with it: itself, or a run's own."""

    of: Of
    id: UUID
    batch_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Erased:
    """What an erasing took away.

    Args:
        erased_at: None on a dry run of what still has its content.
        erased_before: nothing was left to take away.
        runs_before: runs of the batch that had been erased one by one.
    """

    erased_at: datetime | None
    erased_before: bool
    runs_before: int
    what: Tally
    warnings: tuple[str, ...]


async def erase_run(deps: Deps, who: Who, run_id: UUID, *, reason: str, dry_run: bool = False) -> dict[str, Any]:
    """Erase the input, results and texts of an ended run; return what was erased.

    Args:
        dry_run: only say what would be erased, or why it cannot be.

    Raises:
        NotFound: there is no such run.
        Conflict: it has not ended (`run_open`).
    """
    row = await acts.find_run(deps, who, run_id)
    target = _Target(of=Of.RUN, id=run_id, batch_id=row.batch_id)
    return await _erase(deps, who, target, who.act("run erase", reason), dry_run=dry_run)


async def erase_batch(deps: Deps, who: Who, batch_id: UUID, *, reason: str, dry_run: bool = False) -> dict[str, Any]:
    """Erase the content of every run of a batch, and the batch's own name and external id; return what was erased.

    Raises:
        NotFound: there is no such batch.
        Conflict: some of its runs have not ended (`batch_open`).
    """
    await acts.find_batch(deps, who, batch_id)
    target = _Target(of=Of.BATCH, id=batch_id, batch_id=batch_id)
    return await _erase(deps, who, target, who.act("batch erase", reason), dry_run=dry_run)


async def _erase(deps: Deps, who: Who, target: _Target, act: Act, *, dry_run: bool) -> dict[str, Any]:
    first: _Erased | None = None

    async def write(connection: AsyncConnection) -> _Erased:
        nonlocal first
        done = await (_look if dry_run else _take_away)(deps, connection, who, target, act)
        if first is not None and done.erased_before:
            return first  # the commit before this try went through; only its answer was lost
        first = done
        await reach(Point.ACT_WRITTEN)
        return done

    done = await deps.db.run(write)
    await reach(Point.ACT_COMMITTED)
    left = None if dry_run else await _follow_up(deps, who, target)
    return shown(
        {
            "kind": target.of,
            "id": target.id,
            "dry_run": dry_run,
            "erased_at": done.erased_at,
            "erased_before": done.erased_before,
            "runs_erased_before": done.runs_before,
            **asdict(done.what),
            "files_left": left,
            "warnings": list(done.warnings),
        }
    )


async def _look(deps: Deps, connection: AsyncConnection, who: Who, target: _Target, act: Act) -> _Erased:
    """Return what would be erased."""
    runs = await erasure.holdings(connection, target.of, who.workspace_id, target.id)
    own = await erasure.batch(connection, who.workspace_id, target.id) if target.of is Of.BATCH else None
    _refuse_open(target, runs)
    return replace(_counted(runs, own), warnings=await _warnings(connection, target))


async def _take_away(deps: Deps, connection: AsyncConnection, who: Who, target: _Target, act: Act) -> _Erased:
    # The batch before its runs, like every act: a bulk act finds a run erased, or has taken it before us.
    if target.batch_id is not None:
        await batches.lock(connection, target.batch_id)
    heads = await erasure.lock(connection, target.of, who.workspace_id, target.id)
    runs = await erasure.holdings(connection, target.of, who.workspace_id, target.id)
    own = await erasure.batch(connection, who.workspace_id, target.id) if target.of is Of.BATCH else None
    _refuse_open(target, runs)
    counted = _counted(runs, own)
    moment = await transaction_now(connection)
    left = [run for run in runs if run.erased_at is None]
    if left:
        whole = target.id if target.of is Of.BATCH else None
        gone = [_redaction(deps, who, run, act, batch=whole) for run in left]
        await erasure.erase_runs(connection, gone, heads, at=moment)
        await erased_files.add(connection, who.workspace_id, [run.run_id for run in left])
    if own is not None and own.erased_at is None:
        await _erase_own(deps, connection, who, target.id, own, act, counted, now=moment)
    await erasure.erase_around(connection, who.workspace_id, target.id)
    return replace(counted, erased_at=counted.erased_at or moment, warnings=await _warnings(connection, target))


def _redaction(deps: Deps, who: Who, run: Holdings, act: Act, *, batch: UUID | None) -> Redaction:
    return Redaction(
        run_id=run.run_id,
        external_id=_id_left(deps, who, run.external_id),
        told=decisions.redacted(run, act, batch=batch),
    )


async def _erase_own(
    deps: Deps,
    connection: AsyncConnection,
    who: Who,
    batch_id: UUID,
    own: ErasedBatch,
    act: Act,
    counted: _Erased,
    *,
    now: datetime,
) -> None:
    """Take the batch's own content away, and tell its history what was erased with it."""
    await erasure.erase_batch(connection, batch_id, external_id=_id_left(deps, who, own.external_id))
    told = act.event(
        decisions.REDACTED,
        source_sha256=own.source_sha256,
        external_id=own.external_id is not None,
        runs_erased_before=counted.runs_before,
        **{name: count for name, count in asdict(counted.what).items() if name != "external_ids"},
    )
    await events.append_to_batch(connection, batch_id, [told], at=now)


async def _follow_up(deps: Deps, who: Who, target: _Target) -> int | None:
    """Remove the files as far as that goes now; return how many are left, None when nobody can say."""

    async def look(connection: AsyncConnection) -> int:
        # Once more: an answer that was on its way just then may have been kept since.
        await erasure.erase_around(connection, who.workspace_id, target.id)
        return await erased_files.left(connection, target.id)

    try:
        await removal.remove_files(deps)
        return await deps.db.run(look)
    except Unavailable:
        return None  # it is erased, and the answer must say so; the next sweep goes on


def _refuse_open(target: _Target, runs: Sequence[Holdings]) -> None:
    if target.of is Of.BATCH:
        decisions.refuse_open_batch(target.id, runs)
    for run in runs:
        decisions.refuse_open_run(run)


def _counted(runs: Sequence[Holdings], own: ErasedBatch | None) -> _Erased:
    left = [run for run in runs if run.erased_at is None]
    erased_at = own.erased_at if own is not None else runs[0].erased_at
    return _Erased(
        erased_at=erased_at,
        erased_before=erased_at is not None and not left,
        runs_before=len(runs) - len(left) if own is not None else 0,
        what=decisions.tally(left),
        warnings=(),
    )


def _id_left(deps: Deps, who: Who, external_id: str | None) -> str | None:
    return None if external_id is None else erased_external_id(deps.sealer, who, external_id)


async def _warnings(connection: AsyncConnection, target: _Target) -> tuple[str, ...]:
    """Say what near at hand is not erased with it."""
    found = []
    if target.of is Of.RUN and target.batch_id is not None:
        found.append(f"the name and external id of its batch stay: orchestrator batch erase {target.batch_id}")
    origin = await erasure.origin(connection, target.id)
    if origin is not None and origin.holds_input:
        found.append(
            f"the schedule {origin.name} holds the input itself, and submits it again: orchestrator schedule update "
            f"{origin.name}, or orchestrator schedule delete {origin.name}"
        )
    if origin is not None and origin.reads_files:
        found.append(f"the schedule {origin.name} read it from a file in the folder of inputs, which stays there")
    return tuple(found)
