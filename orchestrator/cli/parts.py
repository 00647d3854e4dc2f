"""The parts of the product as commands of their own, for a cluster: serve, worker, migrate. `up` starts the same."""

from __future__ import annotations

import runpy
import sys
from typing import Annotated

import typer

from orchestrator.cli import output
from orchestrator.cli.options import OutputOption


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for command in (serve, worker, migrate):
        app.command()(command)
    app.command(hidden=True)(prepare)


def serve(output_: OutputOption = None) -> None:
    """Run the API and the pages on ORCH_HOST and ORCH_PORT. Beyond this machine only once a token exists."""
    from orchestrator.api.hosts import is_loopback
    from orchestrator.api.server import serve as run_server
    from orchestrator.cli.direct import on_database
    from orchestrator.engine.tokens import require_any
    from orchestrator.settings import load_settings
    from orchestrator.web.installed import WebPages

    settings = load_settings()
    if not is_loopback(settings.host):
        on_database(require_any)
    run_server(settings, pages=WebPages(settings))


def worker(
    name: Annotated[str, typer.Option("--name", help="Its name on this host.")] = "worker",
    output_: OutputOption = None,
) -> None:
    """Run one worker process; the same as `celery -A workers.app worker` with our options."""
    from workers.app import WORKER_ARGUMENTS

    sys.argv = ["celery", "-A", "workers.app", *WORKER_ARGUMENTS, "-n", f"{name}@%h"]
    # In this very process and not by exec: whatever watches over us (a supervisor's lifeline) stays in force.
    runpy.run_module("celery", run_name="__main__", alter_sys=True)


def migrate(output_: OutputOption = None) -> None:
    """Bring the database of ORCH_DATABASE_URL to this version's schema. Harmless when it is there already."""
    from orchestrator.cli.prepare import prepare_database
    from orchestrator.settings import load_settings

    state = prepare_database(load_settings())
    output.one({"revision": state.current, "needed": state.needed})
    output.say("Next: orchestrator token create NAME --local, orchestrator serve, orchestrator worker")


def prepare(
    url: Annotated[str, typer.Option("--url", help="Where the API will answer.")], output_: OutputOption = None
) -> None:
    """Everything that `up` needs before its parts start: schema, broker, workspace, token, client.json."""
    from orchestrator.cli.prepare import prepare_database, prepare_local_token
    from orchestrator.settings import load_settings

    settings = load_settings()
    prepare_database(settings)
    prepare_local_token(settings, url)
