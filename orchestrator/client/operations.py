"""Bulk operations: one act for every run that a filter names, as a job with a preview and an outcome for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict, cast
from urllib.parse import quote

from orchestrator.client.runs import pages
from orchestrator.client.wire import Wire


class Operation(TypedDict, total=False):
    """A bulk operation; of a dry run `id` is None and `samples` shows the first few runs."""

    id: str | None
    dry_run: bool
    status: str
    verb: str
    how: str | None
    relaunch: bool
    filter: dict[str, Any]
    reason: str | None
    matched: int
    total: int
    ineligible: list[dict[str, Any]]
    samples: list[dict[str, Any]]
    counts: dict[str, int]
    created_at: str
    created_by: str
    cancelled_at: str | None
    cancelled_by: str | None
    finished_at: str | None


class OperationItem(TypedDict, total=False):
    """What became of one run of an operation."""

    position: int
    run_id: str
    state: str
    code: str | None
    message: str | None
    done_at: str | None


class Operations:
    """Acts on many runs."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def start(
        self,
        verb: str,
        filter: Mapping[str, Any],
        *,
        relaunch: bool = False,
        how: str | None = None,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> Operation:
        """Do one thing to every run that the filter names now; workers carry it out.

        Args:
            verb: `retry`, `cancel` or `resolve`.
            filter: `status` and `error_code` (lists), `workflow`, `connection`, `batch`, `labels`, `dateFrom`,
                `dateTo`. It may not be empty.
            how: for `resolve`: `not_started`, `relaunch` or `abandon`.
            dry_run: only return which runs it would take, and why not others.
        """
        given = {"verb": verb, "filter": dict(filter), "relaunch": relaunch, "how": how, "reason": reason}
        body = {name: value for name, value in (given | {"dry_run": dry_run}).items() if value is not None}
        return cast(Operation, self._wire.post("/operations", body))

    def list(self, *, limit: int | None = None) -> Iterator[Operation]:
        """Give operations, newest first."""
        return cast(Iterator[Operation], pages(self._wire, "/operations", {}, limit))

    def get(self, operation_id: str) -> Operation:
        """Return one operation with its progress."""
        return cast(Operation, self._wire.get(_path(operation_id)))

    def items(
        self, operation_id: str, *, state: Sequence[str] = (), limit: int | None = None
    ) -> Iterator[OperationItem]:
        """Give what became of each run, in the order of the work."""
        found = pages(self._wire, f"{_path(operation_id)}/items", {"state": [*state]}, limit)
        return cast(Iterator[OperationItem], found)

    def cancel(self, operation_id: str, *, reason: str | None = None) -> Operation:
        """Do no more of an operation. What was done stays done."""
        body = {} if reason is None else {"reason": reason}
        return cast(Operation, self._wire.post(f"{_path(operation_id)}:cancel", body))


def _path(operation_id: str) -> str:
    return f"/operations/{quote(operation_id, safe='')}"
