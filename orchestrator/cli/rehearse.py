"""`orchestrator rehearse`: what a batch would be like, before it is sent. The play is loaded when it is called."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from orchestrator.cli import files, wall_times
from orchestrator.cli.batches import Concurrency
from orchestrator.cli.connect import connected
from orchestrator.cli.exits import Exit
from orchestrator.cli.options import ConnectionOption, OutputOption

EXAMPLES = """Rehearse a batch in virtual time: when it would be done, what binds, what it costs. Nothing is stored.

FILE is checked as `batch submit --dry-run` checks it. Then the batch is played on this machine with the product's own
decisions and durations drawn from what was learned of the workflow, and once more by plain exponential backoff.

Times are 07:00 (the next such time) or 2026-01-31T07:00, in the zone of --tz or of this machine.

\b
  orchestrator rehearse people.csv --workflow wf_1 --connection main
  orchestrator rehearse people.csv --workflow wf_1 --connection main --start 22:00 --finish-by 07:00
  orchestrator rehearse people.csv --workflow wf_1 --connection main --outage 02:00+45m --wave-size 1

Exit code: 0; 1 if --finish-by is given and nine in ten plays are not done by then; 2 for a bad file or time."""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(help=EXAMPLES)(rehearse)


def rehearse(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="CSV, JSON lines or a JSON array; - reads stdin.")],
    workflow_id: Annotated[str, typer.Option("--workflow", metavar="ID", help="The provider's id of the workflow.")],
    connection: ConnectionOption,
    concurrency: Annotated[Concurrency, typer.Option("--concurrency")] = Concurrency.MEDIUM,
    wave_size: Annotated[
        int | None, typer.Option("--wave-size", min=1, help="Runs a launch; 1: each by itself; else planned.")
    ] = None,
    start: Annotated[str | None, typer.Option("--start", metavar="TIME", help="When it is sent; else now.")] = None,
    finish_by: Annotated[
        str | None, typer.Option("--finish-by", metavar="TIME", help="When it must be done (exit code 1 if not).")
    ] = None,
    outage: Annotated[
        list[str] | None,
        typer.Option("--outage", metavar="TIME+SPAN", help="The provider answers nobody; may be repeated."),
    ] = None,
    zone: Annotated[str | None, typer.Option("--tz", metavar="ZONE", help="Zone of the times: Europe/Berlin.")] = None,
    skip_invalid: Annotated[bool, typer.Option("--skip-invalid", help="Leave bad rows out.")] = False,
    plays: Annotated[
        int | None, typer.Option("--plays", min=1, max=200, help="How many plays; else as many as take some 15 s.")
    ] = None,
    output_: OutputOption = None,
) -> None:
    """Play a batch before it is sent; its help is above."""
    times = wall_times.Times.read(start, finish_by, outage or [], zone_name=zone, now=datetime.now(UTC))
    data = files.read(file)
    with connected() as client:
        batch = client.batches.submit(
            data,
            files.format_of(file, data),
            connection=connection,
            workflow_id=workflow_id,
            concurrency=concurrency.value,
            wave_size=wave_size,
            skip_invalid=skip_invalid,
            dry_run=True,
        )
    from orchestrator.cli import rehearsing

    found = rehearsing.rehearsed(batch, times, wave_size=wave_size, plays=plays)
    rehearsing.show(found, times)
    if found["finish_by"] is not None and not found["finish_by"]["p90_makes_it"]:
        raise typer.Exit(Exit.FAILED)
