"""`orchestrator batch results`: a folder of verified files, one ZIP, or one table."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated

import typer

from orchestrator.cli import output
from orchestrator.cli.connect import connected
from orchestrator.cli.exits import Exit
from orchestrator.cli.runs import report_fetched
from orchestrator.client import Archive, Client
from orchestrator.errors import BadInput

MAX_NAMED = 10


class Table(StrEnum):
    """How a table of results is written."""

    CSV = "csv"
    JSONL = "jsonl"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(results)


def results(
    batch_id: Annotated[str, typer.Argument(metavar="ID", help="The batch's id.")],
    to: Annotated[str | None, typer.Option("--to", metavar="DIR", help="Store the files there.")] = None,
    zip_: Annotated[
        str | None, typer.Option("--zip", metavar="FILE|-", help="Store the files and their table in one ZIP.")
    ] = None,
    table: Annotated[
        Table | None,
        typer.Option("--table", help="One row for each run: status, input, small JSON results. Into -o FILE."),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="With --table csv: leave cells that begin like a formula as they are.")
    ] = False,
    output_: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="table|json|jsonl|FILE",
            help="How to print what was done; with --table, the file for it, - is stdout.",
        ),
    ] = None,
) -> None:
    """Store every result of a batch in a folder, verified (run again, it fetches what is new); in a ZIP; or as a table.

    Exit code 8: some files are damaged, or not in the store any more; they are named.
    """
    if (to is not None) + (zip_ is not None) + (table is not None) != 1:
        raise BadInput("give one of --to DIR, --zip FILE, --table csv|jsonl", code="usage")
    if raw and table is not Table.CSV:
        raise BadInput("--raw goes with --table csv only", code="usage")
    file = _file_or_form(output_, is_table=table is not None)
    with connected() as client:
        if to is not None:
            _folder(client, batch_id, to)
        elif zip_ is not None:
            _zip(client, batch_id, zip_)
        else:
            _table(client, batch_id, table or Table.CSV, file or "-", raw=raw)


def _file_or_form(given: str | None, *, is_table: bool) -> str | None:
    """Return the file that `-o` names; a word for a form is one, as everywhere else."""
    if given is not None and (not is_table or given in set(output.Format)):
        if given not in set(output.Format):
            raise BadInput(f"--output is {', '.join(output.Format)}, not {given!r}", code="usage")
        output.choose(output.Format(given))
        return None
    return given


def _folder(client: Client, batch_id: str, to: str) -> None:
    from orchestrator.cli.results import fetch

    batch = client.batches.get(batch_id)
    done = fetch(client, client.batches.runs(batch_id), Path(to))
    if done.without_results:
        runs = output.counted(batch["total"], "run")
        output.say(f"{done.without_results} of {runs} without results (the batch is {batch['status']})")
    report_fetched(to, done)


def _zip(client: Client, batch_id: str, file: str) -> None:
    try:
        made = client.batches.results_zip(batch_id, _place(file))
    except OSError as error:
        raise _unwritable(file, error) from None
    if file != "-":
        _tell(file, made)


def _tell(file: str, made: Archive) -> None:
    if output.is_for_programs():
        output.one({"file": file, **made})
    files, runs = output.counted(made["files"] or 0, "file"), output.counted(made["runs"] or 0, "run")
    output.say(f"{files} of {runs} ({made['size_bytes']:,} bytes) in {file}")
    for entry in made["missing"][:MAX_NAMED]:
        error = entry["error"]
        output.say(f"error: result {entry['n']} of run {entry['run_id']}: {error['message']} ({error['code']})")
    if len(made["missing"]) > MAX_NAMED:
        output.say(f"and {len(made['missing']) - MAX_NAMED} more: manifest.json in the ZIP lists all")
    # What was erased is away because somebody wanted it so.
    if any(entry["error"]["code"] != "erased" for entry in made["missing"]):
        raise typer.Exit(Exit.UNVERIFIED)


def _table(client: Client, batch_id: str, table: Table, file: str, *, raw: bool) -> None:
    try:
        size = client.batches.table(batch_id, _place(file), format="csv" if table is Table.CSV else "jsonl", raw=raw)
    except OSError as error:
        raise _unwritable(file, error) from None
    if file != "-":
        output.say(f"{size:,} bytes in {file}")


def _place(file: str) -> Path | IO[bytes]:
    if file != "-":
        return Path(file)
    return sys.stdout.buffer


def _unwritable(file: str, error: OSError) -> BadInput:
    return BadInput(f"cannot write to {file}: {error.strerror or error}")
