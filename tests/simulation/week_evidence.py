"""What a simulated week is judged by: the database's rows by plain SQL, the provider's truth, and the week's report."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg.rows import dict_row
from pydantic import SecretStr
from sqlalchemy import Engine, event

from orchestrator.bootstrap import build
from orchestrator.engine import report
from orchestrator.engine.report_order import ReportFormat, ReportOptions
from orchestrator.settings import Settings
from sandbox.truth import execution_document
from tests.simulation.invariants import view
from tests.simulation.invariants.checker import INVARIANTS
from tests.simulation.outcome import digest_of
from tests.simulation.people import Journal
from tests.simulation.week_story import BERLIN

if TYPE_CHECKING:
    from tests.simulation.week import WeekWorld

Evidence = dict[str, Any]

#: They tell runs apart by their inputs, and a schedule's fixed input makes many that are alike.
NOT_JUDGED = frozenset({"no_silent_orphan", "no_unflagged_duplicate", "never_lost", "nothing_invented"})

#: Offenders of one invariant that are named.
NAMED = 3

#: name -> what is read of the product's own rows.
QUERIES: dict[str, LiteralString] = {
    "fires": """
        SELECT s.name AS schedule, f.id, f.nominal_at, f.state, f.why, f.path, f.batch_id, f.run_id, f.decided_at,
            f.due_at, f.asked_by
        FROM fires f JOIN schedules s ON s.id = f.schedule_id ORDER BY f.nominal_at, s.name""",
    "runs": """
        SELECT r.id, r.batch_id, r.index, r.status, r.attempt, r.execution_id, r.created_by, r.created_at,
            convert_from(i.body, 'UTF8')::json AS input
        FROM runs r JOIN inputs i ON i.run_id = r.id ORDER BY r.id""",
    "attempts": "SELECT run_id, attempt, state, remote_id FROM executions ORDER BY run_id, attempt",
    "batches": "SELECT id, total, refused, created_by, ended_at FROM batches ORDER BY id",
    "events": "SELECT stream, seq, at, type, actor, data::json AS data FROM events ORDER BY stream, seq",
}


def gather(world: WeekWorld, lines: Sequence[dict[str, Any]], *, took_s: float) -> Evidence:
    """Return everything there is to judge a week by."""
    with psycopg.connect(world.server.dsn, row_factory=dict_row) as connection:
        rows = {name: connection.execute(query).fetchall() for name, query in QUERIES.items()}
    with psycopg.connect(world.server.dsn) as connection:
        digest = digest_of(world, connection)
    service = world.provider.service
    service.world.settle_all()
    return {
        "story": world.story.name,
        "took_s": round(took_s, 1),
        "bugs": world.bugs,
        "digest": digest,
        **rows,
        "lines": lines,
        "seen": world.seen,
        "wire": [{"method": one.method, "target": one.target} for one in world.fabric.exchanges],
        "truth": [execution_document(execution, service.files) for execution in service.world.executions.values()],
        "stored": sorted(hashlib.sha256(body).hexdigest() for body in world.store.files.values()),
        "broken": _broken(world),
        "report": asyncio.run(_report(world)),
    }


def _broken(world: WeekWorld) -> dict[str, list[str]]:
    """Return the invariants of simulated worlds that do not hold at the end of this one, with some offenders each."""
    with psycopg.connect(world.server.dsn, autocommit=True) as connection:
        evidence = view.Evidence(
            connection=connection, provider=world.provider, exchanges=world.fabric.exchanges, store=world.store,
            journal=Journal, now=world.now, requests_per_minute=world.plan.requests_per_minute,
            max_concurrent=world.plan.max_concurrent,
        )  # fmt: skip
        seen = view.View(evidence)
        judged = [invariant for invariant in INVARIANTS if invariant.name not in NOT_JUDGED]
        found = {invariant.name: list(islice(invariant.check(seen), NAMED)) for invariant in judged}
    return {name: offenders for name, offenders in found.items() if offenders}


async def _report(world: WeekWorld) -> Evidence:
    """Have the week's report made half an hour after its end, as the API makes it: by the real driver, in real time."""
    story = world.story
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(database_url=SecretStr(world.dsn), data_dir=Path(folder), allow_private_networks=True)
        async with build(settings, program="report") as deps:
            _set_clock(deps.db._engine.sync_engine, story.until + timedelta(minutes=30))
            options = ReportOptions(format=ReportFormat.JSON, zone=BERLIN)
            made = await report.period_report(deps, world.who, since=story.since, until=story.until, options=options)
            document = b"".join([block async for block in made.chunks()])
            await report.note_made(deps, world.who, made)
    return {"adds_up": made.adds_up, "headline": made.headline, **json.loads(document)}


def _set_clock(engine: Engine, at: datetime) -> None:
    """Let every session find the virtual time."""

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: object, _record: object, _arguments: object, options: dict[str, Any]) -> None:
        options["options"] += f" -c orch.now={at.isoformat()}"
