"""What a workspace asks of people and lets in: doubts, inbox, tokens. And how the server is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast
from urllib.parse import quote

from orchestrator.client.runs import pages
from orchestrator.client.shapes import CreatedToken, Doubt, InboxItem, Readiness, Resolved, SystemState, Token
from orchestrator.client.wire import Wire


class Doubts:
    """Launches whose outcome nobody knows."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def list(self) -> Sequence[Doubt]:
        """Return every open doubt."""
        return cast(Sequence[Doubt], [*pages(self._wire, "/doubts", {}, None)])

    def resolve(
        self,
        doubt_id: str,
        how: Literal["adopt", "not_started", "relaunch", "abandon"],
        *,
        reason: str,
        execution_id: str | None = None,
        execution_ids: Mapping[int, str] | None = None,
        unverified: bool = False,
        seen: str | None = None,
    ) -> Resolved:
        """Say what happened to a run's or a wave's launch.

        Args:
            execution_id: with `adopt`, the execution that a person found at the provider.
            execution_ids: with `adopt` for a wave, by the run's index in its batch.
            unverified: with `adopt`: without asking the provider whether it knows the executions.
            seen: as the doubt was listed with it: kept with the decision, which is refused if it has changed.
        """
        body: dict[str, Any] = {"how": how, "reason": reason}
        if execution_id is not None:
            body["execution_id"] = execution_id
        if execution_ids is not None:
            body["execution_ids"] = {str(index): found for index, found in execution_ids.items()}
        if unverified:
            body["unverified"] = True
        if seen is not None:
            body["seen"] = seen
        return cast(Resolved, self._wire.post(f"/doubts/{quote(doubt_id, safe='')}:resolve", body))


class Inbox:
    """Questions for a person."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def list(self, *, limit: int | None = None) -> Sequence[InboxItem]:
        """Return what is open, oldest first; 200 at most."""
        return cast(Sequence[InboxItem], [*pages(self._wire, "/inbox", {}, limit)])

    def get(self, item_id: str) -> InboxItem:
        """Return one question with everything that helps to answer it."""
        return cast(InboxItem, self._wire.get(f"/inbox/{quote(item_id, safe='')}"))


class Tokens:
    """Who may call this API."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def list(self) -> Sequence[Token]:
        """Return every token, without its secret."""
        return cast(Sequence[Token], self._wire.get("/tokens")["data"])

    def create(
        self,
        name: str,
        *,
        scopes: Sequence[str] = (),
        expires_at: str | None = None,
        connection: str | None = None,
        test: bool = False,
    ) -> CreatedToken:
        """Make a token; its `secret` is shown this once.

        Args:
            scopes: of read, submit, operate, approve, admin; none means all.
            expires_at: ISO 8601 with a zone.
            connection: the one that the Script door speaks for, given this token.
            test: begin it with `orch_test_`.
        """
        body: dict[str, Any] = {"name": name}
        if test:
            body["test"] = True
        if scopes:
            body["scopes"] = [*scopes]
        if expires_at is not None:
            body["expires_at"] = expires_at
        if connection is not None:
            body["connection"] = connection
        return cast(CreatedToken, self._wire.post("/tokens", body))

    def revoke(self, token_id: str, *, reason: str | None = None) -> None:
        """Make a token useless at once."""
        self._wire.json("DELETE", f"/tokens/{quote(token_id, safe='')}", query={"reason": reason})


class System:
    """How the installation is. Only `look` needs a token."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def health(self) -> bool:
        """Return True when the server process answers.

        Raises:
            Unreachable: it does not.
        """
        return bool(self._wire.probe("/healthz")["ok"])

    def ready(self) -> Readiness:
        """Return whether the server can do its work, part by part. One that cannot is an answer, not an error."""
        return cast(Readiness, self._wire.probe("/readyz"))

    def look(self) -> SystemState:
        """Return what is wrong and its cure, who works, what is due, and where things lie."""
        return cast(SystemState, self._wire.get("/system"))
