"""What becomes true by time alone, and that webhooks are told of: results at risk, batches that stand still.

Asked by the one worker that watches. Each is told once: what was told already is left out by its message.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.sights import AT_RISK_S
from orchestrator.domain.webhooks import AT_RISK, BATCH_STANDS, STANDS_AFTER_S, Message
from orchestrator.storage.database import rows
from orchestrator.storage.listening import ACTIVE, LISTENS

#: Of what is told at once; the next look goes on.
MOST = 200

ANYBODY = text(f"SELECT EXISTS (SELECT FROM webhooks h WHERE {ACTIVE})")  # noqa: S608 - our own words

# By the index of live runs; of each its own few files, by primary key.
AT_RISK_NOW = text(f"""
    SELECT r.id, r.workspace_id, r.batch_id, r.attempt, f.dies_at, v.about
    FROM (SELECT id, workspace_id, batch_id, attempt FROM runs r WHERE status = 'downloading' AND {LISTENS.format("r")}
            LIMIT 50000) r,
        LATERAL (SELECT min(a.url_expires_at) AS dies_at FROM artifacts a
            WHERE a.run_id = r.id AND a.attempt = r.attempt AND a.stored_at IS NULL) f,
        LATERAL (SELECT :type || ':' || r.id || ':' || r.attempt AS about) v
    WHERE f.dies_at < orch_now() + make_interval(secs => :at_risk_s)
        AND NOT EXISTS (SELECT FROM webhook_messages m WHERE m.workspace_id = r.workspace_id AND m.about = v.about)
    ORDER BY f.dies_at, r.id LIMIT :most""")  # noqa: S608 - our own words

# Something of it is live and no person's turn, and its latest move was long ago. A batch has at most 10,000 runs.
STANDING = text(f"""
    SELECT b.id, b.workspace_id, s.moved_at, v.about
    FROM (SELECT * FROM batches b WHERE ended_at IS NULL AND paused_at IS NULL AND cancelled_at IS NULL
            AND created_at < orch_now() - make_interval(secs => :stands_s) AND {LISTENS.format("b")}
            ORDER BY id LIMIT 500) b,
        LATERAL (SELECT max(status_at) AS moved_at,
                bool_or(status IN ('queued', 'launching', 'processing', 'downloading')) AS goes_on
            FROM runs WHERE batch_id = b.id) s,
        LATERAL (SELECT :type || ':' || b.id || ':' || extract(epoch FROM s.moved_at) AS about) v
    WHERE s.goes_on AND s.moved_at < orch_now() - make_interval(secs => :stands_s)
        AND NOT EXISTS (SELECT FROM webhook_messages m WHERE m.workspace_id = b.workspace_id AND m.about = v.about)
    ORDER BY b.id LIMIT :most""")  # noqa: S608 - our own words


async def anybody(connection: AsyncConnection) -> bool:
    """Tell whether anybody listens to anything."""
    found: bool = (await connection.execute(ANYBODY)).scalar_one()
    return found


async def results_at_risk(connection: AsyncConnection) -> list[Message]:
    """Return what is to be told of results whose URLs die soon."""
    values = {"type": AT_RISK, "at_risk_s": AT_RISK_S, "most": MOST}
    return [
        Message(
            workspace_id=row.workspace_id,
            type=AT_RISK,
            about=row.about,
            data={"attempt": row.attempt, "url_expires_at": row.dies_at.isoformat()},
            run_id=row.id,
            batch_id=row.batch_id,
        )
        for row in await rows(connection, AT_RISK_NOW, values)
    ]


async def standing_batches(connection: AsyncConnection) -> list[Message]:
    """Return what is to be told of batches in which nothing moves."""
    values = {"type": BATCH_STANDS, "stands_s": STANDS_AFTER_S, "most": MOST}
    return [
        Message(
            workspace_id=row.workspace_id,
            type=BATCH_STANDS,
            about=row.about,
            data={"moved_at": row.moved_at.isoformat()},
            batch_id=row.id,
        )
        for row in await rows(connection, STANDING, values)
    ]
