"""What the outside sees: runs, batches, results, questions, each as a view that is ready for JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.statuses import RunStatus
from orchestrator.domain.watching import Origin
from orchestrator.engine import forecast, retired_reads, views
from orchestrator.engine.deps import Deps
from orchestrator.engine.shown import shown
from orchestrator.engine.submission_rules import known_as
from orchestrator.engine.who import Who
from orchestrator.errors import Conflict, NotFound, Unavailable
from orchestrator.storage import batches, events, failures, inbox, runs
from orchestrator.storage.failures import FailureRow
from orchestrator.storage.runs import FileRow

#: Batches of which one page by status derives the status.
JUDGED = 200

#: Ended otherwise than was asked for; and how many causes of that a batch shows.
FAILED = (RunStatus.ERROR, RunStatus.RESULT_LOST)
CAUSES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenResult:
    """A stored result file, open for reading. `filename` is the provider's and hostile."""

    filename: str
    size_bytes: int
    sha256: str
    chunks: AsyncIterator[bytes]


async def get_run(deps: Deps, who: Who, run_id: UUID) -> dict[str, Any]:
    """Return one run, with why it waits."""

    async def read(connection: AsyncConnection) -> dict[str, Any] | None:
        row = await runs.read(connection, who.workspace_id, run_id)
        return None if row is None else (await views.runs(connection, [row]))[0]

    found = await deps.db.run(read)
    if found is None:
        raise NotFound(f"there is no run {run_id}", code="run_not_found", hint="orchestrator run list")
    return found


async def list_runs(
    deps: Deps,
    who: Who,
    *,
    statuses: Sequence[str] = (),
    batch: UUID | None = None,
    workflow: str | None = None,
    connection: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    external_id: str | None = None,
    labels: Mapping[str, str] | None = None,
    kinds: Sequence[tuple[str, str | None]] = (),
    error_codes: Sequence[str] = (),
    origin: str | None = None,
    after: UUID | int | None = None,
    limit: int = 50,
) -> tuple[list[dict[str, Any]], UUID | int | None]:
    """Return runs newest first, within a batch in the file's order; and where the next page begins.

    By a label and more a page may be shorter than asked for, though others follow.

    Args:
        kinds: of these providers, each with one of its workflows, or None for all.
    """
    conditions = run_conditions(
        deps,
        who,
        statuses=statuses,
        batch=batch,
        workflow=workflow,
        connection=connection,
        since=since,
        until=until,
        external_id=external_id,
        labels=labels,
        error_codes=error_codes,
        origin=origin,
    )
    if kinds:
        conditions |= {"kind_providers": [p for p, _ in kinds], "kind_workflows": [w for _, w in kinds]}
    if after is not None:
        conditions["after_index" if isinstance(after, int) else "before"] = after

    async def read(session: AsyncConnection) -> tuple[list[dict[str, Any]], UUID | int | None]:
        found = await runs.page(session, who.workspace_id, conditions, limit=limit + 1)
        judged_to = await runs.last_judged(session, who.workspace_id, conditions)
        found = found if judged_to is None else [row for row in found if row.id >= judged_to]
        shown_rows = found[:limit]
        more = len(found) > limit
        last = shown_rows[-1] if shown_rows else None
        following = None if not more or last is None else (last.index if batch is not None else last.id)
        following = judged_to if following is None else following
        return await views.runs(session, shown_rows), following

    return await deps.db.run(read)


def run_conditions(
    deps: Deps,
    who: Who,
    *,
    statuses: Sequence[str] = (),
    external_id: str | None = None,
    labels: Mapping[str, str] | None = None,
    error_codes: Sequence[str] = (),
    origin: str | None = None,
    **others: Any,
) -> dict[str, Any]:
    """Return the filters of runs in the words of `storage.run_pages`; those that do not narrow are left out.

    Args:
        others: `batch`, `workflow`, `connection`, `since`, `until`, `ids`.
    """
    given = others | {
        "statuses": list(statuses) or None,
        "external_ids": None if external_id is None else list(known_as(deps.sealer, who, external_id)),
        "error_codes": list(error_codes) or None,
    }
    if origin is not None:
        given[str(Origin(origin))] = True
    if labels:
        given |= {"label_keys": list(labels), "label_values": list(labels.values())}
    return {name: value for name, value in given.items() if value is not None}


async def run_events(
    deps: Deps, who: Who, run_id: UUID, *, after: int = 0, limit: int = 200
) -> tuple[list[dict[str, Any]], int | None]:
    """Return a run's history in order, and after which number it goes on."""
    await get_run(deps, who, run_id)

    async def read(connection: AsyncConnection) -> list[dict[str, Any]]:
        found = await events.read(connection, run_id, after=after, limit=limit + 1)
        if not found and after == 0:
            await retired_reads.refuse_stream(connection, who.workspace_id, run_id, what="this history")
        return [views.event(e) for e in found]

    found = await deps.db.run(read)
    return found[:limit], found[limit - 1]["seq"] if len(found) > limit else None


