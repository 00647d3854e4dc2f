"""Runs: submit, read, fetch results, act."""

from __future__ import annotations

import json
from binascii import a2b_base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from orchestrator.client.errors import VerificationFailed
from orchestrator.client.received import appearing, hashed
from orchestrator.client.shapes import Erasure, Event, Result, Run
from orchestrator.client.watched import Watched
from orchestrator.client.wire import Query, Wire

MAX_PAGE = 200
CHUNK_BYTES = 256 * 1024


class Runs:
    """What was asked for, one input each."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def submit(
        self,
        connection: str,
        workflow_id: str,
        input: Mapping[str, Any] | bytes,
        *,
        external_id: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Run:
        """Store one run and return it. With an `external_id` that came before, return that run.

        Args:
            input: bytes are taken as JSON text and reach the provider as they are, number spellings too.
        """
        raw = input if isinstance(input, bytes) else json.dumps(input, ensure_ascii=False, allow_nan=False).encode()
        rest: dict[str, Any] = {"connection": connection, "workflow_id": workflow_id}
        if external_id is not None:
            rest["external_id"] = external_id
        if labels:
            rest["labels"] = dict(labels)
        head = json.dumps(rest, ensure_ascii=False).encode()
        # The input is last and untouched: what is wrong with it is the server's to say, with its place.
        body = head[:-1] + b', "input": ' + raw + b"}"
        return cast(Run, self._wire.json("POST", "/runs", body=body))

    def list(
        self,
        *,
        status: Sequence[str] = (),
        batch: str | None = None,
        workflow: str | None = None,
        connection: str | None = None,
        since: str | None = None,
        until: str | None = None,
        external_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        error_codes: Sequence[str] = (),
        origin: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Run]:
        """Give runs, newest first (of a batch: in input order); fetches page after page as they are taken.

        Args:
            since, until: ISO 8601, by the time of creation.
            origin: `submitted` here, or `observed`: started by others on a connection that is watched.
            limit: how many in all; None for all there are.
        """
        query: dict[str, Any] = {
            "status": [*status],
            "batch": batch,
            "workflow": workflow,
            "connection": connection,
            "dateFrom": since,
            "dateTo": until,
            "external_id": external_id,
            "error_code": [*error_codes],
            "origin": origin,
            "label": tuple(f"{name}={value}" for name, value in (labels or {}).items()),
        }
        return cast(Iterator[Run], pages(self._wire, "/runs", query, limit))

    def get(self, run_id: str) -> Run:
        """Return one run."""
        return cast(Run, self._wire.get(_path(run_id)))

    def watched(self, run_id: str) -> Watched[Run]:
        """Return something that looks at one run again and again, and waits for its news."""
        return Watched(self._wire, _path(run_id))

    def wait(self, run_id: str, *, timeout_s: float | None = None) -> Run:
        """Return a run when it has ended, or when the time is over: `finished_at` says which.

        It waits on while only a person can move it.
        """
        return self.watched(run_id).until_end(timeout_s=timeout_s)

    def events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> Iterator[Event]:
        """Give a run's history after an event's number, oldest first."""
        return cast(Iterator[Event], pages(self._wire, f"{_path(run_id)}/events", {"after": after or None}, limit))

    def results(self, run_id: str) -> Sequence[Result]:
        """Return a run's stored result files, `n` first."""
        return cast(Sequence[Result], self._wire.get(f"{_path(run_id)}/results")["data"])

    def download(self, run_id: str, n: int, to: Path, *, sha256: str | None = None) -> Result:
        """Stream a result into a file, check it, and only then give the file its name.

        Args:
            to: the file; its folder must be there. An older file of that name is replaced.
            sha256: what the caller expects, besides what the server says.

        Raises:
            VerificationFailed: the bytes are not those that were stored.
            Interrupted: they stopped coming.
        """
        with appearing(to) as file:
            with self._wire.stream(f"{_path(run_id)}/results/{n}") as response:
                size, found = hashed(response.iter_bytes(CHUNK_BYTES), file)
                said = _digest(response.headers.get("Repr-Digest"))
            if found not in (said or found, sha256 or found) or (said or found) != (sha256 or found):
                raise VerificationFailed(
                    f"result {n} of run {run_id}: SHA-256 {found}, expected {sha256 or said}",
                    hint="Fetch it again. If it stays so, the server's store is damaged.",
                )
        return Result(n=n, filename=to.name, size_bytes=size, sha256=found)

    def cancel(self, run_id: str, *, reason: str | None = None) -> Run:
        """Cancel a run that was not launched, or ask a provider that can to stop it."""
        return self._act(run_id, "cancel", reason=reason)

    def abandon(self, run_id: str, *, reason: str) -> Run:
        """Stop watching a run. It may still act at the provider."""
        return self._act(run_id, "abandon", reason=reason)

    def retry(self, run_id: str, *, relaunch: bool = False, reason: str | None = None) -> Run:
        """Queue a run again that ended badly; `relaunch` says that a second execution is acceptable."""
        return self._act(run_id, "retry", relaunch=relaunch, reason=reason)

    def refetch(self, run_id: str, *, reason: str | None = None) -> Run:
        """Try again to fetch lost results."""
        return self._act(run_id, "refetch", reason=reason)

    def check(self, run_id: str) -> Run:
        """Ask the provider about this run as soon as the rate allows."""
        return self._act(run_id, "check")

    def erase(self, run_id: str, *, reason: str, dry_run: bool = False) -> Erasure:
        """Erase a run's input, results and texts for good; facts, hashes and history stay.

        Args:
            dry_run: only return what would be erased.

        Raises:
            Conflict: it has not ended.
        """
        given = {"reason": reason, "dry_run": dry_run}
        return cast(Erasure, self._wire.post(f"{_path(run_id)}:erase", given))

    def _act(self, run_id: str, verb: str, **body: str | bool | None) -> Run:
        given = {name: value for name, value in body.items() if value is not None}
        return cast(Run, self._wire.post(f"{_path(run_id)}:{verb}", given))


def pages(wire: Wire, path: str, query: Query, limit: int | None) -> Iterator[dict[str, Any]]:
    """Give a list's items, fetching page after page as they are taken."""
    cursor: str | None = None
    left = limit
    while left is None or left > 0:
        page = wire.get(path, {**query, "cursor": cursor, "limit": min(left or MAX_PAGE, MAX_PAGE)})
        items = page["data"] if left is None else page["data"][:left]
        yield from items
        left = None if left is None else left - len(items)
        cursor = page["pagination"]["next_cursor"]
        if cursor is None:
            return


def _path(run_id: str) -> str:
    return f"/runs/{quote(run_id, safe='')}"


def _digest(header: str | None) -> str | None:
    """Return the SHA-256 of an RFC 9530 `Repr-Digest: sha-256=:…:` in hex."""
    if header is None or not header.startswith("sha-256=:"):
        return None
    return a2b_base64(header.removeprefix("sha-256=:").rstrip(":")).hex()
