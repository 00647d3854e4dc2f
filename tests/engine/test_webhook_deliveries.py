"""Deliveries to webhooks: tried again, given up, sent again, taken over, claimed flatly, and never privately."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from standardwebhooks import WebhookVerificationError

from orchestrator.domain.webhooks import RETRIES_S
from orchestrator.engine import deliver, operate, sweep, webhooks
from orchestrator.errors import BadInput, Conflict, NotFound
from orchestrator.providers.webhooks import HttpWebhookSender
from orchestrator.storage import deliveries
from tests.engine.conftest import Hands, Office
from tests.engine.test_launching import single
from tests.engine.test_nothing_is_stranded import change, query
from tests.engine.test_reasons import told
from tests.engine.test_webhooks import Receiver, receiver
from tests.providers.raw_server import answer

pytestmark = pytest.mark.anyio
__all__ = ["receiver"]


async def happened(office: Office) -> None:
    """Let one run end."""
    run_id = await single(office)
    assert (await operate.cancel_run(office.deps, office.who, run_id))["status"] == "cancelled"


async def test_a_receiver_that_was_down_is_told_later_under_the_same_id(office: Office, receiver: Receiver) -> None:
    await receiver.listen()
    receiver.says = answer(503)
    await happened(office)
    await receiver.told()
    assert (await receiver.state())["status"] == "failing"
    for number, wait_s in enumerate(RETRIES_S[:3], start=1):
        (delivery,) = await receiver.deliveries()
        planned = datetime.fromisoformat(delivery["next_at"]) - datetime.fromisoformat(delivery["log"][-1]["at"])
        assert wait_s <= planned.total_seconds() <= wait_s * 1.1 + 20, "by its schedule, from when it was recorded"
        if wait_s > 60:
            await receiver.pass_s(wait_s - 60)
            assert await receiver.pump() == 0, "not before its time"
        await receiver.pass_s(60 + 0.1 * wait_s)
        receiver.says = answer(200 if number == 3 else 500, b"no " * 2000)
        await receiver.told()
        assert len(receiver.server.requests) == number + 1
    (delivery,) = await receiver.deliveries()
    assert (delivery["state"], delivery["tries"], [t["status"] for t in delivery["log"]]) == (
        "delivered", 4, [503, 500, 500, 200],
    )  # fmt: skip
    assert len(delivery["log"][1]["response"]) <= 2000
    assert len({receiver.verified(request)[0] for request in receiver.server.requests}) == 1
    assert (await receiver.state())["status"] == "ok"


async def test_after_the_last_try_a_delivery_is_given_up_and_can_be_sent_again(
    office: Office, receiver: Receiver
) -> None:
    await receiver.listen()
    await happened(office)
    await change(office, "UPDATE webhook_deliveries SET tries = :n", n=len(RETRIES_S))
    receiver.says = answer(500)
    await receiver.pump()
    (delivery,) = await receiver.deliveries()
    assert (delivery["state"], delivery["next_at"]) == ("failed", None)
    receiver.says = answer(200)
    await receiver.pass_s(10)
    resent = await webhooks.resend(office.deps, office.who, "ours", UUID(delivery["id"]), reason="mended")
    assert resent["state"] == "pending"
    await receiver.told()
    assert [d["state"] for d in await receiver.deliveries()] == ["delivered"]
    assert len({receiver.verified(request)[0] for request in receiver.server.requests}) == 1
    (told,) = await query(office, "SELECT actor, data::jsonb AS data FROM events WHERE type = 'webhook_resent'")
    assert (told.actor, told.data["reason"], told.data["delivery"]) == (office.who.actor, "mended", delivery["id"])
    with pytest.raises(NotFound):
        await webhooks.resend(office.deps, office.who, "ours", office.deps.sources.new_id())


@pytest.mark.parametrize("says", [200, 500], ids=["taken", "failed"])
async def test_what_is_to_be_sent_again_is_sent_again_also_if_a_try_is_under_way_just_then(
    office: Office, receiver: Receiver, says: int
) -> None:
    await receiver.listen()
    await happened(office)
    receiver.says = answer(says)
    claim = await office.deps.db.run(lambda connection: deliveries.claim(connection, limit=10, lease_s=60))
    assert claim is not None
    await webhooks.resend(office.deps, office.who, "ours", claim.due[0].message_id)
    await deliver._deliver(office.deps, claim)
    (delivery,) = await receiver.deliveries()
    assert (delivery["state"], delivery["tries"], len(delivery["log"])) == ("pending", 0, 1)
    receiver.says = answer(200)
    await receiver.pass_s(60)  # a receiver that failed rests a moment
    await receiver.told()
    assert len(receiver.server.requests) == 2
    (delivery,) = await receiver.deliveries()
    assert (delivery["state"], delivery["tries"]) == ("delivered", 1)


async def test_a_receiver_that_is_gone_is_told_nothing_more_and_the_others_are(
    office: Office, receiver: Receiver
) -> None:
    await receiver.listen()
    await happened(office)
    receiver.says = answer(410)
    await receiver.pump()
    found = await receiver.state()
    assert (found["status"], "410" in found["disabled_because"]) == ("disabled", True)
    (told,) = await query(office, "SELECT data::jsonb AS data FROM events WHERE type = 'webhook_disabled'")
    assert told.data["webhook"] == "ours"
    await happened(office)
    assert len(await receiver.deliveries()) == 1, "nothing is written for it"
    with pytest.raises(Conflict):
        (delivery,) = await receiver.deliveries()
        await webhooks.resend(office.deps, office.who, "ours", UUID(delivery["id"]))


async def test_a_webhook_through_which_nothing_comes_for_five_days_is_disabled(
    office: Office, receiver: Receiver
) -> None:
    await receiver.listen()
    receiver.says = answer(500)
    await happened(office)
    await receiver.pump()
    await receiver.pass_s(timedelta(days=4.9).total_seconds())
    await receiver.pump()
    assert (await receiver.state())["status"] == "failing"
    await receiver.pass_s(timedelta(days=0.2).total_seconds())
    await receiver.listen(name="other")
    await receiver.pump()
    assert (await receiver.state())["status"] == "disabled"
    other = await webhooks.list_deliveries(office.deps, office.who, "other", states=None, before=None, limit=9)
    assert [d["type"] for d in other[0]] == ["webhook.disabled"]
    receiver.says = answer(200)
    await webhooks.set_webhook(office.deps, office.who, "ours", enabled=True)
    await receiver.pass_s(timedelta(days=1).total_seconds() * 1.1)
    await receiver.pump()
    assert [d["state"] for d in await receiver.deliveries()] == ["delivered"], "what waited is told"


async def test_a_redirect_is_not_followed_and_a_wish_to_wait_is_granted(office: Office, receiver: Receiver) -> None:
    await receiver.listen()
    await happened(office)
    receiver.says = answer(307, b"", f"Location: {receiver.server.url}/elsewhere")
    await receiver.told()
    (delivery,) = await receiver.deliveries()
    assert (len(receiver.server.requests), "redirects" in delivery["last_error"]) == (1, True)
    receiver.says = answer(429, b"", "Retry-After: 1800")
    await receiver.pass_s(8)
    await receiver.told()
    await receiver.pass_s(1700)
    assert await receiver.pump() == 0, "it asked for half an hour"


async def test_a_private_address_is_never_called_unless_that_is_allowed(
    office: Office, hands: Hands, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await receiver.listen()
    await happened(office)
    # A public name, that leads into a private network since it was checked.
    await change(office, "UPDATE webhooks SET url = :url", url=f"https://hooks.example.com:{receiver.server.port}/ours")
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", receiver.server.port))]

    async def resolve(*_: Any, **__: Any) -> Any:
        return found

    strict = dataclasses.replace(office.deps, webhooks=HttpWebhookSender(allow_private_networks=False))
    with monkeypatch.context() as patch:
        patch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        await deliver.deliver_due(strict, worker=hands.id)
    (delivery,) = await receiver.deliveries()
    assert delivery["last_error"] == "never called: the host's name leads into a private network"
    for url in ("https://127.0.0.1/", "https://localhost/", "http://example.com/", "https://169.254.169.254/meta"):
        with pytest.raises(BadInput):
            await webhooks.set_webhook(strict, office.who, "ours", url=url)
    assert receiver.server.connections == 0


async def test_a_delivery_whose_worker_died_is_taken_up_by_another_and_the_late_one_writes_nothing(
    office: Office, hands: Hands, receiver: Receiver
) -> None:
    await receiver.listen()
    await happened(office)
    sent, goes_on = asyncio.Event(), asyncio.Event()

    class Stuck(HttpWebhookSender):
        async def send(self, *given: Any, **more: Any) -> Any:
            found = await super().send(*given, **more)
            sent.set()
            await goes_on.wait()
            return found

    stuck = dataclasses.replace(office.deps, webhooks=Stuck(allow_private_networks=True))
    late = asyncio.create_task(deliver.deliver_due(stuck, worker=hands.id))
    await sent.wait()
    assert await receiver.pump() == 0, "it is claimed"
    await receiver.pass_s(deliver.LEASE_S + 1)
    await receiver.told()
    goes_on.set()
    await late
    (delivery,) = await receiver.deliveries()
    assert (delivery["state"], delivery["tries"], len(receiver.server.requests)) == ("delivered", 1, 2)
    assert len({receiver.verified(request)[0] for request in receiver.server.requests}) == 1


async def test_a_new_secret_signs_beside_the_old_one_for_a_while(office: Office, receiver: Receiver) -> None:
    old = await receiver.listen()
    new, _ = await webhooks.rotate_secret(office.deps, office.who, "ours")
    await happened(office)
    await receiver.pump()
    (request,) = receiver.server.requests
    assert receiver.verified(request, old) == receiver.verified(request, new)
    await change(office, "UPDATE webhooks SET old_secret_until = now()")
    await happened(office)
    await receiver.pump()
    receiver.verified(receiver.server.requests[1], new)
    with pytest.raises(WebhookVerificationError):
        receiver.verified(receiver.server.requests[1], old)
    stored = await query(office, "SELECT secret, old_secret FROM webhooks")
    assert not any(old.encode()[6:] in bytes(column) or new.encode()[6:] in bytes(column) for column in stored[0])


async def test_every_change_of_a_webhook_has_an_actor_and_a_reason(office: Office, receiver: Receiver) -> None:
    deps, who = office.deps, office.who
    for reason in (None, "ticket 17"):
        await webhooks.add_webhook(deps, who, name="ours", url=receiver.server.url, reason=reason)
        await webhooks.set_webhook(deps, who, "ours", types=["run.*"], enabled=False, reason=reason)
        await webhooks.rotate_secret(deps, who, "ours", reason=reason)
        await webhooks.remove_webhook(deps, who, "ours", reason=reason)
        for verb, type in (("add", "added"), ("set", "set"), ("rotate", "rotated"), ("remove", "removed")):
            expected = reason or f"asked for with `webhook {verb}`, no reason given"
            assert (await told(office, f"webhook_{type}"))[-1] == (who.actor, expected)
    kept = await query(office, "SELECT string_agg(data::text, ' ') AS data FROM events WHERE type LIKE 'webhook%'")
    assert "whsec_" not in kept[0].data, "no secret is in the history"
    assert await query(office, "SELECT 1 FROM webhooks WHERE octet_length(secret) > 0") == [], "forgotten"


async def test_a_claim_does_not_read_what_was_delivered(office: Office, receiver: Receiver) -> None:
    await receiver.listen()
    await change(
        office,
        "WITH m AS (INSERT INTO webhook_messages (id, workspace_id, type, about, body, at)"
        " SELECT gen_random_uuid(), w.workspace_id, 'run.finished', n::text, '{}', now()"
        " FROM webhooks w, generate_series(1, 5000) n RETURNING id)"
        " INSERT INTO webhook_deliveries (webhook_id, message_id, state, due_at)"
        " SELECT w.id, m.id, CASE WHEN row_number() OVER () > 20 THEN 'delivered' ELSE 'pending' END,"
        " CASE WHEN row_number() OVER () > 20 THEN NULL ELSE now() END FROM m, webhooks w",
    )
    await change(office, "ANALYZE webhooks, webhook_messages, webhook_deliveries")
    webhook = (await receiver.state())["id"]
    for statement, values in (
        (deliveries.CLAIM, {"lease_s": 60}),
        (deliveries.CLAIMED, {"webhook": webhook, "limit": 10}),
        (text(f"SELECT {deliveries.DUE}"), {}),
        (text(deliveries.DUE_SINCE), {}),
    ):

        async def explain(connection: Any, statement: Any = statement, values: Any = values) -> Any:
            asked = text("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement.text)
            return (await connection.execute(asked, values)).scalar_one()

        plan = (await office.deps.db.run(explain))[0]["Plan"]
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 100, plan


async def test_a_slow_receiver_holds_up_no_other_and_old_messages_go(office: Office, receiver: Receiver) -> None:
    await receiver.listen(name="slow")
    await receiver.listen(name="quick")
    await happened(office)
    await change(office, "UPDATE webhooks SET leased_until = now() + interval '1 minute' WHERE name = 'slow'")
    await receiver.told()
    assert [d["state"] for d in await receiver.deliveries("quick")] == ["delivered"]
    assert [d["state"] for d in await receiver.deliveries("slow")] == ["pending"]
    await change(office, "UPDATE webhook_messages SET at = now() - interval '31 days'")
    await sweep.sweep(office.deps)
    assert await receiver.deliveries("quick") == await receiver.deliveries("slow") == []
