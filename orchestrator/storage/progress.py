"""How far executions are, beside their attempts: written when it changed, and by no event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.progress import ESTIMATE_STEP_S, Standing

# A row that says the same is not written. What ended meanwhile has no progress any more.
SET = text("""
    UPDATE executions e SET progress_fraction = v.fraction, progress_message = v.message,
        estimated_completion_at = v.completes_at
    FROM unnest(CAST(:runs AS uuid[]), CAST(:attempts AS int[]), CAST(:fractions AS double precision[]),
        CAST(:messages AS text[]), CAST(:completes AS timestamptz[]))
        AS v(run_id, attempt, fraction, message, completes_at)
    WHERE e.run_id = v.run_id AND e.attempt = v.attempt AND e.state = 'open'
        AND (e.progress_fraction IS DISTINCT FROM v.fraction OR e.progress_message IS DISTINCT FROM v.message
            OR (e.estimated_completion_at IS NULL) <> (v.completes_at IS NULL)
            OR abs(extract(epoch FROM e.estimated_completion_at - v.completes_at)) >= :step_s)""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How far one attempt of a run is."""

    run_id: UUID
    attempt: int
    standing: Standing


async def write(connection: AsyncConnection, seen: Sequence[Seen]) -> None:
    """Write what looks were told, in one statement however many they are. The runs are locked by the caller."""
    if not seen:
        return
    await connection.execute(
        SET,
        {
            "runs": [s.run_id for s in seen],
            "attempts": [s.attempt for s in seen],
            "fractions": [s.standing.fraction for s in seen],
            "messages": [s.standing.message for s in seen],
            "completes": [s.standing.completes_at for s in seen],
            "step_s": ESTIMATE_STEP_S,
        },
    )
