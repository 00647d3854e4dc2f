"""Reads: what people and their programs ask the API, over a world with its history, small and large.

Each question goes through the served API for its time, and through the same verb in this process for what it touches.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx

from benchmarks.scale.claims import ratios
from benchmarks.scale.explained import Watched, watched
from benchmarks.scale.served import serving
from benchmarks.scale.sites import Site
from orchestrator.engine import reading
from orchestrator.engine.deps import Deps
from orchestrator.engine.who import Who

#: Requests of each question that are timed.
TIMED = 15

#: Rows of a page: few enough that the smallest world fills it, so that both show as much.
PAGE = 20

BUFFERS_GOAL, TIME_GOAL = 2.0, 2.0

#: What a page of the small world touches at the least is taken for this much: its tables are so short that some are
#: read whole, which is no measure for anything.
FEW_BUFFERS = 300

#: They grow with the work; the others are as long as the installation is wide.
GROWING = frozenset({"runs", "executions", "events", "inputs", "labels", "artifacts", "timers", "intents", "batches"})

#: An example of each kind of thing to ask for.
_EXAMPLES = """
    SELECT (SELECT id FROM runs WHERE external_id = 'order-0-125'),
        (SELECT id FROM runs WHERE external_id = 'old-100'),
        (SELECT batch_id FROM runs WHERE external_id = 'order-0-5'),
        (SELECT batch_id FROM runs WHERE external_id = 'old-100'),
        (SELECT remote_id FROM workflows WHERE remote_id = 'workflow-3')"""

Verb = Callable[[Deps, Who], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question: the path that asks it, and the verb behind it."""

    path: str
    verb: Verb


def questions(site: Site) -> Mapping[str, Question]:
    """Return what is asked of a world, by name."""
    live, old, open_batch, old_batch, workflow = site.ask(_EXAMPLES)
    now = datetime.now(UTC)
    weeks = {"since": now - timedelta(days=40), "until": now - timedelta(days=20)}
    return {
        "newest": _page(),
        "of a status": _page(status="processing"),
        "of a rare status": _page(status="error"),
        "of a status that none has": _page(status="result_lost"),
        "of a workflow": _page(workflow=workflow),
        "of a workflow that is not there": _page(workflow="no-such"),
        "of a connection": _page(connection="lane-000003"),
        "of a workflow in a status": _page(workflow=workflow, status="error"),
        "with an external id": _page(external_id="order-0-125"),
        "with an external id that is not there": _page(external_id="no-such"),
        "with a label": _page(labels={"team": "team-3"}),
        "with a label that is not there": _page(labels={"team": "no-such"}),
        "with a label, in a status that none of them has": _page(labels={"team": "team-3"}, status="result_lost"),
        "with an error code": _page(error_code="provider_error"),
        "with an error code, of a workflow": _page(error_code="provider_error", workflow=workflow),
        "with an error code that is not there": _page(error_code="no-such"),
        "of weeks long ago": _page(**weeks),
        "of weeks long ago in a status": _page(**weeks, status="finished"),
        "of a batch": _page(batch=open_batch),
        "of a batch in a status": _page(batch=open_batch, status="queued"),
        "one run": Question(path=f"/runs/{live}", verb=lambda d, w: reading.get_run(d, w, live)),
        "one run that has ended": Question(path=f"/runs/{old}", verb=lambda d, w: reading.get_run(d, w, old)),
        "events of a run": Question(path=f"/runs/{old}/events", verb=lambda d, w: reading.run_events(d, w, old)),
        "counts of a batch": _batch(open_batch),
        "counts of a batch that has ended": _batch(old_batch),
        "batches of a workflow": _batches(workflow=workflow),
        "batches of a workflow that is not there": _batches(workflow="no-such"),
        "batches with an external id": _batches(external_id="no-such"),
        "batches": Question(path=f"/batches?limit={PAGE}", verb=lambda d, w: reading.list_batches(d, w, limit=PAGE)),
    }


def measure(small: Site, large: Site) -> dict[str, Any]:
    """Return the row: of each question the ratios of both worlds, and the tables that were read from end to end."""
    few, many = (site.work(touch, site) for site in (small, large))
    quick, slow = (_clock(site) for site in (small, large))
    buffers = grown(few, many)
    times = ratios(quick, slow)
    scanned = {name: sorted(found) for name, of in many.items() if (found := of.scanned & GROWING)}
    return {
        "runs": large.ask("SELECT count(*) FROM runs")[0],
        "runs_small": small.ask("SELECT count(*) FROM runs")[0],
        "events": large.ask("SELECT count(*) FROM events")[0],
        "scanned": scanned,
        "buffers": {name: of.buffers for name, of in many.items()},
        "buffers_ratio_most": max(buffers.values()),
        "ms": slow,
        "time_ratio": times,
        "time_ratio_most": max(times.values()),
        "goal": {"scanned": {}, "buffers_ratio_most": BUFFERS_GOAL, "time_ratio_most": TIME_GOAL},
        "reached": not scanned and max(buffers.values()) <= BUFFERS_GOAL and max(times.values()) <= TIME_GOAL,
    }


def grown(few: Mapping[str, Watched], many: Mapping[str, Watched]) -> dict[str, float]:
    """Return how many times as many buffers each question touches in the larger world."""
    return {name: round(many[name].buffers / max(few[name].buffers, FEW_BUFFERS), 2) for name in many}


async def touch(deps: Deps, site: Site) -> dict[str, Watched]:
    """Return what each question touches."""
    found = {}
    for name, question in questions(site).items():
        with watched() as found[name]:
            await question.verb(deps, site.who)
    return found


def _clock(site: Site) -> dict[str, float]:
    found = {}
    with serving(site) as (client, _):
        for name, question in questions(site).items():
            took = [_timed(client, question.path) for _ in range(TIMED + 3)]
            # The first few wake the server's pool and the pages; of the others the least disturbed counts.
            found[name] = round(min(took[3:]) * 1000, 2)
    return found


def _timed(client: httpx.Client, path: str) -> float:
    began_s = time.perf_counter()
    client.get(path).raise_for_status()
    return time.perf_counter() - began_s


def _page(**asked: Any) -> Question:
    """Return the question for a page of runs, as the API spells it and as the engine does."""
    words = {"since": "dateFrom", "until": "dateTo"}
    query = {"limit": str(PAGE)}
    for name, value in asked.items():
        if name == "labels":
            query["label"] = ",".join(f"{key}={of}" for key, of in value.items())
        else:
            query[words.get(name, name)] = value.isoformat() if isinstance(value, datetime) else str(value)
    given = dict(asked)
    if "status" in given:
        given["statuses"] = [given.pop("status")]

    if "error_code" in given:
        given["error_codes"] = [given.pop("error_code")]

    async def verb(deps: Deps, who: Who) -> object:
        return await reading.list_runs(deps, who, limit=PAGE, **given)

    return Question(path=f"/runs?{httpx.QueryParams(query)}", verb=verb)


def _batches(**asked: Any) -> Question:
    async def verb(deps: Deps, who: Who) -> object:
        return await reading.list_batches(deps, who, limit=PAGE, **asked)

    return Question(path=f"/batches?{httpx.QueryParams({'limit': str(PAGE), **asked})}", verb=verb)


def _batch(batch: UUID) -> Question:
    return Question(path=f"/batches/{batch}", verb=lambda deps, who: reading.get_batch(deps, who, batch))
