"""`orchestrator workflow …`: what the providers can run."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from orchestrator.cli import output
from orchestrator.cli.connect import connected
from orchestrator.cli.options import ConnectionOption, OutputOption, ReasonOption, group

app = group("Workflows: what a provider can run, and our settings for it.")

COLUMNS = ("id", "name", "description")
FIELDS = ("id", "name", "connection", "on_doubt", "poll", "input_schema")

WorkflowId = Annotated[str, typer.Argument(metavar="WORKFLOW_ID", help="The provider's id of the workflow.")]


class OnDoubt(StrEnum):
    """What becomes of a run whose launch has no known outcome."""

    HOLD = "hold"
    RELAUNCH = "relaunch"
    FAIL = "fail"


@app.command("list")
def list_(connection: ConnectionOption, output_: OutputOption = None) -> None:
    """List a connection's workflows, as the provider has them now."""
    with connected() as client:
        found = client.workflows.list(connection)
    output.rows(found, COLUMNS, nothing="The provider has no workflows.")
    if any(workflow.get("stale") for workflow in found):
        output.say("The provider does not answer; this is what was known before.")


@app.command()
def show(workflow_id: WorkflowId, connection: ConnectionOption, output_: OutputOption = None) -> None:
    """Show a workflow with its input schema and our settings."""
    with connected() as client:
        output.one(client.workflows.get(connection, workflow_id), FIELDS)


@app.command("set")
def set_(
    workflow_id: WorkflowId,
    connection: ConnectionOption,
    on_doubt: Annotated[
        OnDoubt | None, typer.Option("--on-doubt", help="When a launch's outcome is unknown: ask, launch again, fail.")
    ] = None,
    poll: Annotated[
        str | None,
        typer.Option(
            "--poll", metavar="SCHEDULE", help="initial=5,factor=2,cap=60,jitter=0.1,polite=1 (seconds; polite: 0 or 1)"
        ),
    ] = None,
    reason: ReasonOption = None,
    output_: OutputOption = None,
) -> None:
    """Change what is given; the rest stays."""
    with connected() as client:
        changed = client.workflows.set(
            connection, workflow_id, on_doubt=on_doubt.value if on_doubt else None, poll=poll, reason=reason
        )
    output.one(changed, FIELDS)
