"""`orchestrator report …`: what happened, counted and added up, in one page, a table or JSON."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import output
from orchestrator.cli.connect import connected
from orchestrator.cli.exits import Exit
from orchestrator.cli.options import OutputOption, group
from orchestrator.errors import BadInput

if TYPE_CHECKING:
    from orchestrator.client.reports import Made

app = group(
    "Reports: control totals that must add up, outcomes, timing, doubts, and who did what.\n\nThe exit code is 8 where"
    " a total does not add up."
)

COLUMNS = ("path", "size_bytes", "sha256", "adds_up")


class Format(StrEnum):
    """What a report is printed as."""

    HTML = "html"
    CSV = "csv"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="One printable page, a table, or everything.")]
ListOption = Annotated[
    str | None,
    typer.Option("--list", help="What a CSV holds: totals, runs, failures, doubts, acts, attempts, results, ticks …"),
]
ZoneOption = Annotated[str | None, typer.Option("--tz", metavar="ZONE", help="Whose days and times; UTC by default.")]
FileOption = Annotated[
    str | None,
    typer.Option("--file", "-f", metavar="FILE", help="Where to write it; - is stdout. Else it is named by itself."),
]


@app.command()
def batch(
    batch_id: Annotated[str, typer.Argument(metavar="ID", help="The batch's id.")],
    format: FormatOption = Format.HTML,
    list_: ListOption = None,
    tz: ZoneOption = None,
    sum_input: Annotated[
        str | None, typer.Option("--sum-input", metavar="FIELD,…", help="Fields of the inputs that are summed.")
    ] = None,
    sum_result: Annotated[
        str | None,
        typer.Option("--sum-result", metavar="FIELD,…", help="Fields of JSON results, compared with those sums."),
    ] = None,
    file: FileOption = None,
    output_: OutputOption = None,
) -> None:
    """Report on a batch."""
    with connected() as client:
        _write(
            file,
            f"batch-{batch_id}.{format.value}",
            lambda path: client.reports.batch(
                batch_id, path, format=format.value, list=list_, tz=tz, sum_input=sum_input, sum_result=sum_result
            ),
        )


@app.command()
def period(
    since: Annotated[
        str, typer.Option("--from", metavar="TIME", help="Accepted from then on: a date in --tz, or ISO 8601.")
    ],
    until: Annotated[str, typer.Option("--to", metavar="TIME", help="And before then.")],
    workflow: Annotated[str | None, typer.Option("--workflow", metavar="WORKFLOW_ID")] = None,
    format: FormatOption = Format.HTML,
    list_: ListOption = None,
    tz: ZoneOption = None,
    file: FileOption = None,
    output_: OutputOption = None,
) -> None:
    """Report on what was accepted in a period."""
    with connected() as client:
        _write(
            file,
            f"period-{since[:10]}-{until[:10]}.{format.value}",
            lambda path: client.reports.period(
                since, until, path, workflow=workflow, format=format.value, list=list_, tz=tz
            ),
        )


@app.command()
def run(
    run_id: Annotated[str, typer.Argument(metavar="ID", help="The run's id.")],
    format: FormatOption = Format.HTML,
    list_: ListOption = None,
    tz: ZoneOption = None,
    file: FileOption = None,
    output_: OutputOption = None,
) -> None:
    """Report everything about one run: its dossier, and whether its history proves itself."""
    with connected() as client:
        _write(
            file,
            f"run-{run_id}.{format.value}",
            lambda path: client.reports.run(run_id, path, format=format.value, list=list_, tz=tz),
        )


def _write(to: str | None, name: str, make: Callable[[Path], Made]) -> None:
    try:
        if to == "-":
            with tempfile.TemporaryDirectory() as folder:
                made = make(Path(folder) / name)
                with Path(made["path"]).open("rb") as file:
                    while block := file.read(1 << 20):
                        sys.stdout.buffer.write(block)
        else:
            made = make(Path(to or name))
            output.brief(made, COLUMNS)
    except OSError as error:
        raise BadInput(f"cannot write the report: {error.strerror or error}") from None
    if not made["adds_up"]:
        output.say("error: not everything in this report adds up; it says where")
        raise typer.Exit(Exit.UNVERIFIED)
