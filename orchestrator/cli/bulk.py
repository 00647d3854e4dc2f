"""`run retry`, `run cancel` and `doubt resolve` with a filter: say how many, ask, and start a bulk operation."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from orchestrator.cli import operations, output
from orchestrator.cli.connect import connected
from orchestrator.cli.exits import Exit
from orchestrator.cli.inputs import pairs_of
from orchestrator.cli.operations import FIELDS
from orchestrator.cli.times import since
from orchestrator.client import Client, Operation
from orchestrator.errors import BadInput

StatusOption = Annotated[
    list[str] | None, typer.Option("--status", help="All runs of these statuses; may be repeated.")
]
BatchOption = Annotated[str | None, typer.Option("--batch", metavar="ID", help="All runs of this batch.")]
WorkflowOption = Annotated[str | None, typer.Option("--workflow", metavar="ID", help="All runs of this workflow.")]
OfConnectionOption = Annotated[
    str | None, typer.Option("--connection", metavar="NAME", help="All runs of this connection.")
]
ErrorOption = Annotated[
    list[str] | None, typer.Option("--error-code", help="All runs that ended with this code; may be repeated.")
]
SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Created since: 24h, 7d, or an ISO time.")
]
UntilOption = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="Created until: 24h, 7d, or an ISO time.")
]
LabelOption = Annotated[
    list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="All runs with this label; may be repeated.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="With a filter: only say which runs it would take.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="With a filter: do not ask.")]
OptionalRunId = Annotated[str | None, typer.Argument(metavar="ID", help="The run's id; or name runs by options.")]

SAMPLE_COLUMNS = ("id", "status", "workflow_id", "connection", "external_id", "created_at", "error.code")


def filter_of(
    *,
    status: Sequence[str] | None,
    batch: str | None,
    workflow: str | None,
    connection: str | None,
    error_code: Sequence[str] | None,
    since_: str | None,
    until: str | None,
    label: Sequence[str] | None,
) -> dict[str, Any]:
    """Return what the options name, as the API takes it; empty when none was given."""
    now = datetime.now(UTC)
    given = {
        "status": [*(status or ())],
        "batch": batch,
        "workflow": workflow,
        "connection": connection,
        "error_code": [*(error_code or ())],
        "dateFrom": since(since_, now=now) if since_ else None,
        "dateTo": since(until, now=now) if until else None,
        "labels": pairs_of(label or [], option="--label"),
    }
    return {name: value for name, value in given.items() if value}


def is_bulk(run_id: str | None, filter: Mapping[str, Any]) -> bool:
    """Tell whether runs are named by a filter.

    Raises:
        BadInput: by both, or by neither.
    """
    if run_id is not None and filter:
        raise BadInput("an id and a filter: which of them?", code="usage", hint="Give the one or the other.")
    return run_id is None


def start(
    verb: str,
    filter: Mapping[str, Any],
    *,
    reason: str | None,
    relaunch: bool = False,
    how: str | None = None,
    dry_run: bool,
    yes: bool,
    watch: bool = False,
) -> None:
    """Start a bulk operation, after it was agreed to.

    Args:
        how: what to resolve doubts by.
        watch: follow it to its end.

    Raises:
        BadInput: nothing is named; or nobody can be asked, and `--yes` was not said.
    """
    if not filter:
        raise BadInput(
            "no run is named", code="usage", hint="Give an id, or options that name runs: --status error --since 24h"
        )
    with connected() as client:
        if dry_run:
            _preview(client.operations.start(verb, filter, relaunch=relaunch, how=how, reason=reason, dry_run=True))
            return
        if not yes:
            _agree(client, verb, filter, relaunch=relaunch, how=how)
        made = client.operations.start(verb, filter, relaunch=relaunch, how=how, reason=reason)
    if watch:
        operations.follow_to_end(str(made["id"]), timeout_s=None)
    output.one(made, FIELDS)
    output.say(f"Next: orchestrator operation show {made['id']}")


def _agree(client: Client, verb: str, filter: Mapping[str, Any], *, relaunch: bool, how: str | None) -> None:
    if output.is_for_programs() or not sys.stdin.isatty():
        raise BadInput(
            "this acts on many runs, and nobody can be asked here",
            code="not_confirmed",
            hint="--dry-run shows which; --yes does it",
        )
    found = client.operations.start(verb, filter, relaunch=relaunch, how=how, dry_run=True)
    _preview(found)
    if not found["total"]:
        raise typer.Exit(Exit.REFUSED)
    if not typer.confirm(f"{verb.capitalize()} {output.counted(found['total'], 'run')}?", default=False, err=True):
        output.say("Nothing was done.")
        raise typer.Exit(Exit.INTERRUPTED)


def _preview(found: Operation) -> None:
    """Print what would be taken."""
    if output.is_for_programs():
        output.one(found)
        return
    matched = output.counted(found["matched"], "run matches", "runs match")
    output.say(f"{matched}, {found['total']:,} of them can be taken by {found['verb']}")
    for why in found["ineligible"]:
        output.say(f"  {why['runs']:,} not: {why['message']} ({why['code']})")
    if found["samples"]:
        output.rows(found["samples"], SAMPLE_COLUMNS)
    if found["total"] > len(found["samples"]):
        output.say(f"and {found['total'] - len(found['samples']):,} more")
