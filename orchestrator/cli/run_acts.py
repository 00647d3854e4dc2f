"""What people do to runs: cancel, abandon, retry, refetch, check, erase."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli import bulk, erasing, output
from orchestrator.cli.connect import connected
from orchestrator.cli.erasing import DryRunOption, ReasonWithoutNames, YesOption
from orchestrator.cli.options import NeededReason, OutputOption, ReasonOption
from orchestrator.client import Run

FIELDS = ("id", "status", "provider_status", "progress", "waiting_because", "error", "results")

RunId = Annotated[str, typer.Argument(metavar="ID", help="The run's id.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (cancel, abandon, retry, refetch, check, erase):
        app.command()(command)


def cancel(
    run_id: bulk.OptionalRunId = None,
    status: bulk.StatusOption = None,
    batch: bulk.BatchOption = None,
    workflow: bulk.WorkflowOption = None,
    connection: bulk.OfConnectionOption = None,
    error_code: bulk.ErrorOption = None,
    since_: bulk.SinceOption = None,
    until: bulk.UntilOption = None,
    label: bulk.LabelOption = None,
    reason: ReasonOption = None,
    dry_run: bulk.DryRunOption = False,
    yes: bulk.YesOption = False,
    output_: OutputOption = None,
) -> None:
    """Cancel a run that was not launched, or waits at a provider that can cancel; with options, all that they name."""
    filter = bulk.filter_of(
        status=status,
        batch=batch,
        workflow=workflow,
        connection=connection,
        error_code=error_code,
        since_=since_,
        until=until,
        label=label,
    )
    if run_id is None or bulk.is_bulk(run_id, filter):
        bulk.start("cancel", filter, reason=reason, dry_run=dry_run, yes=yes)
        return
    with connected() as client:
        _acted(client.runs.cancel(run_id, reason=reason), run_id)


def abandon(run_id: RunId, reason: NeededReason, output_: OutputOption = None) -> None:
    """Stop watching a run. It may still act at the provider."""
    with connected() as client:
        _acted(client.runs.abandon(run_id, reason=reason), run_id)


def retry(
    run_id: bulk.OptionalRunId = None,
    relaunch: Annotated[bool, typer.Option("--relaunch", help="A second execution is acceptable.")] = False,
    status: bulk.StatusOption = None,
    batch: bulk.BatchOption = None,
    workflow: bulk.WorkflowOption = None,
    connection: bulk.OfConnectionOption = None,
    error_code: bulk.ErrorOption = None,
    since_: bulk.SinceOption = None,
    until: bulk.UntilOption = None,
    label: bulk.LabelOption = None,
    reason: ReasonOption = None,
    dry_run: bulk.DryRunOption = False,
    yes: bulk.YesOption = False,
    output_: OutputOption = None,
) -> None:
    """Queue a run again that ended badly; or, with options, all that they name: orchestrator operation show."""
    filter = bulk.filter_of(
        status=status,
        batch=batch,
        workflow=workflow,
        connection=connection,
        error_code=error_code,
        since_=since_,
        until=until,
        label=label,
    )
    if run_id is None or bulk.is_bulk(run_id, filter):
        bulk.start("retry", filter, relaunch=relaunch, reason=reason, dry_run=dry_run, yes=yes)
        return
    with connected() as client:
        _acted(client.runs.retry(run_id, relaunch=relaunch, reason=reason), run_id)


def refetch(run_id: RunId, reason: ReasonOption = None, output_: OutputOption = None) -> None:
    """Try again to fetch lost results."""
    with connected() as client:
        _acted(client.runs.refetch(run_id, reason=reason), run_id)


def check(run_id: RunId, output_: OutputOption = None) -> None:
    """Ask the provider about a run as soon as the rate allows, for instance after a person decided there."""
    with connected() as client:
        _acted(client.runs.check(run_id), run_id)


def erase(
    run_id: RunId,
    reason: ReasonWithoutNames,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    output_: OutputOption = None,
) -> None:
    """Erase the input, results and texts of a run that has ended, for good.

    Ids, times, statuses, sizes, SHA-256 and the history stay; the history says who erased it and why. The run cannot be
    retried or fetched any more. What the provider keeps, backups, exports, reports and fetched results are not erased.
    """
    with connected() as client:
        erasing.erase(
            lambda only_look: client.runs.erase(run_id, reason=reason, dry_run=only_look), yes=yes, dry_run=dry_run
        )


def _acted(run: Run, run_id: str) -> None:
    output.one(run, FIELDS)
    output.say(f"Next: orchestrator run watch {run_id}")
