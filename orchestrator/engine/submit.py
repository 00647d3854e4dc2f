"""Submit: check everything against the workflow's schema, then store all of it or nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.intake import batch as intake_batch
from orchestrator.domain.intake import refusal
from orchestrator.domain.intake.rows import Intake
from orchestrator.engine import batch_file, forecast
from orchestrator.engine import submission_rules as rules
from orchestrator.engine.batch_file import BatchFile
from orchestrator.engine.deps import Deps
from orchestrator.engine.launch_orders import ENVELOPE_BYTES
from orchestrator.engine.shown import shown
from orchestrator.engine.spool import Spool
from orchestrator.engine.submission_specs import BatchSpec, RunSpec, Submitted, SubmittedBatch
from orchestrator.engine.who import Who
from orchestrator.engine.workflows import find_connection, known_workflow
from orchestrator.errors import Conflict
from orchestrator.faultpoints import Point, reach
from orchestrator.storage import submissions
from orchestrator.storage.accepted_rows import NewRun, Place
from orchestrator.storage.connections import ConnectionRow
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.submissions import NewBatch
from orchestrator.storage.workflows import WorkflowRow

__all__ = ["BatchSpec", "RunSpec", "Submitted", "SubmittedBatch", "check_input", "submit_batch", "submit_run"]

#: Does something more in the transaction that stores a submission: given it and the id.
Within = Callable[[AsyncConnection, UUID], Awaitable[None]]


async def submit_run(deps: Deps, who: Who, spec: RunSpec, *, within: Within | None = None) -> Submitted:
    """Store one run.

    Args:
        within: what it raises undoes the submission.

    Raises:
        BadInput: the input breaks the workflow's schema; nothing is stored.
        Conflict: the external id was used with another input.
    """
    found = await find_connection(deps, who, spec.connection)
    row = await known_workflow(deps, found, spec.workflow_id)
    limit = deps.provider(found.provider).capabilities.max_body_bytes - ENVELOPE_BYTES
    body = intake_batch.read_single(spec.input, _schema(row), max_bytes=limit)
    rules.check_labels(spec.labels)
    rules.check_external_id(spec.external_id)
    place = _place(who, found, row)
    run = NewRun(id=spec.id or deps.sources.new_id(), input=body, index=None, external_id=spec.external_id)
    tries = 0

    async def store(connection: AsyncConnection) -> Submitted:
        nonlocal tries
        tries += 1
        if await submissions.came_before(connection, place, run.id, is_repeatable=spec.id is not None, tries=tries):
            return Submitted(id=run.id, created=True)
        if spec.external_id is not None:
            await submissions.serialize(connection, place, spec.external_id)
            known = await submissions.find_run(connection, place, rules.known_as(deps.sealer, who, spec.external_id))
            if known is not None:
                return _same(known, hashlib.sha256(body).digest(), "run")
        moment = await transaction_now(connection)
        await submissions.insert_run(connection, place, run, spec.labels, actor=who.actor, now=moment)
        if within is not None:
            await within(connection, run.id)
        await reach(Point.SUBMIT_WRITTEN)
        return Submitted(id=run.id, created=True)

    stored = await deps.db.run(store)
    await reach(Point.SUBMIT_COMMITTED)
    return stored


async def check_input(deps: Deps, found: ConnectionRow, row: WorkflowRow, given: bytes | None) -> None:
    """Raise `BadInput` for an input that `submit_run` would refuse."""
    if given is not None:
        limit = deps.provider(found.provider).capabilities.max_body_bytes - ENVELOPE_BYTES
        intake_batch.read_single(given, _schema(row), max_bytes=limit)


async def submit_batch(
    deps: Deps, who: Who, spec: BatchSpec, data: bytes | Spool, *, within: Within | None = None
) -> SubmittedBatch:
    """Store a batch: every row of the file, or (with `skip_invalid`) every good one.

    What is read out of the file waits on disk until it is stored: rows may have megabytes, and come by the thousand.

    Args:
        within: what it raises undoes the submission.

    Raises:
        BadInput: some rows are bad, with each one's number, line and field; nothing is stored.
        Conflict: the external id was used with another file; or there is a batch of this one, and one is enough.
    """
    found = await find_connection(deps, who, spec.connection)
    row = await known_workflow(deps, found, spec.workflow_id)
    with Spool() as kept:
        capabilities = deps.provider(found.provider).capabilities
        file = BatchFile(data=data, kept=kept, schema=_schema(row), capabilities=capabilities)
        if spec.dry_run:
            intake, seen = await file.looked_at(spec)
        else:
            intake, seen = await file.read(spec), None
        plan = await forecast.plan(deps, row.id, spec.concurrency, spec.wave_size, count=len(intake.rows))
        if spec.dry_run:
            earlier = await _earlier(deps, who, batch_file.content_sha256(intake, spec.mapping))
            told = () if earlier is None else (_same_file_warning(*earlier, would_be=True),)
            found_out = _answer(intake, None, plan, created=False, warnings=told, preview=seen)
            return replace(found_out, earlier=None if earlier is None else earlier[0])
        stored, warnings = await _store(deps, who, _place(who, found, row), spec, intake, within)
        return _answer(intake, stored.id, plan, created=stored.created, warnings=warnings)


async def _store(
    deps: Deps, who: Who, place: Place, spec: BatchSpec, intake: Intake, within: Within | None
) -> tuple[Submitted, tuple[str, ...]]:
    batch = _new_batch(deps, spec, intake)
    runs = [
        NewRun(id=id, input=row.held, index=row.index, external_id=row.external_id)
        for id, row in zip(deps.sources.new_ids(len(intake.rows)), intake.rows, strict=True)
    ]
    tries = 0

    async def store(connection: AsyncConnection) -> tuple[Submitted, tuple[str, ...]]:
        nonlocal tries
        tries += 1
        if await submissions.came_before(connection, place, batch.id, is_repeatable=spec.id is not None, tries=tries):
            return Submitted(id=batch.id, created=True), ()
        if spec.external_id is not None:
            await submissions.serialize(connection, place, spec.external_id)
            known = await submissions.find_batch(connection, place, rules.known_as(deps.sealer, who, spec.external_id))
            if known is not None:
                return _same(known, batch.source_sha256, "batch"), ()
        file = (who.workspace_id, batch.source_sha256)
        # Whoever minds a second batch or not: one that does must see the other's before it has committed.
        await submissions.serialize_file(connection, *file)
        earlier = await submissions.same_file(connection, *file)
        if earlier is not None and spec.once_per_file:
            raise _repeated(*earlier)
        moment = await transaction_now(connection)
        await submissions.insert_batch(connection, place, batch, runs, actor=who.actor, now=moment)
        if within is not None:
            await within(connection, batch.id)
        await reach(Point.SUBMIT_WRITTEN)
        warnings = () if earlier is None else (_same_file_warning(*earlier),)
        return Submitted(id=batch.id, created=True), warnings

    stored = await deps.db.run(store)
    await reach(Point.SUBMIT_COMMITTED)
    return stored


def _new_batch(deps: Deps, spec: BatchSpec, intake: Intake) -> NewBatch:
    count, percent = rules.max_failures(spec.max_failures)
    return NewBatch(
        id=spec.id or deps.sources.new_id(),
        name=spec.name,
        external_id=spec.external_id,
        source_sha256=batch_file.content_sha256(intake, spec.mapping),
        source_format=spec.format,
        refused=len(intake.refused),
        concurrency=spec.concurrency,
        wave_size=spec.wave_size,
        max_failures_count=count,
        max_failures_percent=percent,
    )


def _same(known: tuple[UUID, bytes], sha256: bytes, what: str) -> Submitted:
    """Return the earlier one if it has the same content, else refuse."""
    if known[1] != sha256:
        raise Conflict(
            f"this external id names a {what} with other content: {known[0]}",
            code="external_id_conflict",
            hint=f"orchestrator {what} get {known[0]}",
        )
    return Submitted(id=known[0], created=False)


async def _earlier(deps: Deps, who: Who, sha256: bytes) -> tuple[UUID, datetime] | None:
    async def read(connection: AsyncConnection) -> tuple[UUID, datetime] | None:
        return await submissions.same_file(connection, who.workspace_id, sha256)

    return await deps.db.run(read)


def _same_file_warning(batch_id: UUID, created_at: datetime, *, would_be: bool = False) -> str:
    when = shown({"at": created_at})["at"]
    second = "would be" if would_be else "is"
    return f"the same file was submitted before, as batch {batch_id} at {when}; this {second} a second batch"


def _repeated(batch_id: UUID, created_at: datetime) -> Conflict:
    when = shown({"at": created_at})["at"]
    return Conflict(
        f"the same file was submitted before, as batch {batch_id} at {when}",
        code="batch_repeated",
        hint=f"orchestrator batch get {batch_id}",
    )


def _answer(
    intake: Intake,
    batch_id: UUID | None,
    plan: dict[str, Any],
    *,
    created: bool,
    warnings: tuple[str, ...],
    preview: dict[str, Any] | None = None,
) -> SubmittedBatch:
    return SubmittedBatch(
        id=batch_id,
        created=created,
        total=len(intake.rows),
        refused=len(intake.refused),
        refused_file=refusal.refused_file(intake) if intake.refused else None,
        warnings=warnings,
        plan=plan,
        preview=preview,
    )


def _place(who: Who, found: ConnectionRow, row: WorkflowRow) -> Place:
    return Place(workspace_id=who.workspace_id, connection_id=found.id, workflow_id=row.id, lane_id=found.lane_id)


def _schema(row: WorkflowRow) -> Mapping[str, Any] | None:
    return None if row.input_schema is None else json.loads(row.input_schema)
