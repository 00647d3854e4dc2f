"""What watches found: executions that others started, each a run once; and those that are held back meanwhile."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import chain, watching
from orchestrator.domain.chain import Head
from orchestrator.domain.watching import Made, Unanswered
from orchestrator.storage import events
from orchestrator.storage.database import rows
from orchestrator.storage.watches import PLACE, WatchClaim

#: Executions that are held back are judged again so many at a time, the oldest first.
MOST_HELD = 2_000

#: Launches without an answer that are looked at; more of them are taken for one that lasts from the first to now.
MOST_UNANSWERED = 1_000

#: Whoever waits for a run's input finds none: the digest of nothing.
NO_INPUT = hashlib.sha256(b"").digest()

HELD = text("""
    SELECT execution_id, workflow_id, made_at FROM observed
    WHERE connection_id = :connection AND run_id IS NULL ORDER BY made_at LIMIT :most""")

# One whose outcome is unknown has no id. It is settled when its request was answered, or given up, for the last time; a
# launch that is sent again under its key is not settled yet.
UNANSWERED = text(f"""
    SELECT w.remote_id AS workflow_id, e.began_at AS sent_at,
        CASE WHEN e.state <> 'launching' THEN COALESCE(i.outcome_at, e.ended_at) END AS settled_at
    FROM executions e JOIN intents i ON i.id = e.intent_id JOIN workflows w ON w.id = e.workflow_id
    WHERE e.connection_id = ANY({PLACE}) AND e.remote_id IS NULL
        AND e.state IN ('launching', 'open', 'in_doubt', 'left')
    ORDER BY e.began_at LIMIT :most""")  # noqa: S608 - our own words

# What is our own, and what is tracked already, by ids alone.
KNOWN = text(f"""
    SELECT e.remote_id AS id, true AS is_ours FROM executions e
    WHERE e.connection_id = ANY({PLACE}) AND e.remote_id = ANY(CAST(:ids AS text[]))
    UNION ALL
    SELECT o.execution_id, false FROM observed o
    WHERE o.connection_id = ANY({PLACE}) AND o.execution_id = ANY(CAST(:ids AS text[])) AND o.run_id IS NOT NULL
    """)  # noqa: S608 - our own words

HOLD = text("""
    INSERT INTO observed (connection_id, execution_id, workflow_id, made_at)
    SELECT :connection, * FROM unnest(CAST(:ids AS text[]), CAST(:workflow_ids AS text[]), CAST(:made AS timestamptz[]))
    ON CONFLICT (connection_id, execution_id) DO NOTHING""")

FORGET = text("""
    DELETE FROM observed WHERE connection_id = :connection AND run_id IS NULL
        AND execution_id = ANY(CAST(:ids AS text[]))""")

# A kind of work that nobody submitted yet has only its name.
NAME_WORKFLOWS = text("""
    INSERT INTO workflows (id, workspace_id, connection_id, lane_id, remote_id, name)
    SELECT v.id, c.workspace_id, c.id, c.lane_id, v.remote, v.remote
    FROM connections c, unnest(CAST(:ids AS uuid[]), CAST(:remote AS text[])) AS v(id, remote)
    WHERE c.id = :connection ON CONFLICT (connection_id, remote_id) DO NOTHING""")

TRACK_RUNS = text("""
    INSERT INTO runs (id, workspace_id, connection_id, workflow_id, status, provider_status, execution_id, origin,
        input_sha256, input_bytes, created_by, created_at, status_at, launched_at, event_seq, event_hash)
    SELECT v.id, c.workspace_id, c.id, w.id, 'processing', NULLIF(v.word, ''), v.execution_id, 'observed', :no_input, 0,
        :by, orch_now(), orch_now(), LEAST(v.made_at, orch_now()), v.seq, v.hash
    FROM unnest(CAST(:runs AS uuid[]), CAST(:ids AS text[]), CAST(:workflow_ids AS text[]),
        CAST(:made AS timestamptz[]), CAST(:words AS text[]), CAST(:seqs AS bigint[]), CAST(:hashes AS bytea[]))
        AS v(id, execution_id, remote, made_at, word, seq, hash)
    JOIN connections c ON c.id = :connection JOIN workflows w ON w.connection_id = c.id AND w.remote_id = v.remote""")

# The primary key makes it once each, whatever a list shows twice and whoever else walks it.
TRACK_IDS = text("""
    INSERT INTO observed (connection_id, execution_id, workflow_id, made_at, run_id)
    SELECT :connection, * FROM unnest(CAST(:ids AS text[]), CAST(:workflow_ids AS text[]), CAST(:made AS timestamptz[]),
        CAST(:runs AS uuid[]))
    ON CONFLICT (connection_id, execution_id) DO UPDATE SET run_id = excluded.run_id""")

TRACK_TIMERS = text("""
    INSERT INTO timers (subject_id, kind, lane_id, workflow_id, due_at, entered_at)
    SELECT r.id, 'poll', w.lane_id, r.workflow_id, orch_now(), orch_now()
    FROM runs r JOIN workflows w ON w.id = r.workflow_id WHERE r.id = ANY(CAST(:runs AS uuid[]))""")


async def held(connection: AsyncConnection, id: UUID) -> list[Made]:
    """Return what was held back."""
    found = await rows(connection, HELD, {"connection": id, "most": MOST_HELD})
    return [Made(execution_id=row.execution_id, workflow_id=row.workflow_id, made_at=row.made_at) for row in found]


async def unanswered(connection: AsyncConnection, id: UUID) -> list[Unanswered]:
    """Return the launches to a connection's place whose executions nobody knows. Ask before `known`, never after."""
    found = await rows(connection, UNANSWERED, {"connection": id, "most": MOST_UNANSWERED})
    launches = [Unanswered(**row._mapping) for row in found]
    if len(launches) == MOST_UNANSWERED:
        # Too many to tell one by one: nothing made since the first of them is taken for anybody else's.
        first = launches[0].sent_at
        launches += [
            Unanswered(workflow_id=remote_id, sent_at=first, settled_at=None)
            for remote_id in sorted({launch.workflow_id for launch in launches})
        ]
    return launches


