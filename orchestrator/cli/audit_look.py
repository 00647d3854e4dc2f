"""`orchestrator audit list|chain|checkpoints|report`: what was done, as the server tells it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import output
from orchestrator.cli.connect import connected
from orchestrator.cli.exits import Exit
from orchestrator.cli.options import LimitOption, OutputOption
from orchestrator.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COLUMNS = ("seq", "at", "actor", "type", "target", "changed", "reason")
CHAIN = ("broken", "from_seq", "to_seq", "is_whole", "anchors")
CHECKPOINTS = ("number", "at", "events", "streams", "heads", "key", "is_signed", "is_outside")
REPORT = ("at", "actor", "seq", "target", "sha256")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("list")(list_)
    app.command()(chain)
    app.command()(checkpoints)
    app.command()(report)


def list_(
    about: Annotated[
        str | None,
        typer.Option(
            "--about",
            help="connection, workflow, token, session, webhook, schedule, operation, report or audit (exports).",
        ),
    ] = None,
    type_: Annotated[
        list[str] | None, typer.Option("--type", help="Of this kind, as in connection_added; again for more.")
    ] = None,
    actor: Annotated[str | None, typer.Option("--actor", help="Who did it, as in token:NAME.")] = None,
    words: Annotated[str | None, typer.Option("--words", help="What stands in its facts: a name, an id.")] = None,
    since_: Annotated[str | None, typer.Option("--since", metavar="TIME", help="24h, 7d, or an ISO time.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="And no later than that.")] = None,
    limit: LimitOption = 50,
    output_: OutputOption = None,
) -> None:
    """List what people did in the workspace, the latest first: who, what, to what, before and after, why."""
    with connected() as client:
        found = client.audit.list(
            about=about,
            types=type_ or (),
            actor=actor,
            words=words,
            since=_moment(since_),
            until=_moment(until),
            limit=limit,
        )
        shown: Iterator[Mapping[str, Any]] = iter(found) if output.is_for_programs() else map(_row, found)
        output.rows(shown, COLUMNS, nothing="Nothing of that kind was done.")


def chain(output_: OutputOption = None) -> None:
    """Say whether the latest part of the workspace's history links up. All of it: orchestrator audit verify."""
    with connected() as client:
        found = client.audit.chain()
    output.one(found, CHAIN)
    if found["broken"] is not None:
        output.say(f"NOT AS IT WAS WRITTEN. First bad place: {found['broken']}")
        raise typer.Exit(Exit.UNVERIFIED)
    output.say(f"Events {found['from_seq']} to {found['to_seq']} link up.")


def checkpoints(limit: LimitOption = 50, output_: OutputOption = None) -> None:
    """List the signed checkpoints of the history, the latest first."""
    with connected() as client:
        output.rows(client.audit.checkpoints(limit=limit), CHECKPOINTS, nothing="Nothing was signed yet.")


def report(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A report as it was given, or its SHA-256.")],
    output_: OutputOption = None,
) -> None:
    """Say to whom a report was given, and when: whether a file is one that was made here, unchanged."""
    sha256 = file.lower() if re.fullmatch(r"[0-9a-fA-F]{64}", file) else _sha256(file)
    with connected() as client:
        output.one(client.audit.report(sha256), REPORT)


def _row(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event for people: what it was about, and what was before and after, each in one cell."""
    target = event.get("target") or {}
    changed = [
        f"{each['name']}: {output.cell(each['was']) or '-'} → {output.cell(each['now']) or '-'}"
        for each in event.get("changed") or ()
    ]
    return {**event, "target": " ".join(target.values()), "changed": ", ".join(changed)}


def _moment(text: str | None) -> str | None:
    from datetime import UTC, datetime

    from orchestrator.cli import times

    return None if text is None else times.since(text, now=datetime.now(UTC))


def _sha256(path: str) -> str:
    import hashlib
    from pathlib import Path

    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}", hint="Name a file, or give its SHA-256.") from error
