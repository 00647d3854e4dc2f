"""`orchestrator run …`: one piece of work."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from orchestrator.cli import bulk, follow, live, output, run_acts
from orchestrator.cli.connect import connected
from orchestrator.cli.exits import Exit
from orchestrator.cli.inputs import pairs_of, read_input
from orchestrator.cli.options import (
    ConnectionOption,
    LimitOption,
    OutputOption,
    TimeoutOption,
    ToOption,
    group,
)
from orchestrator.cli.run_acts import FIELDS, RunId
from orchestrator.cli.times import in_words, since

if TYPE_CHECKING:
    from orchestrator.cli.results import Fetched

app = group("Runs: one input for one workflow each.")

COLUMNS = ("id", "index", "status", "workflow_id", "connection", "created_at", "finished_at", "error.code")
RESULT_COLUMNS = ("n", "filename", "size_bytes", "sha256", "stored_at")
EVENT_COLUMNS = ("seq", "at", "type", "actor", "data")


@app.command()
def submit(
    workflow_id: Annotated[str, typer.Argument(metavar="WORKFLOW_ID", help="The provider's id of the workflow.")],
    connection: ConnectionOption,
    pair: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="KEY=VALUE", help="An input field, typed by the schema; KEY:=JSON."),
    ] = None,
    file: Annotated[str | None, typer.Option("--file", "-f", help="A JSON object; - reads stdin.")] = None,
    external_id: Annotated[
        str | None, typer.Option("--external-id", help="Your own id; given twice, done once.")
    ] = None,
    label: Annotated[list[str] | None, typer.Option("--label", metavar="KEY=VALUE")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end; the exit code tells it.")] = False,
    timeout_s: TimeoutOption = None,
    output_: OutputOption = None,
) -> None:
    """Submit one run. It is stored when this returns."""
    with connected() as client:
        given = read_input(
            pair or [], file, schema=lambda: client.workflows.get(connection, workflow_id).get("input_schema")
        )
        run = client.runs.submit(
            connection,
            workflow_id,
            given,
            external_id=external_id,
            labels=pairs_of(label or [], option="--label"),
        )
    output.say(f"Submitted {run['id']}")
    if wait:
        _follow([run["id"]], timeout_s=timeout_s)
    output.brief(run, COLUMNS)
    output.say(f"Next: orchestrator run watch {run['id']}")


@app.command("list")
def list_(
    status: Annotated[list[str] | None, typer.Option("--status", help="Only these; may be repeated.")] = None,
    batch: Annotated[str | None, typer.Option("--batch", metavar="ID")] = None,
    workflow: Annotated[str | None, typer.Option("--workflow", metavar="ID")] = None,
    connection: Annotated[str | None, typer.Option("--connection", metavar="NAME")] = None,
    since_: Annotated[str | None, typer.Option("--since", metavar="TIME", help="24h, 7d, or an ISO time.")] = None,
    external_id: Annotated[str | None, typer.Option("--external-id")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", metavar="KEY=VALUE")] = None,
    until: bulk.UntilOption = None,
    error_code: bulk.ErrorOption = None,
    origin: Annotated[
        str | None, typer.Option("--origin", help="submitted: by us; observed: started by others, and watched.")
    ] = None,
    limit: LimitOption = 50,
    output_: OutputOption = None,
) -> None:
    """List runs, newest first; those of a batch in input order."""
    start = since(since_, now=datetime.now(UTC)) if since_ else None
    with connected() as client:
        runs = client.runs.list(
            status=status or (),
            batch=batch,
            workflow=workflow,
            connection=connection,
            since=start,
            until=since(until, now=datetime.now(UTC)) if until else None,
            error_codes=error_code or (),
            origin=origin,
            external_id=external_id,
            labels=pairs_of(label or [], option="--label"),
            limit=limit,
        )
        output.rows(runs, COLUMNS, nothing="No runs match.")


@app.command()
def get(run_id: RunId, output_: OutputOption = None) -> None:
    """Show everything about a run."""
    with connected() as client:
        output.one(client.runs.get(run_id), FIELDS)


@app.command()
def events(
    run_id: RunId,
    limit: Annotated[int | None, typer.Option("--limit", min=1)] = None,
    output_: OutputOption = None,
) -> None:
    """Show a run's history, oldest first."""
    with connected() as client:
        output.rows(client.runs.events(run_id, limit=limit), EVENT_COLUMNS)


@app.command()
def watch(run_id: RunId, timeout_s: TimeoutOption = None, output_: OutputOption = None) -> None:
    """Follow a run to its end. Exit code: 0 finished, 1 ended otherwise, 9 only a person can move it."""
    _follow([run_id], timeout_s=timeout_s)


@app.command()
def wait(
    run_ids: Annotated[list[str], typer.Argument(metavar="ID...")],
    timeout_s: TimeoutOption = None,
    output_: OutputOption = None,
) -> None:
    """Wait for runs to end. Exit code: 0 all finished, 1 one ended otherwise, 9 only a person can move it."""
    _follow(run_ids, timeout_s=timeout_s)


@app.command()
def results(run_id: RunId, to: ToOption = None, output_: OutputOption = None) -> None:
    """List a run's result files, or store them in a folder, verified."""
    with connected() as client:
        if to is None:
            found = client.runs.results(run_id)
            output.rows(found, RESULT_COLUMNS, nothing="No results.")
            if any(result.get("erased") for result in found):
                output.say("They were erased: sizes and SHA-256 are all that is left")
            return
        from orchestrator.cli.results import fetch

        done = fetch(client, [client.runs.get(run_id)], Path(to))
    report_fetched(to, done)


run_acts.register(app)


def report_fetched(to: str, done: Fetched) -> None:
    """Say what a fetch came to; leave with its exit code when something did not verify."""
    if output.is_for_programs():
        told = {"files": done.files, "kept": done.kept, "size_bytes": done.size_bytes, "erased": done.erased}
        output.one({"folder": to, **told, "broken": done.broken})
    files = output.counted(done.files, "file")
    output.say(f"{files} ({done.size_bytes:,} bytes, {done.kept} of them were there already) in {to}, SHA-256 verified")
    if done.erased:
        output.say(f"The results of {output.counted(done.erased, 'run')} were erased; they are not there any more")
    output.say(f"Next: {to}/results.csv lists them in input order")
    for line in done.broken:
        output.say(f"error: {line}")
    if done.broken:
        raise typer.Exit(Exit.UNVERIFIED)


def _follow(run_ids: list[str], *, timeout_s: float | None) -> NoReturn:
    with connected() as client, live.screen() as screen:
        watched = {one: client.runs.watched(one) for one in run_ids}
        try:
            found, code = follow.follow(
                run_ids,
                look=lambda one: watched[one].look(),
                wait=lambda one, wait_s: watched[one].look(wait_s=wait_s),
                standing=follow.standing_of_run,
                on_look=screen.show,
                timeout_s=timeout_s,
            )
        except KeyboardInterrupt:
            output.say(f"\nThe work goes on; see it again: orchestrator run watch {run_ids[0]}")
            raise
    if len(found) == 1 and not output.is_jsonl():
        output.brief(found[0], COLUMNS)
    elif not output.is_jsonl():  # JSON lines were printed on the way
        output.rows(found, COLUMNS)
    if code is Exit.TIMED_OUT:
        output.say(f"Not ended after {in_words(timeout_s or 0)}; the work goes on.")
    if code is Exit.NEEDS_PERSON:
        output.say("Only a person can move it: orchestrator inbox list, orchestrator doubt list")
    raise typer.Exit(code)
