"""Webhooks: what is told, to whom, in the transaction of what happened; what becomes of it when nobody answers."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from orchestrator.domain.webhooks import RETRIES_S
from orchestrator.engine import deliver, pump, sweep, webhooks
from orchestrator.engine.notices import Notices
from orchestrator.errors import Conflict, NotFound
from orchestrator.providers.webhooks import HttpWebhookSender
from tests.engine.conftest import Hands, Office
from tests.engine.test_launching import becomes, single
from tests.engine.test_nothing_is_stranded import change, ended, query
from tests.engine.test_schedules import Clerk, clerk
from tests.providers.raw_server import Connection, RawServer, answer

pytestmark = pytest.mark.anyio
__all__ = ["clerk"]


@dataclass
class Receiver:
    """A program that is told: it verifies what comes with the library, and answers what it is told to."""

    office: Office
    server: RawServer
    says: bytes = answer(204)
    secrets: dict[str, str] = field(default_factory=dict)

    async def listen(self, *types: str, name: str = "ours") -> str:
        secret, _ = await webhooks.add_webhook(
            self.office.deps, self.office.who, name=name, url=f"{self.server.url}/{name}", types=types
        )
        self.secrets[name] = secret
        return secret

    async def told(self) -> list[dict[str, Any]]:
        """Deliver what is due; return all that ever came, each verified."""
        await self.pump()
        return [self.verified(request)[1] for request in self.server.requests]

    async def pump(self) -> int:
        deps = self.office.deps
        return await pump.pump(deps, "deliver", worker=deps.sources.new_id(), should_stop=lambda: False)

    def verified(self, request: bytes, secret: str | None = None) -> tuple[str, dict[str, Any]]:
        head, _, body = request.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        found = Webhook(secret or self.secrets[first.split()[1].strip("/")]).verify(body, headers)
        assert found == json.loads(body)
        return headers["webhook-id"], found

    async def pass_s(self, seconds: float) -> None:
        """Let time pass for every webhook and delivery."""
        await change(
            self.office,
            "UPDATE webhooks SET leased_until = leased_until - make_interval(secs => :s),"
            " rests_until = rests_until - make_interval(secs => :s),"
            " failing_since = failing_since - make_interval(secs => :s)",
            s=seconds,
        )
        await change(
            self.office, "UPDATE webhook_deliveries SET due_at = due_at - make_interval(secs => :s)", s=seconds
        )

    async def state(self, name: str = "ours") -> dict[str, Any]:
        return await webhooks.show_webhook(self.office.deps, self.office.who, name)

    async def deliveries(self, name: str = "ours") -> list[dict[str, Any]]:
        views, _ = await webhooks.list_deliveries(
            self.office.deps, self.office.who, name, states=None, before=None, limit=50
        )
        return views


@pytest.fixture
async def receiver(office: Office) -> AsyncIterator[Receiver]:
    async def behave(connection: Connection) -> None:
        await connection.request()
        await connection.say(made.says)

    async with RawServer(behave) as server:
        made = Receiver(office, server)
        yield made


async def test_the_ends_of_runs_and_of_their_batch_are_told_as_they_were_written(
    office: Office, hands: Hands, receiver: Receiver
) -> None:
    await receiver.listen()
    good, bad = {"sandbox": "duration_s=0"}, {"sandbox": "outcome=error"}
    batch = await office.submit([good, bad])
    await hands.work(until=ended(office, batch.id))
    told = await receiver.told()
    stored = await query(office, "SELECT id, body FROM webhook_messages ORDER BY id")
    assert sorted(r.body for r in stored) == sorted(
        request.partition(b"\r\n\r\n")[2].decode() for request in receiver.server.requests
    )
    assert sorted(t["type"] for t in told) == ["batch.finished_with_errors", "run.error", "run.finished"]
    by_type = {t["type"]: t["data"] for t in told}
    runs = await query(office, "SELECT id, status FROM runs")
    assert {by_type[f"run.{r.status}"]["run_id"] for r in runs} == {str(r.id) for r in runs}
    failed = by_type["run.error"]
    assert (failed["error_code"], failed["connection"], failed["batch_id"]) == (
        "provider_error", "main", str(batch.id),
    )  # fmt: skip
    assert failed["workflow_id"] == office.sandbox.workflows["Free form"]
    assert failed["links"]["run"] == f"/api/v1/runs/{failed['run_id']}"
    assert by_type["batch.finished_with_errors"]["counts"] == {"finished": 1, "error": 1}
    assert "sandbox" not in json.dumps(told), "no input is told"
    assert {d["state"] for d in await receiver.deliveries()} == {"delivered"}
    assert await receiver.pump() == 0, "what was delivered is not sent again"


async def test_nothing_is_written_where_nobody_listens(office: Office, hands: Hands, receiver: Receiver) -> None:
    await receiver.listen("batch.*")
    await receiver.listen(name="off")
    await webhooks.set_webhook(office.deps, office.who, "off", enabled=False)
    run_id = await single(office)
    await hands.work(until=becomes(office, run_id, "finished"))
    assert await query(office, "SELECT id FROM webhook_messages") == []
    batch = await office.submit([{}])
    await hands.work(until=ended(office, batch.id))
    (told,) = await receiver.told()
    assert (told["type"], told["data"]["batch_id"]) == ("batch.finished", str(batch.id))


async def test_a_doubt_and_a_human_step_are_told_when_their_question_is_asked(
    office: Office, hands: Hands, receiver: Receiver
) -> None:
    await receiver.listen("doubt.opened", "human.needed")
    waits = await single(office, b'{"sandbox": "outcome=human_in_the_loop"}')
    await hands.work(until=becomes(office, waits, "human_in_the_loop"))
    office.sandbox.faults([{"fault": "reset_after", "kind": "launch", "times": 2}])
    doubted = await single(office)
    await hands.work(until=becomes(office, doubted, "in_doubt"))
    told = {t["type"]: t["data"] for t in await receiver.told()}
    assert told["human.needed"]["run_id"] == str(waits)
    assert told["doubt.opened"]["run_id"] == str(doubted)


async def test_a_wave_in_doubt_is_told_once_for_all_of_its_items(
    office: Office, hands: Hands, receiver: Receiver
) -> None:
    await receiver.listen("doubt.*")
    office.sandbox.faults([{"fault": "disconnect_after", "kind": "batch", "times": 1}])
    batch = await office.submit([{"n": n} for n in range(3)], wave_size=3)

    async def doubted() -> bool:
        return bool((await office.batch(batch.id))["counts"]["in_doubt"] == 3)

    await hands.work(until=doubted)
    (told,) = await receiver.told()
    assert (told["data"]["items"], told["data"]["batch_id"]) == (3, str(batch.id))


async def test_a_refused_key_is_told_once(office: Office, hands: Hands, receiver: Receiver) -> None:
    await receiver.listen("connection.refused")
    office.sandbox.faults([{"fault": "401", "kind": "launch", "times": 1}])
    await single(office)

    async def stopped() -> bool:
        return bool(await query(office, "SELECT 1 FROM lanes WHERE launches_stopped IS NOT NULL"))

    await hands.work(until=stopped)
    (told,) = await receiver.told()
    assert told["data"] == {"connection": "main", "error_code": "key_refused"}


async def test_a_missed_tick_is_told(clerk: Clerk, receiver: Receiver) -> None:
    await receiver.listen("schedule.missed")
    await clerk.schedule(catch_up="none")
    await clerk.pass_s(3.5 * 3600)
    await clerk.work()
    (told,) = await receiver.told()
    assert (told["data"]["schedule"], told["data"]["ticks"]) == ("hourly", 3)


async def test_a_result_at_risk_and_a_batch_that_stands_are_told_once(
    office: Office, hands: Hands, receiver: Receiver
) -> None:
    await receiver.listen("result.at_risk", "batch.no_progress")
    batch = await office.submit([{"sandbox": "duration_s=600"}])
    notices = Notices(office.deps)
    await notices.look()
    assert await receiver.told() == []
    await change(office, "UPDATE batches SET created_at = now() - interval '2 hours'")
    await change(office, "UPDATE runs SET status_at = now() - interval '2 hours'")
    for _ in range(2):
        await Notices(office.deps).look()
    (told,) = await receiver.told()
    assert (told["type"], told["data"]["batch_id"]) == ("batch.no_progress", str(batch.id))
    await change(office, "UPDATE runs SET status = 'downloading', attempt = 1")
    await change(
        office,
        "INSERT INTO artifacts (run_id, attempt, n, filename, url_expires_at)"
        " SELECT id, 1, 0, 'a', now() + interval '5 minutes' FROM runs",
    )
    for _ in range(2):
        await notices.look()
    assert [t["type"] for t in await receiver.told()] == ["batch.no_progress", "result.at_risk"]


async def happened(office: Office, hands: Hands) -> UUID:
    """Let one run end."""
    run_id = await single(office, b'{"sandbox": "duration_s=0"}')
    await hands.work(until=becomes(office, run_id, "finished"))
    return run_id


async def test_a_receiver_that_was_down_is_told_later_under_the_same_id(
    office: Office, hands: Hands, receiver: Receiver
) -> None:
    await receiver.listen()
    receiver.says = answer(503)
    await happened(office, hands)
    await receiver.told()
    assert (await receiver.state())["status"] == "failing"
    for number, wait_s in enumerate(RETRIES_S[:3], start=1):
        assert await receiver.pump() == 0, "not before its time"
        await receiver.pass_s(wait_s - 0.5)
        assert await receiver.pump() == 0, "not before its time"
        await receiver.pass_s(0.5 + 0.1 * wait_s)
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
    office: Office, hands: Hands, receiver: Receiver
) -> None:
    await receiver.listen()
    await happened(office, hands)
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


async def test_a_receiver_that_is_gone_is_told_nothing_more_and_the_others_are(
    office: Office, hands: Hands, receiver: Receiver
) -> None:
    await receiver.listen()
    await happened(office, hands)
    receiver.says = answer(410)
    await receiver.pump()
    found = await receiver.state()
    assert (found["status"], "410" in found["disabled_because"]) == ("disabled", True)
    (told,) = await query(office, "SELECT data::jsonb AS data FROM events WHERE type = 'webhook_disabled'")
    assert told.data["webhook"] == "ours"
    await happened(office, hands)
    assert len(await receiver.deliveries()) == 1, "nothing is written for it"
    with pytest.raises(Conflict):
        (delivery,) = await receiver.deliveries()
        await webhooks.resend(office.deps, office.who, "ours", UUID(delivery["id"]))


async def test_a_webhook_through_which_nothing_comes_for_five_days_is_disabled(
    office: Office, hands: Hands, receiver: Receiver
) -> None:
    await receiver.listen()
    receiver.says = answer(500)
    await happened(office, hands)
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


async def test_a_redirect_is_not_followed_and_a_wish_to_wait_is_granted(
    office: Office, hands: Hands, receiver: Receiver
) -> None:
    await receiver.listen()
    await happened(office, hands)
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
    office: Office, hands: Hands, receiver: Receiver
) -> None:
    await receiver.listen()
    await change(office, "UPDATE webhooks SET url = 'https://localtest.invalid/' WHERE name = 'ours'")
    await happened(office, hands)
    sender = HttpWebhookSender(allow_private_networks=False)
    strict = dataclasses.replace(office.deps, webhooks=sender)
    await deliver.deliver_due(strict, worker=hands.id)
    (delivery,) = await receiver.deliveries()
    assert delivery["last_status"] is None
    url = receiver.server.url.replace("http://", "https://")
    refused = await sender.send(url, id="msg_1", body="{}", secrets=[receiver.secrets["ours"]])
    assert (refused.error or "").startswith("never called")
    assert receiver.server.connections == 0


async def test_a_delivery_whose_worker_died_is_taken_up_by_another_and_the_late_one_writes_nothing(
    office: Office, hands: Hands, receiver: Receiver
) -> None:
    await receiver.listen()
    await happened(office, hands)
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


async def test_a_new_secret_signs_beside_the_old_one_for_a_while(
    office: Office, hands: Hands, receiver: Receiver
) -> None:
    old = await receiver.listen()
    new, _ = await webhooks.rotate_secret(office.deps, office.who, "ours")
    await happened(office, hands)
    await receiver.pump()
    (request,) = receiver.server.requests
    assert receiver.verified(request, old) == receiver.verified(request, new)
    await change(office, "UPDATE webhooks SET old_secret_until = now()")
    await happened(office, hands)
    await receiver.pump()
    receiver.verified(receiver.server.requests[1], new)
    with pytest.raises(WebhookVerificationError):
        receiver.verified(receiver.server.requests[1], old)
    stored = await query(office, "SELECT secret, old_secret FROM webhooks")
    assert not any(old.encode()[6:] in bytes(column) or new.encode()[6:] in bytes(column) for column in stored[0])


async def test_a_slow_receiver_holds_up_no_other_and_old_messages_go(
    office: Office, hands: Hands, receiver: Receiver
) -> None:
    await receiver.listen(name="slow")
    await receiver.listen(name="quick")
    await happened(office, hands)
    await change(office, "UPDATE webhooks SET leased_until = now() + interval '1 minute' WHERE name = 'slow'")
    await receiver.told()
    assert [d["state"] for d in await receiver.deliveries("quick")] == ["delivered"]
    assert [d["state"] for d in await receiver.deliveries("slow")] == ["pending"]
    await change(office, "UPDATE webhook_messages SET at = now() - interval '31 days'")
    await sweep.sweep(office.deps)
    assert await receiver.deliveries("quick") == await receiver.deliveries("slow") == []
