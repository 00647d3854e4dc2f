"""The program `orchestrator`: its commands, and what its exit code says."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import typer

from orchestrator.cli import (
    admin,
    audit,
    batches,
    connections,
    doubts,
    explain,
    inbox,
    local,
    operations,
    output,
    parts,
    problems,
    rehearse,
    reports,
    runs,
    schedules,
    system,
    tokens,
    webhooks,
    workflows,
)
from orchestrator.cli.exits import Exit, exit_for
from orchestrator.cli.options import group
from orchestrator.cli.output import Format
from orchestrator.client import ClientError
from orchestrator.errors import OrchestratorError

FORMATS = frozenset(Format)

app = group("A durable orchestrator of remote workflow executions.\n\nBegin with `orchestrator demo`.")


# The root takes flags only: Typer loads pydantic (150 ms) for every other kind, even for the help of a command below.
@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=local.print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Hold what stands before the commands."""


local.register(app)
parts.register(app)
rehearse.register(app)
explain.register(app)
system.register(app)
for name, noun in (
    ("connection", connections),
    ("workflow", workflows),
    ("run", runs),
    ("batch", batches),
    ("operation", operations),
    ("schedule", schedules),
    ("report", reports),
    ("audit", audit),
    ("doubt", doubts),
    ("inbox", inbox),
    ("token", tokens),
    ("webhook", webhooks),
    ("admin", admin),
):
    app.add_typer(noun.app, name=name)


def run() -> None:
    """The console script."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    output.choose(_format_asked_for(arguments))
    try:
        code = _invoke(_without_leading_format(arguments))
        if code == Exit.INTERRUPTED:
            output.say("Interrupted.")
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output (`| head`) has enough. Python must not complain of it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    return code


def _invoke(arguments: Sequence[str]) -> int:
    try:
        code = app(args=list(arguments), prog_name="orchestrator", standalone_mode=False)
        return int(code) if isinstance(code, int) else Exit.DONE
    except typer.TyperException as error:
        _report_usage(error)
        return Exit.USAGE
    except (typer.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except (ClientError, OrchestratorError) as error:
        problems.report(error)
        return exit_for(error)
    except BrokenPipeError:
        raise
    except Exception as error:  # the process boundary: whatever it is, a program gets its problem object
        if not output.is_for_programs():
            traceback.print_exc()
        problems.report(error)
        return Exit.FAILED


def _report_usage(error: typer.TyperException) -> None:
    """Print what was wrong with the arguments, and where help is. A group without a command gives its help."""
    show = getattr(error, "show", None)
    if output.is_for_programs() or show is None:
        problems.report(OrchestratorError(error.format_message(), code="usage", hint="orchestrator --help"))
    else:
        show(file=sys.stderr)


def _without_leading_format(arguments: Sequence[str]) -> Sequence[str]:
    """Take `-o json` away where it stands before the command; it was heard already."""
    if arguments[:1] and arguments[0] in ("-o", "--output") and arguments[1:2] and arguments[1] in FORMATS:
        return arguments[2:]
    if arguments[:1] and arguments[0].removeprefix("--output=").removeprefix("-o") in FORMATS:
        return arguments[1:]
    return arguments


def _format_asked_for(arguments: Sequence[str]) -> Format:
    """Return the format that the arguments name, for errors that come before they are understood."""
    words = [*arguments, ""]
    for word, following in pairwise(words):
        value = following if word in ("-o", "--output") else word.removeprefix("--output=").removeprefix("-o")
        if value != word and value in FORMATS:
            return Format(value)
    return Format.TABLE
