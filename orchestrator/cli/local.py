"""The commands for this machine: demo, up, down, doctor, version, config show."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator import __version__
from orchestrator.cli import output
from orchestrator.cli.exits import Exit
from orchestrator.cli.options import OutputOption, group

config = group("Settings: what is in force, and where it came from.")


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for command in (demo, up, down, doctor, version):
        app.command()(command)
    app.add_typer(config, name="config")


def demo(
    items: Annotated[int, typer.Option("--items", min=5, max=200, help="Rows of the batch.")] = 25,
    output_: OutputOption = None,
) -> None:
    """Show the main job on a stand-in for the remote service: a batch, workers killed half way, every result stored."""
    from orchestrator.cli.demo import run_demo

    raise typer.Exit(run_demo(items))


def up(
    workers: Annotated[int | None, typer.Option("--workers", min=1, max=64, help="Worker processes.")] = None,
    output_: OutputOption = None,
) -> None:
    """Run the product on this machine: Postgres, workers, API. Ctrl-C stops it."""
    from orchestrator.cli.running import run_up

    run_up(workers)


def down(output_: OutputOption = None) -> None:
    """Stop what `up` runs in this data folder, and a Postgres that was left behind."""
    from orchestrator.cli.running import run_down

    run_down()


def doctor(output_: OutputOption = None) -> None:
    """Look at everything that must be right, and say what to do where it is not."""
    from orchestrator.cli.doctor import examine

    found = examine()
    output.rows([check.shown() for check in found], ("check", "level", "found", "do"))
    if any(check.has_failed for check in found):
        raise typer.Exit(Exit.FAILED)


def version(output_: OutputOption = None) -> None:
    """Show the version."""
    if output.is_for_programs():
        output.one({"version": __version__})
    else:
        typer.echo(__version__)


@config.command("show")
def config_show(output_: OutputOption = None) -> None:
    """List every setting, its value, and where it came from. Secrets are not shown."""
    from orchestrator.engine.configuration import listed

    output.rows(listed(), ("name", "value", "origin", "meaning"))


def print_version(asked: bool) -> None:
    """Answer `--version`."""
    if asked:
        typer.echo(__version__)
        raise typer.Exit
