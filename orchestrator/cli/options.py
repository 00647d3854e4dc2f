"""Options that several commands take, in the same words everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli import output
from orchestrator.cli.output import Format


def _choose(value: Format | None) -> Format | None:
    if value is not None:
        output.choose(value)
    return value


OutputOption = Annotated[
    Format | None,
    typer.Option("--output", "-o", callback=_choose, help="How to print the data.", show_default="table"),
]
ConnectionOption = Annotated[str, typer.Option("--connection", help="Name of the connection.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Why; kept in the history.")]
NeededReason = Annotated[str, typer.Option("--reason", help="Why; kept in the history.")]
TimeoutOption = Annotated[float | None, typer.Option("--timeout", min=0, help="Seconds to wait at most (exit code 7).")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="How many at most.")]
ToOption = Annotated[str | None, typer.Option("--to", metavar="DIR", help="Store the files there.")]


def group(text: str) -> typer.Typer:
    """Return an empty group of commands."""
    return typer.Typer(
        help=text,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,  # its options would make every help load pydantic, see `main.root`
    )
