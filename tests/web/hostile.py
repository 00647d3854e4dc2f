"""What somebody could hope to have run by a browser, in every text that users and providers may choose."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from orchestrator.client import Client
    from tests.web.product import Product

HOSTILE = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'
#: The same where no space may stand: it would end an attribute, and begin an element.
IN_URL = '"><img/src=x/onerror=window.pwned=1>'
SCHEMA = {"type": "object", "properties": {HOSTILE: {"type": "string", "description": HOSTILE, "enum": [HOSTILE]}}}


def plant(made: Product, client: Client) -> None:
    """Put it where the world has none yet: a workflow, a batch of it, an address, what was only said by a provider."""
    ids = made.ids
    flow = made.sandbox.add_workflow(name="Flow " + HOSTILE, description=HOSTILE, input_schema=SCHEMA)
    ids["hostile workflow"] = flow
    client.tokens.create(HOSTILE, scopes=["read"])
    client.webhooks.add("ops", "https://hooks.example/" + IN_URL, events=["run.*"], reason=HOSTILE)
    client.connections.set("main", max_concurrent=9, console_url=made.sandbox.console_url, reason=HOSTILE)
    rows = json.dumps({HOSTILE: HOSTILE}).encode()
    kept = client.batches.submit(
        rows, "jsonl", connection="main", workflow_id=flow, name=HOSTILE, external_id=HOSTILE[:60]
    )
    ids["hostile batch"] = str(kept["id"])
    client.connections.set("waved", console_url=f"https://console.example/{IN_URL}/{{execution_id}}", reason=HOSTILE)
    client.schedules.update("paused", file="in-<img src=x onerror=window.pwned=1>-{date}.csv")
    ids["operation"] = str(client.operations.start("retry", {"labels": {"for": "act"}}, reason=HOSTILE)["id"])
    _say(made)


def _say(made: Product) -> None:
    """Let the provider have said it, in errors, in what came of a launch, and of its progress."""
    ids = made.ids
    failed, running = UUID(ids["failed too"]), UUID(ids["human"])
    made.sql("UPDATE runs SET error_message = :words WHERE id = :run", words=HOSTILE, run=failed)
    made.sql(
        "UPDATE executions SET progress_message = :words, progress_fraction = 0.4 WHERE run_id = :run",
        words=HOSTILE,
        run=running,
    )
    made.sql("UPDATE intents SET detail = :words WHERE run_id = :run", words=HOSTILE, run=UUID(ids["doubt too"]))
