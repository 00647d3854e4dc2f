"""`orchestrator operation …`: acts on many runs at once, which acts on runs and doubts start, given a filter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NoReturn

import typer

from orchestrator.cli import follow, live, output
from orchestrator.cli.connect import connected
from orchestrator.cli.options import LimitOption, OutputOption, ReasonOption, TimeoutOption, group

app = group(
    "Bulk operations: one act for each run that a filter named.\n\n"
    "Started by `run retry`, `run cancel` and `doubt resolve`."
)

COLUMNS = ("id", "status", "verb", "total", "counts", "created_at", "created_by", "finished_at")
FIELDS = ("id", "status", "verb", "filter", "reason", "matched", "total", "counts", "ineligible", "finished_at")
ITEM_COLUMNS = ("position", "run_id", "state", "code", "message", "done_at")

OperationId = Annotated[str, typer.Argument(metavar="ID", help="The operation's id.")]


@app.command("list")
def list_(limit: LimitOption = 50, output_: OutputOption = None) -> None:
    """List bulk operations, newest first."""
    with connected() as client:
        output.rows(client.operations.list(limit=limit), COLUMNS, nothing="No bulk operations yet.")


@app.command()
def show(operation_id: OperationId, output_: OutputOption = None) -> None:
    """Show a bulk operation: what was asked for, how far it is, and what it could not take."""
    with connected() as client:
        output.one(client.operations.get(operation_id), FIELDS)


@app.command()
def watch(operation_id: OperationId, timeout_s: TimeoutOption = None, output_: OutputOption = None) -> None:
    """Follow a bulk operation to its end. Exit code: 0 all was done, 1 some was not."""
    follow_to_end(operation_id, timeout_s=timeout_s)


@app.command()
def items(
    operation_id: OperationId,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", help="Only these: waiting, done, refused, failed, cancelled; may be repeated."),
    ] = None,
    limit: LimitOption = 50,
    output_: OutputOption = None,
) -> None:
    """Show what became of each run, in the order of the work."""
    with connected() as client:
        found = client.operations.items(operation_id, state=state or (), limit=limit)
        output.rows(found, ITEM_COLUMNS, nothing="None.")


@app.command()
def cancel(operation_id: OperationId, reason: ReasonOption = None, output_: OutputOption = None) -> None:
    """Do no more of a bulk operation. What was done stays done."""
    with connected() as client:
        output.one(client.operations.cancel(operation_id, reason=reason), FIELDS)
    output.say(f"Next: orchestrator operation items {operation_id}")


def follow_to_end(operation_id: str, *, timeout_s: float | None) -> NoReturn:
    """Show how far an operation is until it ended, then what became of its runs; leave with the exit code for that."""
    with connected() as client, live.screen() as screen:
        try:
            found, code = follow.follow(
                [operation_id],
                look=client.operations.get,
                standing=_standing,
                on_look=screen.show,
                timeout_s=timeout_s,
            )
        except KeyboardInterrupt:
            output.say(f"\nThe operation goes on; see it again: orchestrator operation watch {operation_id}")
            raise
    if not output.is_jsonl():
        output.one(found[0], FIELDS)
    for state in _LEFT_UNDONE:
        if count := found[0]["counts"].get(state, 0):
            output.say(
                f"{count:,} {state}; which, and why: orchestrator operation items {operation_id} --state {state}"
            )
    raise typer.Exit(code)


_LEFT_UNDONE = ("refused", "failed", "cancelled")


def _standing(operation: Mapping[str, Any]) -> follow.Standing:
    if operation["finished_at"] is None:
        return follow.Standing.MOVING
    is_undone = any(operation["counts"].get(state, 0) for state in _LEFT_UNDONE)
    return follow.Standing.BADLY if is_undone else follow.Standing.WELL
