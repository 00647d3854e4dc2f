"""After a restore: what is held and why, what may run at the provider unknown here, and the release of all launches."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import launch_notes
from orchestrator.domain.chain import NewEvent
from orchestrator.domain.highwater import NO_FOLDER, Finding, Mark, OutsideMark
from orchestrator.domain.launch_notes import AnswerNote, Fate, NotedLaunch, RunHere, UnknownLaunch
from orchestrator.domain.operator_decisions import Act
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.engine import doubts, readopting
from orchestrator.engine import highwater as keeping
from orchestrator.engine.deps import Deps
from orchestrator.engine.shown import shown
from orchestrator.engine.who import SCOPES, Who
from orchestrator.errors import BadInput, Conflict
from orchestrator.storage import highwater, readoption
from orchestrator.storage.highwater import Hold
from orchestrator.storage.readoption import FoundRun

#: Launches that are looked up in the database together.
LOOKED_UP = 500

#: Launches that a release writes into the history by name; the report has all of them.
TOLD = 500


async def held(deps: Deps) -> dict[str, Any]:
    """Return whether launches are held, why, and what is launched that the database does not know. Changes nothing."""
    holds, finding, _ = await _stand(deps)
    is_held = bool(holds) or finding is not None
    unknown = await _unknown(deps) if is_held else []
    return await _view(deps, holds, finding, unknown, is_held=is_held)


async def release(deps: Deps, *, actor: str, reason: str, gone: Sequence[UUID] = ()) -> dict[str, Any]:
    """Take up what was launched and is queued here, list the rest, and let launches go again.

    Cut half way it may be called again: what was taken up stays so, and nothing is launched before its end.

    Args:
        gone: folders whose hold is taken back too, though they cannot be read any more.

    Raises:
        BadInput: no reason.
        Conflict: nothing is held.
        Unavailable: the database or a place outside is away; then launches stay held.
    """
    if not reason.strip():
        raise BadInput("say why: a reason is recorded with the release", code="reason_missing")
    holds, finding, told = await _stand(deps)
    if not holds and finding is None:
        raise Conflict("launches are not held", code="not_held")
    if finding is not None:
        await deps.db.run(lambda connection: highwater.hold(connection, finding))
    unknown = await _unknown(deps)
    became = await _take_up(deps, unknown, Act(actor=actor, reason=reason))
    left = await _let_go(deps, told, unknown, became, actor=actor, reason=reason, gone=gone)
    view = await _view(deps, left, None, unknown, is_held=bool(left))
    fates = [became.get(id(one), one.fate) for one in unknown]
    return {
        **view,
        "launches": [{**item, "fate": str(fate)} for item, fate in zip(view["launches"], fates, strict=True)],
        **_counts(fates),
    }


async def _stand(deps: Deps) -> tuple[list[Hold], Finding | None, list[OutsideMark]]:
    """Return the holds that stand, what speaks against the database from here, and what the places outside say."""
    told = await deps.outside.read() if deps.outside is not None else []
    last = await keeping.last_noted(deps)

    async def read(connection: AsyncConnection) -> tuple[list[Hold], Finding | None]:
        here = await highwater.read(connection)
        return await highwater.holds(connection), await keeping.find(deps, connection, here, told, last)

    holds, finding = await deps.db.run(read)
    return holds, finding, told


async def _unknown(deps: Deps) -> list[UnknownLaunch]:
    """Compare the whole journal with the database, the oldest launch first."""
    if deps.outside is None:
        return []
    found: list[UnknownLaunch] = []
    answers: dict[UUID, AnswerNote] = {}
    met: set[UUID] = set()
    async for lines in deps.outside.journal():
        notes = [note for line in lines if (note := launch_notes.parse(line)) is not None]
        # Two places hold the same lines.
        launches = [one for one in launch_notes.joined(notes, answers) if one.note.intent_id not in met]
        met |= {one.note.intent_id for one in launches}
        for part in _parts(launches):
            found += await _unknown_of(deps, part)
    return launch_notes.latest_only(sorted(found, key=lambda one: (one.launch.note.at, one.run.position)))


def _parts(launches: Sequence[NotedLaunch]) -> list[Sequence[NotedLaunch]]:
    return [launches[start : start + LOOKED_UP] for start in range(0, len(launches), LOOKED_UP)]


async def _unknown_of(deps: Deps, launches: Sequence[NotedLaunch]) -> list[UnknownLaunch]:
    asked = [(run.run_id, run.attempt) for one in launches for run in one.note.runs]

    async def read(connection: AsyncConnection) -> tuple[set[UUID], dict[tuple[UUID, int], FoundRun]]:
        unknown = await highwater.unknown_intents(connection, [one.note.intent_id for one in launches])
        return unknown, await readoption.find(connection, asked)

    unknown, found = await deps.db.run(read)
    here: dict[tuple[UUID, int], RunHere | None] = {key: found[key].here if key in found else None for key in asked}
    return [
        one
        for launch in launches
        for one in launch_notes.unknown_of(launch, is_known=launch.note.intent_id not in unknown, here=here)
    ]


async def _take_up(deps: Deps, unknown: Sequence[UnknownLaunch], act: Act) -> dict[int, Fate]:
    """Adopt and doubt, a launch at a time; return what became of each entry by its identity."""
    became: dict[int, Fate] = {}
    for _, group in itertools.groupby(unknown, key=lambda one: one.launch.note.intent_id):
        entries = list(group)
        queued = [one for one in entries if one.fate in {Fate.ADOPT, Fate.DOUBT}]
        if queued:
            moved = await readopting.take_up(deps, queued[0].launch, queued, act)
            for one in queued:
                status = moved.get(one.run.run_id)
                became[id(one)] = {S.PROCESSING: Fate.ADOPT, S.IN_DOUBT: Fate.DOUBT, None: Fate.LIST}[status]
        doubted = [one for one in entries if one.fate is Fate.SETTLE_DOUBT]
        if doubted:
            fate = await _settle_doubts(deps, doubted, act)
            became |= {id(one): fate for one in doubted}
    return became


async def _settle_doubts(deps: Deps, doubted: Sequence[UnknownLaunch], act: Act) -> Fate:
    """Adopt for doubts of one launch that the database has the ids that the journal has."""
    keys = [(one.run.run_id, one.run.attempt) for one in doubted]

    async def read(connection: AsyncConnection) -> dict[tuple[UUID, int], FoundRun]:
        return await readoption.find(connection, keys)

    found = await deps.db.run(read)
    run = found[keys[0]]
    who = Who(workspace_id=run.workspace_id, actor=act.actor, scopes=frozenset(SCOPES))
    reason = f"the journal of launches has its execution: {act.reason}"
    named = {found[key].index: one.execution_id for key, one in zip(keys, doubted, strict=True)}
    by_index = {index: id for index, id in named.items() if index is not None and id is not None}
    try:
        # Not asked about at the provider: it said so itself, when it was launched.
        await doubts.resolve_doubt(
            deps,
            who,
            run.wave_id or run.id,
            how="adopt",
            execution_id=doubted[0].execution_id if run.wave_id is None else None,
            execution_ids=by_index if run.wave_id is not None else None,
            reason=reason,
            unverified=True,
        )
    except (BadInput, Conflict):
        return Fate.LIST  # somebody resolved it meanwhile, or the id is another run's: it stands in the report
    return Fate.SETTLE_DOUBT


async def _let_go(
    deps: Deps,
    told: Sequence[OutsideMark],
    unknown: Sequence[UnknownLaunch],
    became: dict[int, Fate],
    *,
    actor: str,
    reason: str,
    gone: Sequence[UUID],
) -> list[Hold]:
    """Raise the mark above all that is known, outside first, then take back the holds. Returns those that are left.

    What is unknown here is in the history before the journal is put away: were only the end of it lost, the release
    that is asked for once more would find nothing to name.
    """
    here = await deps.db.run(highwater.read)
    known = [here, *(one.mark for one in told if one.mark.incarnation == here.incarnation)]
    mark = Mark(
        incarnation=here.incarnation,
        epoch=max(one.epoch for one in known),
        number=max(one.number for one in known),
    ).released()
    fates = [became.get(id(one), one.fate) for one in unknown]
    listed = [_entry(one, {}) for one, fate in zip(unknown, fates, strict=True) if fate is Fate.LIST]

    async def tell(connection: AsyncConnection) -> None:
        facts = {"reason": reason, **_counts(fates), "unknown_launches": listed[:TOLD], "mark": mark.number}
        await highwater.tell_workspaces(connection, NewEvent(type="launches_released", actor=actor, data=facts))

    await deps.db.run(tell)
    if deps.outside is not None:
        # Before the holds go: from then on workers compare again, and must find the journal put away.
        await deps.outside.take_over(mark)
    folders = [one.folder for one in told] + [NO_FOLDER, *gone]

    async def write(connection: AsyncConnection) -> list[Hold]:
        await highwater.lock(connection)
        await highwater.set_to(connection, mark)
        await highwater.release(connection, folders)
        return await highwater.holds(connection)

    return await deps.db.run(write)


def _counts(fates: Sequence[Fate]) -> dict[str, int]:
    adopted = sum(fate in {Fate.ADOPT, Fate.SETTLE_DOUBT} for fate in fates)
    return {"adopted": adopted, "in_doubt": fates.count(Fate.DOUBT), "listed": fates.count(Fate.LIST)}


async def _view(
    deps: Deps, holds: Sequence[Hold], finding: Finding | None, unknown: Sequence[UnknownLaunch], *, is_held: bool
) -> dict[str, Any]:
    ids = sorted({one.launch.note.connection_id for one in unknown})
    names = await deps.db.run(lambda connection: readoption.connection_names(connection, ids)) if ids else {}
    reasons = [
        {"folder": hold.folder, "place": hold.place, "code": hold.code, "because": hold.because, "since": hold.held_at}
        for hold in holds
    ]
    if finding is not None and finding.folder not in {hold.folder for hold in holds}:
        told = {"folder": finding.folder, "place": finding.place, "code": finding.code, "because": finding.because}
        reasons.append({**told, "since": None})
    view = {"held": is_held, "reasons": reasons, "launches": [_entry(one, names) for one in unknown]}
    return shown(view)


def _entry(one: UnknownLaunch, names: dict[UUID, str]) -> dict[str, Any]:
    connection = one.launch.note.connection_id
    return shown(
        {
            "run_id": one.run.run_id,
            "attempt": one.run.attempt,
            "execution_id": one.execution_id,
            "workflow_id": one.launch.note.remote_workflow_id,
            "connection": names.get(connection, str(connection)),
            "launched_at": one.launch.note.at,
            "status": None if one.here is None else one.here.status,
            "fate": one.fate,
        }
    )
