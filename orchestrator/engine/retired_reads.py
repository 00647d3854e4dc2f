"""Refuses what could only be told wrongly, because the history that it needs was retired."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.retention import first_id
from orchestrator.errors import Conflict
from orchestrator.storage import retention
from orchestrator.storage.report_scope import Scope

#: Ids are made so much before what they name is created, and so much after: see `runs_out_of_step`.
_SLACK = timedelta(minutes=5)


async def refuse_stream(connection: AsyncConnection, workspace: UUID, stream: UUID, *, what: str) -> None:
    """Refuse what needs the history of a run or a batch that was retired.

    Raises:
        Conflict: it was (`history_retired`); the message says where it is.
    """
    await _refuse(connection, workspace, stream, UUID(int=stream.int + 1), what)


async def refuse_scope(connection: AsyncConnection, scope: Scope) -> None:
    """Refuse a report over history that was retired: it would print zeros for what happened.

    Raises:
        Conflict: as above.
    """
    if scope.batch is not None:
        await refuse_stream(connection, scope.workspace, scope.batch, what="a report of this batch")
        return
    assert scope.since is not None, "a period has both ends"
    assert scope.until is not None, "a period has both ends"
    first, until = first_id(scope.since - _SLACK), first_id(scope.until + _SLACK)
    await _refuse(connection, scope.workspace, first, until, "a report of this period")


async def _refuse(connection: AsyncConnection, workspace: UUID, first: UUID, until: UUID, what: str) -> None:
    gone = await retention.covering(connection, workspace, first, until)
    if gone:
        exports = ", ".join(month.export for month in gone[:5])
        raise Conflict(
            f"{what} needs history that was retired: {len(gone)} months, exported as {exports}",
            code="history_retired",
            hint="the events stand in that export (orchestrator audit verify names it); how runs ended, and "
            "hashes, are still here: orchestrator run get",
        )
