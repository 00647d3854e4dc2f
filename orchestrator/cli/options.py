"""Options that several commands take, in the same words everywhere."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

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


class Group(TyperGroup):
    """A group whose `--help` is False where it is not given.

    Typer leaves it None there, and loads pydantic (150 ms) to find out that None is no flag: before every command.
    """

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option


def group(text: str) -> typer.Typer:
    """Return an empty group of commands."""
    return typer.Typer(
        cls=Group,
        help=text,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,  # its options would load pydantic too
    )
