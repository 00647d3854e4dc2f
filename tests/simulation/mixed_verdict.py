"""What came of a mixed world, by our books and by the provider's."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import psycopg

from sandbox.calls import SCRIPE_PREFIX
from sandbox.truth import summary_document

if TYPE_CHECKING:
    from tests.simulation.mixed import MixedWorld

STATUSES = """
    SELECT n.provider, r.status, count(*) FROM runs r JOIN connections n ON n.id = r.connection_id
    GROUP BY 1, 2 ORDER BY 1, 2"""

EVENTS = """
    SELECT n.provider, count(*) FROM events e JOIN runs r ON r.id = e.stream
        JOIN connections n ON n.id = r.connection_id
    WHERE e.type = %s GROUP BY 1 ORDER BY 1"""

#: A run by the tag in its input, and what it came to.
RUNS = """
    SELECT n.provider, COALESCE(i.body_json ->> 'note', i.body_json #>> '{source,text}') AS tag, r.status,
        r.execution_id, (SELECT count(*) FROM artifacts a WHERE a.run_id = r.id AND a.attempt = r.attempt
            AND a.stored_at IS NOT NULL) AS stored
    FROM runs r JOIN connections n ON n.id = r.connection_id,
        LATERAL (SELECT convert_from(body, 'UTF8')::json AS body_json FROM inputs WHERE run_id = r.id) i"""

ENDED = {"finished", "error"}


def judge(world: MixedWorld, connection: psycopg.Connection[Any], *, runs: int) -> dict[str, Any]:
    """Return the figures of a world, and whether the promises held: `broken` names those that did not."""
    service = world.provider.service
    statuses: dict[str, dict[str, int]] = {}
    for provider, status, count in connection.execute(STATUSES).fetchall():
        statuses.setdefault(provider, {})[status] = count
    doubts, lost = (dict(connection.execute(EVENTS, (type_,)).fetchall()) for type_ in ("in_doubt", "answer_lost"))
    resets = [
        entry
        for entry in service.log.since(0, limit=10_000_000)
        if entry.fault == "reset_after" and entry.kind == "launch" and entry.path.startswith(SCRIPE_PREFIX)
    ]
    twice = service.jobs.launched_twice()
    executed_twice = summary_document(list(service.world.executions.values()))["inputs_executed_twice"]
    most = {name: meter.max_arrivals for name, meter in service.meters.items()}
    allowed = {name: 120 if name.startswith("scripe:") else world.plan.requests_per_minute for name in most}
    checks = {
        "every_run_is_there": sum(sum(found.values()) for found in statuses.values()) == runs,
        "every_run_has_ended": all(set(found) <= ENDED for found in statuses.values()),
        "nothing_ran_twice": not twice and not executed_twice,
        "no_job_was_in_doubt": not doubts.get("scripe"),
        "each_run_has_its_own": not _strangers(world, connection),
        "limits_held": all(most[name] <= allowed[name] for name in most),
        "no_bug": not world.bugs,
    }
    return {
        "runs": runs,
        "statuses": statuses,
        "faults": sum(world.hits().values()) + len(resets),
        "job_launches_reset_after_acceptance": len(resets),
        "answers_asked_for_again": lost.get("scripe", 0),
        "doubts": {"scripe": doubts.get("scripe", 0), "script": doubts.get("script", 0)},
        "duplicates": len(twice) + len(executed_twice),
        "jobs": len(service.jobs.by_id),
        "executions": len(service.world.executions),
        "requests": dict(Counter(entry.kind for entry in service.log.since(0, limit=10_000_000))),
        "most_in_60_s": {name: f"{most[name]} of {allowed[name]}" for name in sorted(most)},
        "virtual_min": round(world.loop.time() / 60),
        "bugs": world.bugs[:5],
        "broken": [name for name, holds in checks.items() if not holds],
        "is_well": all(checks.values()),
    }


def _strangers(world: MixedWorld, connection: psycopg.Connection[Any]) -> list[str]:
    """Return the runs whose execution was not made of their input, or which ended otherwise than it."""
    service = world.provider.service
    found = []
    for provider, tag, status, execution_id, stored in connection.execute(RUNS).fetchall():
        if provider == "scripe":
            job = service.jobs.by_id.get(execution_id)
            given = None if job is None else job.given["source"]["text"]
            ended = None if job is None else ("error" if job.fails else "finished")
        else:
            execution = service.world.executions.get(execution_id)
            given = None if execution is None else json.loads(execution.canonical).get("note")
            ended = None if execution is None else execution.status.value
        is_own = given == tag and ended == status and (status != "finished" or provider == "script" or stored == 1)
        # What was refused for good has no execution.
        if not is_own and not (execution_id is None and status == "error"):
            found.append(f"{provider} {tag}: {status}, {execution_id} of {given} {ended}, {stored} stored")
    world.bugs += [f"stranger: {one}" for one in found[:3]]
    return found
