"""`… erase`: say what goes, ask, erase it, and say what is not ours to erase. The same for a run and a batch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from orchestrator.cli import output
from orchestrator.cli.exits import Exit
from orchestrator.client import Erasure
from orchestrator.errors import BadInput

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
ReasonWithoutNames = Annotated[
    str, typer.Option("--reason", help="Why; kept in the history for ever, so name no person in it.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be erased.")]

FIELDS = ("kind", "id", "erased_at", "erased_before", "runs", "input_bytes", "files", "file_bytes", "files_left")

#: What no command can take back; the docs say more.
NOT_ERASED = (
    "Not erased: what the provider keeps, backups and logs, and exports, reports and results that were fetched before."
)


def erase(act: Callable[[bool], Erasure], *, yes: bool, dry_run: bool) -> None:
    """Erase, after it was agreed to.

    Args:
        act: the request; given True it only looks.

    Raises:
        BadInput: nobody can be asked, and `--yes` was not said.
    """
    if dry_run:
        _tell(act(True))
        return
    if not yes and not _is_agreed(act):
        return
    _report(act(False))


def _is_agreed(act: Callable[[bool], Erasure]) -> bool:
    """Show what would be erased, and ask; without a terminal there is nobody to ask."""
    if output.is_for_programs() or not _can_ask():
        raise BadInput(
            "erasing cannot be undone, and nobody can be asked here",
            code="not_confirmed",
            hint="--dry-run shows what would be erased; --yes erases it",
        )
    found = act(True)
    _tell(found)
    if found["erased_before"]:
        return False
    if not typer.confirm("Erase it for good?", default=False, err=True):
        output.say("Nothing was erased.")
        raise typer.Exit(Exit.INTERRUPTED)
    return True


def _can_ask() -> bool:
    return sys.stdin.isatty()


def _tell(found: Erasure) -> None:
    """Print what would be erased."""
    if output.is_for_programs():
        output.one(found)
        return
    if found["erased_before"]:
        _say_before(found)
        return
    output.say(f"Erasing {found['kind']} {found['id']} takes away, for good:")
    for line in _parts(found):
        output.say(f"  {line}")
    output.say("Ids, times, statuses, sizes, SHA-256 and the history stay, with who erased it and why.")
    _warn(found)
    output.say(NOT_ERASED)


def _parts(found: Erasure) -> list[str]:
    lines = []
    if found["kind"] == "batch":
        before = f" ({found['runs_erased_before']:,} more were before)" if found["runs_erased_before"] else ""
        lines.append(f"its name and external id, and of {output.counted(found['runs'], 'run')}{before}:")
    lines.append(f"input: {found['input_bytes']:,} bytes")
    lines.append(
        f"results: {output.counted(found['files'], 'file')}, {found['file_bytes']:,} bytes; "
        + output.counted(found["filenames"], "file name")
    )
    lines.append(
        f"texts: {found['labels']:,} labels, {found['external_ids']:,} external ids, {found['error_texts']:,} messages"
    )
    return lines


def _report(done: Erasure) -> None:
    """Print what was erased."""
    output.one(done, FIELDS)
    if done["erased_before"]:
        _say_before(done)
        return
    output.say(f"Erased {done['kind']} {done['id']}")
    if done["files_left"] != 0:
        left = "Files are" if done["files_left"] is None else output.counted(done["files_left"], "file is", "files are")
        output.say(f"{left} still to be removed from the store: workers go on with it; erase again to see how many")
    _warn(done)
    output.say(NOT_ERASED)
    output.say(f"Next: orchestrator {done['kind']} get {done['id']}")


def _say_before(found: Erasure) -> None:
    output.say(f"It was erased before, at {found['erased_at']}; nothing was left to erase")
    if found["files_left"]:
        left = output.counted(found["files_left"], "file is", "files are")
        output.say(f"{left} still to be removed from the store: workers go on with it")


def _warn(found: Erasure) -> None:
    for warning in found.get("warnings") or []:
        output.say(f"warning: {warning}")
