"""`orchestrator batch …`: many runs that come in one file."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, NoReturn

import typer

from orchestrator.cli import batch_results, erasing, files, follow, live, output, previews
from orchestrator.cli.connect import connected
from orchestrator.cli.erasing import DryRunOption, ReasonWithoutNames, YesOption
from orchestrator.cli.exits import Exit
from orchestrator.cli.inputs import mapped
from orchestrator.cli.options import (
    ConnectionOption,
    LimitOption,
    OutputOption,
    ReasonOption,
    TimeoutOption,
    group,
)
from orchestrator.cli.times import in_words
from orchestrator.client import Batch, SubmittedBatch

app = group("Batches: one file, a run for each row.")

COLUMNS = ("id", "status", "total", "counts", "workflow_id", "connection", "created_at", "finished_at")
FIELDS = (
    "id",
    "status",
    "name",
    "total",
    "counts",
    "rate_per_minute",
    "eta_s",
    "forecast",
    "failures",
    "waiting_because",
)

BatchId = Annotated[str, typer.Argument(metavar="ID", help="The batch's id.")]


class Concurrency(StrEnum):
    """How wide the provider runs a batch."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@app.command()
def submit(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="CSV, JSON lines or a JSON array; - reads stdin.")],
    workflow_id: Annotated[str, typer.Option("--workflow", metavar="ID", help="The provider's id of the workflow.")],
    connection: ConnectionOption,
    concurrency: Annotated[Concurrency, typer.Option("--concurrency")] = Concurrency.MEDIUM,
    name: Annotated[str | None, typer.Option("--name", help="For people.")] = None,
    external_id: Annotated[
        str | None, typer.Option("--external-id", help="Your own id; given twice, done once.")
    ] = None,
    external_id_column: Annotated[
        str | None, typer.Option("--external-id-column", help="The column with your own id of each row.")
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="COLUMN=FIELD", help="Which field a CSV's column fills; COLUMN= leaves it out."),
    ] = None,
    wave_size: Annotated[int | None, typer.Option("--wave-size", min=1, help="Runs a launch; else planned.")] = None,
    max_failures: Annotated[
        str | None, typer.Option("--max-failures", metavar="N|P%", help="Pause the batch beyond so many.")
    ] = None,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Leave bad rows out, into FILE.refused.*")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and show the plan; store nothing.")] = False,
    watch_: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
    output_: OutputOption = None,
) -> None:
    """Submit a file. All of it is stored when this returns, or nothing."""
    data = files.read(file)
    format_ = files.format_of(file, data)
    with connected() as client, previews.of_refusal():
        batch = client.batches.submit(
            data,
            format_,
            connection=connection,
            workflow_id=workflow_id,
            concurrency=concurrency.value,
            name=name,
            external_id=external_id,
            external_id_column=external_id_column,
            map=mapped(map_ or []),
            wave_size=wave_size,
            max_failures=max_failures,
            skip_invalid=skip_invalid,
            dry_run=dry_run,
        )
    _tell_of_submission(file, format_, batch)
    if dry_run:
        previews.tell(batch)
    elif watch_:
        _follow(str(batch["id"]), timeout_s=None)
    else:
        output.brief(batch, COLUMNS)
        output.say(f"Next: orchestrator batch watch {batch['id']}")


@app.command("list")
def list_(limit: LimitOption = 50, output_: OutputOption = None) -> None:
    """List batches, newest first."""
    with connected() as client:
        output.rows(client.batches.list(limit=limit), COLUMNS, nothing="No batches yet.")


@app.command()
def get(batch_id: BatchId, output_: OutputOption = None) -> None:
    """Show everything about a batch."""
    with connected() as client:
        output.one(_for_people(client.batches.get(batch_id)), FIELDS)


@app.command()
def watch(batch_id: BatchId, timeout_s: TimeoutOption = None, output_: OutputOption = None) -> None:
    """Follow a batch to its end. Exit code: 0 all finished, 1 some ended otherwise, 9 only a person can move it."""
    _follow(batch_id, timeout_s=timeout_s)


@app.command()
def wait(batch_id: BatchId, timeout_s: TimeoutOption = None, output_: OutputOption = None) -> None:
    """Wait for a batch to end. Exit code: 0 all finished, 1 some ended otherwise, 9 only a person can move it."""
    _follow(batch_id, timeout_s=timeout_s)


