"""Webhooks: what is told, to whom, in the transaction of what happened; what becomes of it when nobody answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from standardwebhooks import Webhook

from orchestrator.engine import connections, pump, webhooks
from orchestrator.engine.notices import Notices
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


async def test_an_api_version_that_will_end_is_told_once_for_each_day_that_is_named(
    office: Office, receiver: Receiver
) -> None:
    await receiver.listen("connection.*")
    await office.connect_scripe()
    try:
        for sunset in ("2027-02-01", "2027-02-01", "2027-03-01"):
            office.sandbox.options(scripe_deprecation=f"2026-08-01; sunset={sunset}")
            await connections.test_connection(office.deps, office.who, "scripe")
    finally:
        office.sandbox.options(scripe_deprecation="")
    told = [message["data"] for message in await receiver.told()]
    # Messages are sent side by side: which of them comes first is chance.
    assert sorted(data.pop("sunset_at")[:10] for data in told) == ["2027-02-01", "2027-03-01"]
    assert told == [{"connection": "scripe", "api_version": "2026-08-01"}] * 2


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
