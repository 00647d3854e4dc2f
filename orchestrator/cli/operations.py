"""`orchestrator operation …`: acts on many runs at once, which `run retry` and `run cancel` start with a filter."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli import output
from orchestrator.cli.connect import connected
from orchestrator.cli.options import LimitOption, OutputOption, ReasonOption, group

app = group("Bulk operations: one act for every run that a filter named.\n\n`run retry` and `run cancel` start them.")

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