async def known(connection: AsyncConnection, id: UUID, ids: Collection[str]) -> tuple[set[str], set[str]]:
    """Return which executions are our own, and which are tracked already."""
    found = await rows(connection, KNOWN, {"connection": id, "ids": sorted(ids)}) if ids else []
    return {row.id for row in found if row.is_ours}, {row.id for row in found if not row.is_ours}


async def hold(connection: AsyncConnection, id: UUID, some: Sequence[Made]) -> None:
    """Remember what may be our own, to be judged again."""
    if some:
        await connection.execute(HOLD, {"connection": id, **_columns(some)})


async def forget(connection: AsyncConnection, id: UUID, ids: Collection[str]) -> None:
    """Hold back no more what turned out to be our own, or is tracked by another connection to the same place."""
    if ids:
        await connection.execute(FORGET, {"connection": id, "ids": sorted(ids)})


async def track(
    connection: AsyncConnection, claim: WatchClaim, some: Sequence[Made], *, now: datetime, new_id: Callable[[], UUID]
) -> None:
    """Make runs of executions that others started, each due to be looked at."""
    if not some:
        return
    runs = [new_id() for _ in some]
    told = [chain.append(Head(), run, [watching.observed(one)], at=now) for run, one in zip(runs, some, strict=True)]
    heads = [head for _, head in told]
    where = {"connection": claim.connection_id, **_columns(some), "runs": runs}
    remote = sorted({one.workflow_id for one in some})
    names = {"connection": claim.connection_id, "ids": [new_id() for _ in remote], "remote": remote}
    await connection.execute(NAME_WORKFLOWS, names)
    await connection.execute(
        TRACK_RUNS,
        {
            **where,
            "words": [one.word for one in some],
            "seqs": [head.seq for head in heads],
            "hashes": [head.hash for head in heads],
            "no_input": NO_INPUT,
            "by": claim.created_by,
        },
    )
    await connection.execute(TRACK_IDS, where)
    await events.insert(connection, [event for added, _ in told for event in added])
    await connection.execute(TRACK_TIMERS, {"runs": runs})


def _columns(some: Sequence[Made]) -> dict[str, Any]:
    return {
        "ids": [one.execution_id for one in some],
        "workflow_ids": [one.workflow_id for one in some],
        "made": [one.made_at for one in some],
    }
