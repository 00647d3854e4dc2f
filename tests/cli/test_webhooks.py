"""`orchestrator webhook …` against the running product: its own workers tell a receiver what happened."""

from __future__ import annotations

import time

from standardwebhooks import Webhook

from tests.api.test_webhooks import Inbox, inbox
from tests.cli.conftest import Cli, Product

__all__ = ["inbox"]


def test_a_receiver_is_told_by_the_workers_and_its_deliveries_are_listed(
    cli: Cli, product: Product, inbox: Inbox
) -> None:
    added = cli("webhook", "add", "ours", "--url", inbox.url, "--event", "run.*", "-o", "json")
    assert added.code == 0
    secret = added.json["secret"]
    tested = cli("webhook", "test", "ours")
    assert tested.code == 0 and "took it" in tested.err
    free = product.sandbox.workflows["Free form"]
    run = product.client.runs.submit("main", free, {"n": 1})
    until = time.monotonic() + 20
    while len(inbox.came) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    headers, body = inbox.came[1]
    told = Webhook(secret).verify(body, headers)
    assert (told["type"], told["data"]["run_id"]) == ("run.finished", run["id"])
    listed = cli("webhook", "deliveries", "ours", "--limit", "1", "-o", "json").json
    assert listed[0]["webhook_id"] == headers["webhook-id"]
    inbox.status = 410
    resent = cli("webhook", "resend", "ours", listed[0]["id"], "--reason", "to see")
    assert resent.code == 0 and "pending" in resent.out
    while cli("webhook", "show", "ours", "-o", "json").json["status"] != "disabled" and time.monotonic() < until:
        time.sleep(0.1)
    assert "disabled" in cli("webhook", "list").out
    failed = cli("webhook", "test", "ours")
    assert failed.code == 1 and "410" in failed.err
    enabled = cli("webhook", "set", "ours", "--enable", "-o", "json")
    assert enabled.json["status"] == "ok"
    rotated = cli("webhook", "rotate", "ours", "-o", "json")
    assert rotated.json["secret"] != secret and rotated.json["old_secret_until"]
    assert secret not in cli("webhook", "show", "ours").out
    assert cli("webhook", "remove", "ours").code == 0
    assert cli("webhook", "show", "ours").code == 4
