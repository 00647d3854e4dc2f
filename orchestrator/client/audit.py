"""The audit: who did what to what and why, whether it links up, what of it is signed, who was given which report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypedDict, cast
from urllib.parse import quote

from orchestrator.client.runs import pages
from orchestrator.client.wire import Query, Wire


class Target(TypedDict):
    """What something was done to."""

    kind: str
    id: str


class Changed(TypedDict):
    """One thing before and after."""

    name: str
    was: Any
    now: Any


class AuditEvent(TypedDict, total=False):
    """Something that was done in the workspace. `data` is everything that was written down."""

    seq: int
    at: str
    type: str
    actor: str
    target: Target | None
    changed: list[Changed]
    reason: str | None
    data: dict[str, Any]
    hash: str


class Anchors(TypedDict, total=False):
    """Where checkpoints are kept outside, the last that is there, and what is in the way of knowing it."""

    place: str | None
    can_be_read: bool
    last: int | None
    trouble: str | None


class AuditChain(TypedDict, total=False):
    """Whether the events from one number to another link up: `broken` is the first bad place, None when they do."""

    broken: str | None
    is_whole: bool
    from_seq: int
    to_seq: int
    anchors: Anchors


class Checkpoint(TypedDict, total=False):
    """A signed end of the history. `is_outside` is None where that is not known."""

    number: int
    at: str
    key: str
    heads: int
    events: int
    streams: int
    root: str
    is_signed: bool
    is_outside: bool | None


class ReportMade(TypedDict, total=False):
    """The making of a report: to whom it was given, and when."""

    sha256: str
    seq: int
    at: str
    actor: str
    target: Target | None
    data: dict[str, Any]
    hash: str


class Audit:
    """What was done in the workspace."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def list(
        self,
        *,
        about: str | None = None,
        types: Sequence[str] = (),
        actor: str | None = None,
        words: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int | None = None,
    ) -> Iterator[AuditEvent]:
        """Give what was done, the latest first; fetches page after page as they are taken.

        Args:
            about: connection, workflow, token, session, webhook, schedule, operation, report or audit.
            types: kinds of events, as in `connection_added`.
            words: what stands in an event's facts.
            since, until: ISO 8601 with a zone, or dates.
            limit: how many in all; None for all there are.
        """
        query: Query = {
            "about": about,
            "type": ",".join(types) or None,
            "actor": actor,
            "words": words,
            "dateFrom": since,
            "dateTo": until,
        }
        return cast(Iterator[AuditEvent], pages(self._wire, "/audit", query, limit))

    def chain(self) -> AuditChain:
        """Return whether the latest part of the workspace's history links up, and what of it is kept outside."""
        return cast(AuditChain, self._wire.get("/audit/chain"))

    def checkpoints(self, *, limit: int | None = None) -> Sequence[Checkpoint]:
        """Return the signed checkpoints, the latest first."""
        return cast(Sequence[Checkpoint], [*pages(self._wire, "/audit/checkpoints", {}, limit)])

    def report(self, sha256: str) -> ReportMade:
        """Return to whom the report of this SHA-256 was given.

        Raises:
            NotFound: none of it was made here, as far as the history was looked through.
        """
        return cast(ReportMade, self._wire.get(f"/audit/reports/{quote(sha256, safe='')}"))
