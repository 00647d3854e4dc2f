"""A world as its users have it, for the pictures of the documentation: a batch under way; people are needed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from orchestrator.bootstrap import build
from orchestrator.client import Client
from orchestrator.engine import drafts
from orchestrator.engine.spool import Spool
from orchestrator.engine.who import SCOPES, Who
from orchestrator.web import batch_options
from tests.web.product import Product, finished

CONNECTIONS = ("billing", "scoring")
STATEMENT = {
    "type": "object",
    "properties": {
        "customer_id": {"type": "string", "description": "As in the customer list"},
        "amount": {"type": "number", "description": "What is open, in the currency"},
        "currency": {"type": "string", "enum": ["EUR", "CZK", "USD"]},
        "note": {"type": "string", "description": "Printed below the sum"},
        "sandbox": {"type": "string"},
    },
    "required": ["customer_id", "amount"],
    "additionalProperties": False,
}
FILE = """customer_id,Total,currency,note,internal_ref
c-1001,120.50,EUR,Second reminder,41-1
c-1002,"80,20",EUR,,41-2
c-1003,15.00,CZK,,41-3
c-1004,990.00,USD,Paid in part,41-4
c-1005,12.75,EUR,,41-5
"""


def fill(made: Product, client: Client) -> None:
    """Make it through the API, and wait until there is something to see."""
    flow = made.sandbox.add_workflow(name="Monthly statement", description="One PDF each", input_schema=STATEMENT)
    made.ids["statement"] = flow
    _batches(made, client, flow)
    _singles(made, client)
    _schedules(made, client, flow)
    _hour(made)
    made.ids["draft"] = finished(_draft(made, flow))
    for item in client.inbox.list():
        made.ids[f"question {item['kind']}"] = item["id"]


def _batches(made: Product, client: Client, flow: str) -> None:
    def submit(name: str, count: int, hints: dict[int, str]) -> str:
        rows = [
            {"customer_id": f"c-{1000 + n}", "amount": 10.5 * n, "sandbox": hints.get(n, "duration_s=0.1")}
            for n in range(1, count + 1)
        ]
        content = "\n".join(json.dumps(row) for row in rows).encode()
        how: dict[str, Any] = {
            "connection": "billing",
            "workflow_id": flow,
            "wave_size": 40,
            "external_id_column": "customer_id",
        }
        return str(client.batches.submit(content, "jsonl", name=name, **how)["id"])

    earlier = submit("Statements for October", 40, {})
    _until(lambda: client.batches.get(earlier)["finished_at"] is not None)
    failing = dict.fromkeys((7, 61), "outcome=error")
    lasting = dict.fromkeys(range(141, 161), "duration_s=3000")
    made.ids["batch"] = submit("Statements for November", 160, failing | lasting)
    _until(lambda: client.batches.get(made.ids["batch"])["counts"]["finished"] >= 138)
    _until(lambda: client.batches.get(made.ids["batch"])["counts"]["error"] == len(failing))


def _singles(made: Product, client: Client) -> None:
    flows = made.sandbox.workflows

    def submit(connection: str, flow: str, hints: str, external_id: str) -> str:
        body = {"customer_id": external_id, "sandbox": hints}
        labels = {"team": "collections"}
        run = client.runs.submit(connection, flows[flow], body, external_id=external_id, labels=labels)
        return str(run["id"])

    failed = submit("scoring", "Score customer", "outcome=error", "score-c-1007")
    done = submit("scoring", "Score customer", "files=2; filename=score.json; size_bytes=900", "score-c-1001")
    person = submit("billing", "Free form", "outcome=human_in_the_loop; human_after_s=0", "write-off-c-1044")
    _until(lambda: client.runs.get(failed)["status"] == "error" and client.runs.get(done)["status"] == "finished")
    _until(lambda: client.runs.get(person)["status"] == "human_in_the_loop")
    doubt = submit("scoring", "Score customer", "fault=500_after", "payment-4711")
    _until(lambda: client.runs.get(doubt)["status"] == "in_doubt")
    made.ids.update(run=failed, done=done)


def _schedules(made: Product, client: Client, flow: str) -> None:
    common: dict[str, Any] = {"connection": "billing", "workflow_id": flow}
    client.schedules.create(
        "nightly-statements",
        cron="30 2 * * 1-5",
        tz="Europe/Prague",
        input=b'{"customer_id": "all", "amount": 0}',
        **common,
    )
    client.schedules.create("month-end", cron="0 6 1 * *", tz="Europe/Prague", file="statements-{date}.csv", **common)
    client.schedules.run_now("nightly-statements", reason="to see it before the night")
    made.sql(
        "INSERT INTO fires (id, schedule_id, workspace_id, nominal_at, state, why, deadline_at, decided_at)"
        " SELECT gen_random_uuid(), id, workspace_id,"
        " date_trunc('day', now()) + interval '90 min' - n * interval '1 d',"
        " s, w, now(), now() FROM schedules, (VALUES"
        " (1, 'missed', 'nobody was there to fire it (5 h late); catch-up is none'),"
        " (2, 'skipped', 'what the tick before it submitted still ran')) v(n, s, w) WHERE name = 'nightly-statements'"
    )
    _until(lambda: bool(client.schedules.fires("nightly-statements", states=["fired"])))


def _hour(made: Product) -> None:
    """Let the lanes have had an hour: the samples of their minutes, as sweeps take them."""
    made.sql(
        "INSERT INTO lane_minutes (lane_id, minute, used, turned_away, sampled_at)"
        " SELECT l.id, date_trunc('minute', now()) - m * interval '1 min',"
        " (330 + 220 * sin(m / 7.0) + 30 * sin(m * 2.0))::int, CASE m WHEN 34 THEN 2 ELSE 0 END, now()"
        " FROM lanes l, generate_series(2, 52) m ON CONFLICT DO NOTHING"
    )


async def _draft(made: Product, flow: str) -> str:
    begun = batch_options.begun("billing", flow, "csv")
    options = begun | {"mapping": {"Total": "amount", "internal_ref": ""}, "name": "Statements for December"}
    async with build(made.settings, program="test") as deps:
        who = Who(workspace_id=made.workspace, actor="token:Ada Operator", scopes=frozenset(SCOPES))
        with Spool() as content:
            content.write(FILE.encode())
            return str(await drafts.keep(deps, who, content, filename="statements-december.csv", options=options))


def _until(so: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not so():
        assert time.monotonic() < until, "the world of the pictures did not come about"
        time.sleep(0.1)
