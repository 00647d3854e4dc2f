"""Webhooks: which programs are told what happens, and how that came through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict, cast
from urllib.parse import quote

from orchestrator.client.runs import pages
from orchestrator.client.wire import Wire

#: A test waits for the receiver.
TEST_TIMEOUT_S = 60.0


class Webhook(TypedDict, total=False):
    """Who is told of what: ok, failing or disabled. `secret` is there once: when it is made."""

    id: str
    name: str
    url: str
    events: list[str]
    status: str
    secret: str | None
    failing_since: str | None
    rests_until: str | None
    disabled_at: str | None
    disabled_because: str | None
    delivered_at: str | None
    old_secret_until: str | None
    created_by: str
    created_at: str


class Delivery(TypedDict, total=False):
    """One message to one webhook: pending, delivered or failed; `log` has its latest tries."""

    id: str
    webhook_id: str
    type: str
    created_at: str
    state: str
    tries: int
    next_at: str | None
    delivered_at: str | None
    last_status: int | None
    last_error: str | None
    payload: dict[str, Any]
    log: list[dict[str, Any]]


class WebhookTest(TypedDict, total=False):
    """What came of a test."""

    ok: bool
    status: int | None
    error: str | None
    response: str | None
    took_s: float
    delivery: str


class Webhooks:
    """Which programs are told what happens."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def add(self, name: str, url: str, *, events: Sequence[str] = (), reason: str | None = None) -> Webhook:
        """Add a webhook; its `secret` is in this answer only.

        Args:
            events: types, `run.*` for a family; none means all.
        """
        body = {"name": name, "url": url, "events": [*events] or None, "reason": reason}
        return cast(Webhook, self._wire.post("/webhooks", _given(body)))

    def list(self) -> Sequence[Webhook]:
        """Return every webhook."""
        return cast(Sequence[Webhook], self._wire.get("/webhooks")["data"])

    def get(self, name: str) -> Webhook:
        """Return one webhook."""
        return cast(Webhook, self._wire.get(_path(name)))

    def set(
        self,
        name: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        enabled: bool | None = None,
        reason: str | None = None,
    ) -> Webhook:
        """Change what is given."""
        body = {"url": url, "events": [*events] if events else None, "enabled": enabled, "reason": reason}
        return cast(Webhook, self._wire.patch(_path(name), _given(body)))

    def rotate(self, name: str, *, overlap_hours: int | None = None, reason: str | None = None) -> Webhook:
        """Make another secret, which is in this answer only; the old one signs too, for a day unless said otherwise."""
        body = {"overlap_hours": overlap_hours, "reason": reason}
        return cast(Webhook, self._wire.post(f"{_path(name)}:rotate", _given(body)))

    def remove(self, name: str, *, reason: str | None = None) -> None:
        """Remove a webhook, and what waits for it."""
        self._wire.json("DELETE", _path(name), query={"reason": reason})

    def test(self, name: str) -> WebhookTest:
        """Send one `webhook.test` now, and say what came of it."""
        answer = self._wire.json("POST", f"{_path(name)}:test", body=b"{}", timeout_s=TEST_TIMEOUT_S)
        return cast(WebhookTest, answer)

    def deliveries(self, name: str, *, states: Sequence[str] = (), limit: int | None = None) -> Sequence[Delivery]:
        """Return what a webhook was told, latest first."""
        query = {"state": ",".join(states) or None}
        return cast(Sequence[Delivery], [*pages(self._wire, f"{_path(name)}/deliveries", query, limit)])

    def resend(self, name: str, delivery: str, *, reason: str | None = None) -> Delivery:
        """Send a message once more, now, under the same id."""
        path = f"{_path(name)}/deliveries/{quote(delivery, safe='')}:resend"
        return cast(Delivery, self._wire.post(path, _given({"reason": reason})))


def _path(name: str) -> str:
    return f"/webhooks/{quote(name, safe='')}"


def _given(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}