@app.command()
def pause(batch_id: BatchId, reason: ReasonOption = None, output_: OutputOption = None) -> None:
    """Stop launching. What was launched is still collected."""
    with connected() as client:
        _acted(client.batches.pause(batch_id, reason=reason), f"orchestrator batch resume {batch_id}")


@app.command()
def resume(batch_id: BatchId, reason: ReasonOption = None, output_: OutputOption = None) -> None:
    """Launch on."""
    with connected() as client:
        _acted(client.batches.resume(batch_id, reason=reason), f"orchestrator batch watch {batch_id}")


@app.command()
def cancel(batch_id: BatchId, reason: ReasonOption = None, output_: OutputOption = None) -> None:
    """Cancel what was not launched. What was launched is still collected."""
    with connected() as client:
        _acted(client.batches.cancel(batch_id, reason=reason), f"orchestrator batch watch {batch_id}")


@app.command("retry-failed")
def retry_failed(batch_id: BatchId, reason: ReasonOption = None, output_: OutputOption = None) -> None:
    """Queue again what ended in error or was cancelled."""
    with connected() as client:
        _acted(client.batches.retry_failed(batch_id, reason=reason), f"orchestrator batch watch {batch_id}")


@app.command()
def erase(
    batch_id: BatchId,
    reason: ReasonWithoutNames,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    output_: OutputOption = None,
) -> None:
    """Erase the content of all runs of a batch for good, once all have ended, and the batch's name and external id.

    Ids, times, statuses, sizes, SHA-256 and the history stay; the history says who erased it and why. Nothing of it
    can be retried or fetched any more. What the provider keeps, backups, exports, reports and fetched results are not
    erased.
    """
    with connected() as client:
        erasing.erase(
            lambda only_look: client.batches.erase(batch_id, reason=reason, dry_run=only_look), yes=yes, dry_run=dry_run
        )


batch_results.register(app)


def _tell_of_submission(file: str, format_: files.Format, batch: SubmittedBatch) -> None:
    for warning in batch.get("warnings") or []:
        output.say(f"warning: {warning}")
    if batch.get("id"):
        said = "Submitted" if batch.get("created", True) else "Submitted before, with the same content:"
        output.say(f"{said} batch {batch['id']}, {output.counted(batch['total'], 'run')}")
    if refused := batch.get("refused_file"):
        path = files.store_refused(file, format_, refused)
        rows = output.counted(batch.get("refused") or 0, "row was", "rows were")
        output.say(f"{rows} refused: see {path}, to be mended and submitted again")


def _follow(batch_id: str, *, timeout_s: float | None) -> NoReturn:
    with connected() as client, live.screen() as screen:
        watched = {one: client.batches.watched(one) for one in [batch_id]}
        try:
            found, code = follow.follow(
                [batch_id],
                look=lambda one: watched[one].look(),
                wait=lambda one, wait_s: watched[one].look(wait_s=wait_s),
                standing=follow.standing_of_batch,
                on_look=screen.show,
                timeout_s=timeout_s,
            )
        except KeyboardInterrupt:
            output.say(f"\nThe batch goes on; see it again: orchestrator batch watch {batch_id}")
            raise
    if not output.is_jsonl():
        output.brief(found[0], COLUMNS)
    _say_next(batch_id, code, timeout_s)
    raise typer.Exit(code)


def _say_next(batch_id: str, code: Exit, timeout_s: float | None) -> None:
    match code:
        case Exit.TIMED_OUT:
            output.say(f"Not ended after {in_words(timeout_s or 0)}; the batch goes on.")
        case Exit.NEEDS_PERSON:
            output.say("Only a person can move what is left: orchestrator inbox list, orchestrator doubt list")
        case _:
            output.say(f"Next: orchestrator batch results {batch_id} --to DIR")


def _for_people(batch: Batch) -> Mapping[str, Any]:
    """Return a batch with its counts and its forecast in words, unless a program reads it."""
    if output.is_for_programs():
        return batch
    counts = ", ".join(f"{count} {status}" for status, count in live.ordered(batch["counts"]))
    foretold = batch.get("forecast")
    causes = "; ".join(
        f"{one['count']} {one['code']}: {one['message'] or ''} (as in run {one['run_id']})"
        for one in batch.get("failures") or ()
    )
    told = {"counts": counts, "forecast": live.foretold(foretold) if foretold else None}
    return {**batch, **told, "failures": causes or None}


def _acted(batch: Batch, next_: str) -> None:
    output.one(_for_people(batch), FIELDS)
    output.say(f"Next: {next_}")
