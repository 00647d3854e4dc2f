"""Webhooks over HTTP: added, tested, changed, rotated, listed, resent, removed; what is refused, and to whom."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from orchestrator.bootstrap import build
from orchestrator.client import Client, Conflict, Invalid, NotFound
from orchestrator.engine import pump
from tests.api.conftest import Served


@dataclass
class Inbox:
    """A receiver on a thread: what came, and what it answers."""

    status: int = 200
    came: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""


class Handler(http.server.BaseHTTPRequestHandler):
    def __init__(self, inbox: Inbox, *given: Any) -> None:
        self._inbox = inbox
        super().__init__(*given)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._inbox.came.append(({k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(self._inbox.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    made = Inbox()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, made)) as server:
        made.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield made
        server.shutdown()


def deliver(served: Served) -> None:
    async def work() -> None:
        async with build(served.settings, program="test-worker") as deps:
            await pump.pump(deps, "deliver", worker=deps.sources.new_id(), should_stop=lambda: False)

    asyncio.run(work())


def test_a_webhook_lives_through_its_verbs(
    client: Client, served: Served, main: str, free: str, unique: str, inbox: Inbox
) -> None:
    made = client.webhooks.add(unique, inbox.url, events=["run.cancelled", "batch.*"], reason="ticket 9")
    secret = made["secret"]
    assert secret is not None and secret.startswith("whsec_")
    assert (made["status"], made["events"]) == ("ok", ["batch.*", "run.cancelled"])
    shown = client.webhooks.get(unique)
    assert "secret" not in shown and secret not in str([*client.webhooks.list(), shown])
    tested = client.webhooks.test(unique)
    assert (tested["ok"], tested["status"]) == (True, 200)
    assert Webhook(secret).verify(inbox.came[0][1], inbox.came[0][0])["type"] == "webhook.test"
    # Not its finish: runs of other tests finish too, when a worker works.
    run = client.runs.submit(main, free, {"n": 1})
    client.runs.cancel(run["id"])
    deliver(served)
    (headers, body) = inbox.came[1]
    assert Webhook(secret).verify(body, headers)["data"]["run_id"] == run["id"]
    told, test = client.webhooks.deliveries(unique)
    assert (told["state"], told["webhook_id"], test["type"]) == ("delivered", headers["webhook-id"], "webhook.test")
    assert told["payload"]["data"]["links"]["run"] == f"/api/v1/runs/{run['id']}"
    assert [d["id"] for d in client.webhooks.deliveries(unique, limit=1)] == [told["id"]]
    assert client.webhooks.deliveries(unique, states=["failed", "pending"]) == []
    rotated = client.webhooks.rotate(unique, overlap_hours=0)
    assert client.webhooks.resend(unique, told["id"])["state"] == "pending"
    deliver(served)
    assert inbox.came[2][0]["webhook-id"] == headers["webhook-id"]
    Webhook(rotated["secret"] or "").verify(inbox.came[2][1], inbox.came[2][0])
    changed = client.webhooks.set(unique, events=["*"], enabled=False)
    assert (changed["status"], changed["events"]) == ("disabled", ["*"])
    with pytest.raises(Conflict):
        client.webhooks.resend(unique, told["id"])
    assert client.webhooks.set(unique, enabled=True)["status"] == "ok"
    client.webhooks.remove(unique)
    with pytest.raises(NotFound):
        client.webhooks.get(unique)


def test_a_repeat_of_the_request_does_not_show_the_secret_again(http: httpx.Client, unique: str, inbox: Inbox) -> None:
    asked = {"json": {"name": unique, "url": inbox.url}, "headers": {"Idempotency-Key": unique}}
    first, second = (http.post("/api/v1/webhooks", **asked) for _ in range(2))  # type: ignore[arg-type]
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["secret"] and second.json() == first.json() | {"secret": None}


def test_what_makes_no_sense_is_refused(client: Client, unique: str, inbox: Inbox) -> None:
    for url in ("ftp://example.com/", "http://user:pass@example.com/", "no url", f"{inbox.url}#part"):
        with pytest.raises(Invalid):
            client.webhooks.add(unique, url)
    with pytest.raises(Invalid, match=r"run\.begun"):
        client.webhooks.add(unique, inbox.url, events=["run.begun"])
    with pytest.raises(Invalid):
        client.webhooks.add("a name with spaces", inbox.url)
    client.webhooks.add(unique, inbox.url)
    with pytest.raises(Conflict):
        client.webhooks.add(unique, inbox.url)
    with pytest.raises(Invalid):
        client.webhooks.deliveries(unique, states=["lost"])
    with pytest.raises(NotFound):
        client.webhooks.resend(unique, "01a22bae-fb3f-7e56-9115-fce63f0b9225")
    client.webhooks.remove(unique)


def test_another_workspaces_webhook_is_not_there(client: Client, stranger: Client, unique: str, inbox: Inbox) -> None:
    client.webhooks.add(unique, inbox.url)
    delivery = client.webhooks.test(unique)["delivery"]
    acts: list[Callable[[], object]] = [
        lambda: stranger.webhooks.get(unique),
        lambda: stranger.webhooks.set(unique, enabled=False),
        lambda: stranger.webhooks.rotate(unique),
        lambda: stranger.webhooks.test(unique),
        lambda: stranger.webhooks.deliveries(unique),
        lambda: stranger.webhooks.resend(unique, delivery),
        lambda: stranger.webhooks.remove(unique),
    ]
    for act in acts:
        with pytest.raises(NotFound):
            act()
    assert unique not in [webhook["name"] for webhook in stranger.webhooks.list()]
    stranger.webhooks.add(unique, inbox.url)
    with pytest.raises(NotFound):
        stranger.webhooks.resend(unique, delivery)
    stranger.webhooks.remove(unique)
    client.webhooks.remove(unique)


def test_only_administrators_change_webhooks_and_readers_see_them(
    client: Client, served: Served, unique: str, inbox: Inbox
) -> None:
    client.webhooks.add(unique, inbox.url)
    token = client.tokens.create(unique, scopes=["read", "submit", "operate", "approve"])["secret"]
    with httpx.Client(base_url=served.url, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as reader:
        path = f"/api/v1/webhooks/{unique}"
        assert reader.get(path).status_code == reader.get(f"{path}/deliveries").status_code == 200
        refused = [
            reader.post("/api/v1/webhooks", json={"name": "x", "url": inbox.url}),
            reader.patch(path, json={"enabled": False}),
            reader.post(f"{path}:test", json={}),
            reader.post(f"{path}:rotate", json={}),
            reader.delete(path),
        ]
        assert {answer.status_code for answer in refused} == {403}
    client.webhooks.remove(unique)
