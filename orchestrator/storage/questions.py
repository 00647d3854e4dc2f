"""The inbox: questions that only a person can answer, opened and settled in the transaction that makes them so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import webhooks
from orchestrator.domain.changes import Change, InboxKind
from orchestrator.domain.webhooks import Message
from orchestrator.runtime import Sources
from orchestrator.storage import outbox
from orchestrator.storage.database import one, rows
from orchestrator.storage.listening import LISTENS

# One open question of a kind for each run; asking again while it stands open changes nothing.
OPEN_FOR_RUN = text("""
    INSERT INTO inbox (id, workspace_id, kind, run_id, batch_id, title, link, opened_at)
    VALUES (:id, :workspace_id, :kind, :run_id, :batch_id, :title, :link, orch_now())
    ON CONFLICT (run_id, kind) WHERE closed_at IS NULL AND run_id IS NOT NULL DO NOTHING""")

OPEN_FOR_WAVE = text(f"""
    INSERT INTO inbox (id, workspace_id, kind, wave_id, batch_id, title, opened_at)
    SELECT :id, b.workspace_id, 'doubt', w.id, b.id, :title, orch_now()
    FROM waves w JOIN batches b ON b.id = w.batch_id WHERE w.id = :wave_id
    ON CONFLICT (wave_id, kind) WHERE closed_at IS NULL AND wave_id IS NOT NULL DO NOTHING
    RETURNING workspace_id, batch_id, opened_at, {LISTENS.format("inbox")} AS listens""")  # noqa: S608 - our own words

SETTLE_RUNS = text("""
    UPDATE inbox i SET closed_at = orch_now(), closed_because = v.because
    FROM unnest(CAST(:run_id AS uuid[]), CAST(:because AS text[])) AS v(run_id, because)
    WHERE i.run_id = v.run_id AND i.closed_at IS NULL""")

# A wave's question is settled when none of its runs is in doubt any more.
SETTLE_WAVES = text("""
    UPDATE inbox i SET closed_at = orch_now(), closed_because = 'every doubt of the wave is settled'
    WHERE i.wave_id = ANY(CAST(:wave_ids AS uuid[])) AND i.closed_at IS NULL AND NOT EXISTS (
        SELECT FROM executions e WHERE e.wave_id = i.wave_id AND e.state = 'in_doubt')""")

# Part of a wave's doubts may be settled: the question says how many are left.
RECOUNT_WAVES = text("""
    UPDATE inbox i SET title = CASE v.doubted
        WHEN 1 THEN '1 item of a wave is in doubt still: it is not known whether it was started'
        ELSE v.doubted || ' items of a wave are in doubt still: it is not known whether they were started' END
    FROM (SELECT e.wave_id, count(*) AS doubted FROM executions e
          WHERE e.wave_id = ANY(CAST(:wave_ids AS uuid[])) AND e.state = 'in_doubt' GROUP BY e.wave_id) v
    WHERE i.wave_id = v.wave_id AND i.kind = 'doubt' AND i.closed_at IS NULL""")

CONSOLES = text("""
    SELECT r.id, c.console_url, w.remote_id AS workflow_id, r.execution_id FROM runs r
    JOIN connections c ON c.id = r.connection_id JOIN workflows w ON w.id = r.workflow_id
    WHERE r.id = ANY(CAST(:ids AS uuid[]))""")


async def ask_and_settle(
    connection: AsyncConnection, touched: Sequence[tuple[Change, Row[Any]]], *, sources: Sources
) -> None:
    """Settle what the changes settle, then open what they ask."""
    settled = [(c.run_id, c.closes) for c, _ in touched if c.closes is not None]
    if settled:
        await connection.execute(
            SETTLE_RUNS, {"run_id": [run for run, _ in settled], "because": [why for _, why in settled]}
        )
    asked = [(c, run) for c, run in touched if c.opens is not None]
    links = await _links(connection, [run.id for _, run in asked]) if asked else {}
    for change, run in asked:
        await connection.execute(
            OPEN_FOR_RUN,
            {
                "id": sources.new_id(),
                "workspace_id": run.workspace_id,
                "kind": change.opens,
                "run_id": run.id,
                "batch_id": run.batch_id,
                "title": change.title or str(change.opens),
                "link": links.get(run.id) if change.opens is not InboxKind.DOUBT else None,
            },
        )


async def ask_about_wave(
    connection: AsyncConnection, wave_id: UUID, *, doubts: int, title: str, sources: Sources
) -> None:
    """Open one question for all doubts of a wave."""
    id = sources.new_id()
    opened = await one(connection, OPEN_FOR_WAVE, {"id": id, "wave_id": wave_id, "title": title})
    if opened is not None and opened.listens:
        told = Message(
            workspace_id=opened.workspace_id,
            type=webhooks.DOUBT,
            about=f"{webhooks.DOUBT}:{id}",
            data={"status": "in_doubt", "wave_id": str(wave_id), "items": doubts},
            batch_id=opened.batch_id,
        )
        await outbox.write(connection, [told], at=opened.opened_at)


async def settle_waves(connection: AsyncConnection, wave_ids: Sequence[UUID]) -> None:
    """Close the questions of waves that hold no doubt any more; those that do say how many."""
    await connection.execute(SETTLE_WAVES, {"wave_ids": list(wave_ids)})
    await connection.execute(RECOUNT_WAVES, {"wave_ids": list(wave_ids)})


async def _links(connection: AsyncConnection, run_ids: Sequence[UUID]) -> dict[UUID, str]:
    found = await rows(connection, CONSOLES, {"ids": list(run_ids)})
    return {
        row.id: console_link(row.console_url, row.workflow_id, row.execution_id) for row in found if row.console_url
    }


def console_link(template: str, workflow_id: str, execution_id: str | None) -> str:
    """Fill the connection's URL template. Only the two names it may hold are replaced."""
    return template.replace("{workflow_id}", workflow_id).replace("{execution_id}", execution_id or "")
