"""`orchestrator doubt …`: launches that were sent and whose outcome nobody knows."""

from __future__ import annotations

import csv
import io
from typing import Annotated, Literal

import typer

from orchestrator.cli import output
from orchestrator.cli.connect import connected
from orchestrator.cli.inputs import read_bytes
from orchestrator.cli.options import NeededReason, OutputOption, group
from orchestrator.errors import BadInput

app = group("Doubts: launches that were sent and whose outcome nobody knows.")

COLUMNS = ("id", "kind", "count", "workflow_id", "connection", "batch_id", "since", "reason")


@app.command("list")
def list_(output_: OutputOption = None) -> None:
    """List open doubts: single runs, and waves (many runs of one launch)."""
    with connected() as client:
        output.rows(client.doubts.list(), COLUMNS, nothing="No doubts.")


@app.command()
def resolve(
    doubt_id: Annotated[str, typer.Argument(metavar="ID", help="The id of the run or the wave.")],
    reason: NeededReason,
    adopt: Annotated[
        str | None, typer.Option("--adopt", metavar="EXECUTION_ID", help="It runs: the provider calls it so.")
    ] = None,
    adopt_file: Annotated[
        str | None, typer.Option("--adopt-file", metavar="CSV", help="index,execution_id: those of a wave that run.")
    ] = None,
    not_started: Annotated[bool, typer.Option("--not-started", help="The provider never got it: launch it.")] = False,
    relaunch: Annotated[bool, typer.Option("--relaunch", help="Launch again; a second execution is fine.")] = False,
    abandon: Annotated[bool, typer.Option("--abandon", help="Give it up; it may still act.")] = False,
    output_: OutputOption = None,
) -> None:
    """Say what became of a launch, after looking at the provider's own console."""
    how = _how(adopt, adopt_file, not_started, relaunch, abandon)
    with connected() as client:
        resolved = client.doubts.resolve(
            doubt_id,
            how,
            reason=reason,
            execution_id=adopt,
            execution_ids=read_executions(adopt_file) if adopt_file else None,
        )
    output.one(resolved)
    if resolved["left"]:
        output.say(f"{resolved['left']} runs of the wave are still in doubt. Next: orchestrator doubt list")


def read_executions(file: str) -> dict[int, str]:
    """Read a CSV of `index,execution_id`, by the run's index in its batch.

    Raises:
        BadInput: a row is not that.
    """
    try:
        found = csv.DictReader(io.StringIO(read_bytes(file).decode("utf-8-sig")), strict=True)
        if not {"index", "execution_id"} <= set(found.fieldnames or ()):
            raise BadInput(f"{file} needs the columns index,execution_id")
        return {int(row["index"]): _execution(row["execution_id"]) for row in found}
    except (ValueError, TypeError, csv.Error) as error:
        raise BadInput(f"{file}: each row needs a number and an execution id ({error})") from None


def _execution(text: str | None) -> str:
    if not text or not text.strip():
        raise ValueError("an execution id is empty")
    return text.strip()


def _how(
    adopt: str | None, adopt_file: str | None, not_started: bool, relaunch: bool, abandon: bool
) -> Literal["adopt", "not_started", "relaunch", "abandon"]:
    answers: list[tuple[bool, Literal["adopt", "not_started", "relaunch", "abandon"]]] = [
        (adopt is not None, "adopt"),
        (adopt_file is not None, "adopt"),
        (not_started, "not_started"),
        (relaunch, "relaunch"),
        (abandon, "abandon"),
    ]
    given = [how for is_given, how in answers if is_given]
    if len(given) != 1:
        raise BadInput("give one of --adopt, --adopt-file, --not-started, --relaunch, --abandon")
    return given[0]
