"""Connections to providers, and the workflows that they offer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import quote

from orchestrator.client.connection_shapes import Connection, ConnectionStanding, ConnectionTest, Workflow
from orchestrator.client.wire import Wire

#: A test asks the provider, and may wait for the rate.
TEST_TIMEOUT_S = 90.0


class Connections:
    """A provider, its address, a key and the key's limits."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def add(
        self,
        name: str,
        *,
        provider: str,
        base_url: str,
        api_key: str,
        requests_per_minute: int | None = None,
        max_concurrent: int | None = None,
        limit_group: str | None = None,
        console_url: str | None = None,
        api_version: str | None = None,
    ) -> Connection:
        """Store a connection. The key is sealed and never shown again."""
        body = {
            "name": name,
            "provider": provider,
            "base_url": base_url,
            "api_key": api_key,
            "requests_per_minute": requests_per_minute,
            "max_concurrent": max_concurrent,
            "limit_group": limit_group,
            "console_url": console_url,
            "api_version": api_version,
        }
        return cast(Connection, self._wire.post("/connections", _given(body)))

    def list(self) -> Sequence[Connection]:
        """Return every connection of the workspace."""
        return cast(Sequence[Connection], self._wire.get("/connections")["data"])

    def get(self, name: str) -> Connection:
        """Return one connection."""
        return cast(Connection, self._wire.get(_path(name)))

    def standing(self, name: str) -> ConnectionStanding:
        """Return how a connection stands: its health in words, its budget of the last hour, what waits there."""
        return cast(ConnectionStanding, self._wire.get(f"{_path(name)}/standing"))

    def test(self, name: str) -> ConnectionTest:
        """Ask the provider for its workflows and say what we would do; launches nothing. Wakes a stopped lane."""
        answer = self._wire.json("POST", f"{_path(name)}:test", body=b"{}", timeout_s=TEST_TIMEOUT_S)
        return cast(ConnectionTest, answer)

    def set(
        self,
        name: str,
        *,
        base_url: str | None = None,
        requests_per_minute: int | None = None,
        max_concurrent: int | None = None,
        console_url: str | None = None,
        api_version: str | None = None,
        reason: str | None = None,
    ) -> Connection:
        """Change what is given."""
        body = {
            "base_url": base_url,
            "requests_per_minute": requests_per_minute,
            "max_concurrent": max_concurrent,
            "console_url": console_url,
            "api_version": api_version,
            "reason": reason,
        }
        return cast(Connection, self._wire.patch(_path(name), _given(body)))

    def rotate(self, name: str, api_key: str, *, reason: str | None = None) -> Connection:
        """Give it another key."""
        return cast(
            Connection, self._wire.post(f"{_path(name)}:rotate", _given({"api_key": api_key, "reason": reason}))
        )

    def pause(self, name: str, *, reason: str | None = None) -> Connection:
        """Stop launching through it. What was launched is still collected."""
        return cast(Connection, self._wire.post(f"{_path(name)}:pause", _given({"reason": reason})))

    def resume(self, name: str, *, reason: str | None = None) -> Connection:
        """Launch on."""
        return cast(Connection, self._wire.post(f"{_path(name)}:resume", _given({"reason": reason})))

    def watch(
        self, name: str, *, types: Sequence[str] = (), since: str | None = None, reason: str | None = None
    ) -> Connection:
        """Track what other programs start there as runs of the origin `observed`; launches nothing.

        Args:
            types: only these, e.g. POST_GENERATION; empty: all.
            since: ISO time; what was made before is left out. None: from now on.
        """
        body = {"types": [*types] or None, "since": since, "reason": reason}
        return cast(Connection, self._wire.post(f"{_path(name)}:watch", _given(body)))

    def unwatch(self, name: str, *, reason: str | None = None) -> Connection:
        """Look for nothing new there; what was found is tracked to its end."""
        return cast(Connection, self._wire.post(f"{_path(name)}:watch", _given({"stop": True, "reason": reason})))

    def remove(self, name: str, *, reason: str | None = None) -> None:
        """Remove a connection that no live run needs."""
        self._wire.json("DELETE", _path(name), query={"reason": reason})


class Workflows:
    """What the providers can run."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def list(self, connection: str) -> Sequence[Workflow]:
        """Return a connection's workflows, from the provider, or from the cache (`stale`) while it is away."""
        answer = self._wire.json("GET", "/workflows", query={"connection": connection}, timeout_s=TEST_TIMEOUT_S)
        return cast(Sequence[Workflow], answer["data"])

    def get(self, connection: str, workflow_id: str) -> Workflow:
        """Return one workflow with its input schema and our settings for it."""
        answer = self._wire.json(
            "GET", _workflow(workflow_id), query={"connection": connection}, timeout_s=TEST_TIMEOUT_S
        )
        return cast(Workflow, answer)

    def set(
        self,
        connection: str,
        workflow_id: str,
        *,
        on_doubt: str | None = None,
        poll: str | None = None,
        reason: str | None = None,
    ) -> Workflow:
        """Change what is given.

        Args:
            on_doubt: hold, relaunch or fail.
            poll: `initial=5,factor=2,cap=60,jitter=0.1,polite=1`, seconds; `polite`: 0 or 1.
        """
        body = _given({"on_doubt": on_doubt, "poll": poll, "reason": reason})
        return cast(Workflow, self._wire.patch(_workflow(workflow_id), body, query={"connection": connection}))


def _path(name: str) -> str:
    return f"/connections/{quote(name, safe='')}"


def _workflow(workflow_id: str) -> str:
    return f"/workflows/{quote(workflow_id, safe='')}"


def _given(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}
