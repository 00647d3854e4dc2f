"""`orchestrator doubt …`: launches that were sent and whose outcome nobody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from orchestrator import client as api
from orchestrator.cli import bulk, output
from orchestrator.cli.connect import connected
from orchestrator.cli.inputs import read_bytes
from orchestrator.cli.options import NeededReason, OutputOption, group
from orchestrator.errors import BadInput

if TYPE_CHECKING:
    from orchestrator.domain.adopt_file import AdoptFile

app = group("Doubts: launches that were sent and whose outcome nobody knows.")

COLUMNS = ("id", "kind", "count", "workflow_id", "connection", "batch_id", "since", "reason")
_BY_INDEX = "execution_ids."

How: TypeAlias = Literal["adopt", "not_started", "relaunch", "abandon"]


@app.command("list")
def list_(output_: OutputOption = None) -> None:
    """List open doubts: single runs, and waves (many runs of one launch)."""
    with connected() as client:
        found = client.doubts.list()
        output.rows(found, COLUMNS, nothing="No doubts.")
    if found:
        output.say("Look at the provider's console, then: orchestrator doubt resolve ID --help")


@app.command()
def resolve(
    reason: NeededReason,
    doubt_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="The id of the run or the wave; or name runs by options.")
    ] = None,
    adopt: Annotated[
        str | None, typer.Option("--adopt", metavar="EXECUTION_ID", help="It runs: the provider calls it so.")
    ] = None,
    adopt_file: Annotated[
        str | None, typer.Option("--adopt-file", metavar="CSV", help="index,execution_id: those of a wave that run.")
    ] = None,
    not_started: Annotated[bool, typer.Option("--not-started", help="The provider never got it: launch it.")] = False,
    relaunch: Annotated[bool, typer.Option("--relaunch", help="Launch again; a second execution is fine.")] = False,
    abandon: Annotated[bool, typer.Option("--abandon", help="Give it up; it may still act.")] = False,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Adopt without asking the provider whether it knows the execution.")
    ] = False,
    batch: bulk.BatchOption = None,
    workflow: bulk.WorkflowOption = None,
    connection: bulk.OfConnectionOption = None,
    since_: bulk.SinceOption = None,
    until: bulk.UntilOption = None,
    label: bulk.LabelOption = None,
    dry_run: bulk.DryRunOption = False,
    yes: bulk.YesOption = False,
    watch: Annotated[bool, typer.Option("--watch", help="With a filter: follow it to its end.")] = False,
    output_: OutputOption = None,
) -> None:
    """Say what became of a launch, after looking at the provider's own console; with options, of all that they name."""
    how = _how(adopt, adopt_file, not_started, relaunch, abandon)
    if no_verify and how != "adopt":
        raise BadInput("--no-verify goes with --adopt and --adopt-file only")
    filter = bulk.filter_of(
        status=None, batch=batch, workflow=workflow, connection=connection, error_code=None, since_=since_,
        until=until, label=label,
    )  # fmt: skip
    if doubt_id is None or bulk.is_bulk(doubt_id, filter):
        _resolve_many(filter, how, reason=reason, dry_run=dry_run, yes=yes, watch=watch)
        return
    _resolve_one(doubt_id, how, reason=reason, adopt=adopt, adopt_file=adopt_file, unverified=no_verify)


def _resolve_many(filter: dict[str, Any], how: How, *, reason: str, dry_run: bool, yes: bool, watch: bool) -> None:
    """Start one bulk operation for every doubt that a filter names."""
    if how == "adopt":
        raise BadInput("each adopted run needs its own execution: name one doubt by its id", code="usage")
    chosen = {**filter, "status": ["in_doubt"]} if filter else {}
    bulk.start("resolve", chosen, how=how, reason=reason, dry_run=dry_run, yes=yes, watch=watch)


def _resolve_one(
    doubt_id: str, how: How, *, reason: str, adopt: str | None, adopt_file: str | None, unverified: bool
) -> None:
    file = _read_executions(adopt_file) if adopt_file is not None else None
    with connected() as client:
        try:
            resolved = client.doubts.resolve(
                doubt_id,
                how,
                reason=reason,
                execution_id=adopt,
                execution_ids=file.execution_ids if file is not None else None,
                unverified=unverified,
            )
        except api.Invalid as error:
            if file is not None:
                error.problems = tuple(_placed(file, problem) for problem in error.problems)
            raise
    output.one(resolved)
    if resolved["left"]:
        output.say(f"still in doubt of this wave: {resolved['left']}. Next: orchestrator doubt list")


def _read_executions(file: str) -> AdoptFile:
    # Loaded only here: most commands need nothing of it.
    from orchestrator.domain import adopt_file

    return adopt_file.read(read_bytes(file), file)


def _placed(file: AdoptFile, problem: api.Problem) -> api.Problem:
    """Return a problem of the server's by the row and line of the file that it is about."""
    index = str(problem.get("field") or "").removeprefix(_BY_INDEX)
    if not index.isdecimal() or int(index) not in file.places:
        return problem
    row, line = file.places[int(index)]
    return {**problem, "row": row, "line": line, "field": "execution_id"}


def _how(adopt: str | None, adopt_file: str | None, not_started: bool, relaunch: bool, abandon: bool) -> How:
    answers: list[tuple[bool, How]] = [
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
