"""`orchestrator inbox …`: questions that only a person can answer."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli import output
from orchestrator.cli.connect import connected
from orchestrator.cli.options import LimitOption, OutputOption, group

app = group("Inbox: questions that only a person can answer.")

COLUMNS = ("id", "kind", "title", "run_id", "batch_id", "link", "opened_at")


@app.command("list")
def list_(limit: LimitOption = 50, output_: OutputOption = None) -> None:
    """List open questions, oldest first."""
    with connected() as client:
        output.rows(client.inbox.list(limit=limit), COLUMNS, nothing="Nobody is needed.")


@app.command()
def show(
    item_id: Annotated[str, typer.Argument(metavar="ID", help="The item's id.")], output_: OutputOption = None
) -> None:
    """Show a question with everything that helps to answer it."""
    with connected() as client:
        output.one(client.inbox.get(item_id), COLUMNS)