async def run_results(deps: Deps, who: Who, run_id: UUID) -> list[dict[str, Any]]:
    """Return a run's stored results."""
    run = await get_run(deps, who, run_id)
    results: list[dict[str, Any]] = run["results"]
    return results


async def open_result(deps: Deps, who: Who, run_id: UUID, n: int) -> OpenResult:
    """Open a stored result.

    Raises:
        NotFound: there is no such file.
        Conflict: it is offered by the provider but not stored yet; or it was erased.
        Unavailable: its row stands, but the store does not have its bytes.
    """

    async def read(connection: AsyncConnection) -> FileRow | None:
        return await runs.file(connection, who.workspace_id, run_id, n)

    file = await deps.db.run(read)
    if file is None:
        await get_run(deps, who, run_id)
        raise NotFound(f"run {run_id} has no result {n}", code="result_not_found")
    if file.erased_at is not None:
        at = shown({"at": file.erased_at})["at"]
        raise Conflict(f"result {n} was erased at {at}; its size and SHA-256 are all that is left", code="erased")
    if file.stored_at is None or file.store_key is None or file.size_bytes is None or file.sha256 is None:
        raise Conflict(f"result {n} is not stored yet", code="result_not_stored")
    if await deps.store.size(file.store_key) != file.size_bytes:
        raise Unavailable("the artifact store does not have this file whole", code="artifact_missing")
    return OpenResult(
        filename=file.filename, size_bytes=file.size_bytes, sha256=file.sha256, chunks=deps.store.open(file.store_key)
    )


async def get_batch(deps: Deps, who: Who, batch_id: UUID) -> dict[str, Any]:
    """Return one batch with its counts, its rate and what it waits for."""

    async def read(connection: AsyncConnection) -> dict[str, Any] | None:
        row = await batches.read(connection, who.workspace_id, batch_id)
        if row is None:
            return None
        rate = (await batches.rates(connection, [batch_id]))[batch_id] if row.ended_at is None else None
        waiting = await views.batch_waits(connection, row)
        told = await forecast.of_batch(deps, connection, row)
        causes = await _failures(connection, row)
        return views.batch(row, rate_per_minute=rate, waiting=waiting, forecast=told, failures=causes)

    found = await deps.db.run(read)
    if found is None:
        raise NotFound(f"there is no batch {batch_id}", code="batch_not_found", hint="orchestrator batch list")
    return found


async def _failures(connection: AsyncConnection, row: batches.BatchRow) -> list[FailureRow]:
    if not any(row.counts.get(status) for status in FAILED):
        return []
    return await failures.top(connection, row.id, FAILED, limit=CAUSES)


async def batch_run_ids(deps: Deps, who: Who, batch_id: UUID) -> list[UUID]:
    """Return the ids of a batch's runs, in input order."""

    async def read(connection: AsyncConnection) -> list[UUID]:
        return await runs.ids_of_batch(connection, who.workspace_id, batch_id)

    return await deps.db.run(read)


async def list_batches(
    deps: Deps,
    who: Who,
    *,
    statuses: Collection[str] = (),
    workflow: str | None = None,
    connection: str | None = None,
    external_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    after: UUID | None = None,
    limit: int = 50,
) -> tuple[list[dict[str, Any]], UUID | None]:
    """Return batches newest first, and where the next page begins.

    A batch's status is derived from its runs, so it is judged on `JUDGED` batches a page: by status a page may be
    shorter than asked for, though others follow.
    """
    given = {
        "workflow": workflow,
        "connection": connection,
        "external_ids": None if external_id is None else list(known_as(deps.sealer, who, external_id)),
        "since": since,
        "until": until,
        "before": after,
    }
    conditions = {name: value for name, value in given.items() if value is not None}
    reach = max(JUDGED, limit + 1) if statuses else limit + 1

    async def read(session: AsyncConnection) -> list[batches.BatchRow]:
        return await batches.page(session, who.workspace_id, conditions, limit=reach)

    found = await deps.db.run(read)
    fitting = [view for row in found if (view := views.batch(row))["status"] in statuses or not statuses]
    if len(fitting) > limit:
        return fitting[:limit], UUID(fitting[limit - 1]["id"])
    return fitting, found[-1].id if len(found) == reach else None


async def list_inbox(deps: Deps, who: Who, *, limit: int = 50) -> list[dict[str, Any]]:
    """Return the open questions, oldest first."""

    async def read(connection: AsyncConnection) -> list[dict[str, Any]]:
        return await inbox.page(connection, who.workspace_id, limit=limit)

    return [shown(row) for row in await deps.db.run(read)]


async def show_inbox(deps: Deps, who: Who, item_id: UUID) -> dict[str, Any]:
    """Return one question, open or settled."""

    async def read(connection: AsyncConnection) -> dict[str, Any] | None:
        return await inbox.find(connection, who.workspace_id, item_id)

    found = await deps.db.run(read)
    if found is None:
        raise NotFound("there is no such inbox item", code="inbox_not_found", hint="orchestrator inbox list")
    return shown(found)
