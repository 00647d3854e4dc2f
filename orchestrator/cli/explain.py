"""`orchestrator explain CODE`: what a code means and what cures it. No server is asked; the catalogue loads lazily."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import output
from orchestrator.cli.options import OutputOption

if TYPE_CHECKING:
    from orchestrator.domain.error_codes.entry import Entry, Subject

HELP = """Say what a code means, what to do, and whether the same may be sent again. Needs no server.

A code is what errors, ended runs (`error.code`) and waiting runs (`waiting_because.code`) carry. Without one, all are
listed.

\b
  orchestrator explain launch_unknown
  orchestrator explain idempotency.interrupted -o json
  orchestrator explain"""

COLUMNS = ("code", "kind", "repeat", "meaning", "cure")


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(help=HELP)(explain)


def explain(
    code: Annotated[str | None, typer.Argument(metavar="CODE", help="The code; without it, all are listed.")] = None,
    output_: OutputOption = None,
) -> None:
    """Explain one code, or list all; its help is above."""
    from orchestrator.domain.error_codes.catalogue import SUBJECTS, found

    if code is None:
        output.rows([_shown(subject, entry) for subject in SUBJECTS for entry in subject.entries], COLUMNS)
        return
    meanings = list(found(code.strip()))
    if not meanings:
        raise _unknown(code)
    if output.is_for_programs():
        output.rows([_shown(subject, entry) for subject, entry in meanings], COLUMNS)
        return
    for place, (subject, entry) in enumerate(meanings):
        _tell(subject, entry, is_first=place == 0)


def _tell(subject: Subject, entry: Entry, *, is_first: bool) -> None:
    from orchestrator.domain.error_codes.entry import REPEAT_WORDS

    if not is_first:
        output.text("")
    output.text(f"{entry.code} ({subject.title})")
    output.text(f"  Means:  {entry.meaning}")
    output.text(f"  Do:     {entry.cure}")
    output.text(f"  Repeat: {entry.repeat}: {REPEAT_WORDS[entry.repeat]}")


def _shown(subject: Subject, entry: Entry) -> dict[str, Any]:
    from orchestrator.domain.error_codes.entry import REPEAT_WORDS

    return {
        "code": entry.code,
        "kind": subject.kind.value,
        "subject": subject.title,
        "meaning": entry.meaning,
        "cure": entry.cure,
        "repeat": entry.repeat.value,
        "repeat_means": REPEAT_WORDS[entry.repeat],
    }


def _unknown(word: str) -> Exception:
    from orchestrator.domain.error_codes.catalogue import near
    from orchestrator.errors import NotFound

    meant = near(word)
    hint = f"Did you mean {', '.join(meant)}?" if meant else "`orchestrator explain` lists all codes."
    return NotFound(f"there is no code {word[:100]!r}", code="code_unknown", hint=hint)
