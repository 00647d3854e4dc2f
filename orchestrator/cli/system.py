"""`orchestrator system`: how the installation is doing, as the server tells it."""

from __future__ import annotations

import typer

from orchestrator.cli import output
from orchestrator.cli.connect import connected
from orchestrator.cli.options import OutputOption

ALARMS = ("code", "is_grave", "message", "facts", "cure")
WORKERS = ("id", "state", "place", "pid", "version", "started_at", "heartbeat_at", "ended_at")
QUEUES = ("kind", "what", "due_at", "late_s", "is_stalled")
FACTS = ("version", "revision", "server", "storage", "history", "broker", "swept_ago_s", "clock_ahead_s")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(system)


def system(output_: OutputOption = None) -> None:
    """Show how the installation is doing: what is wrong and its cure, workers, queues, disks. This machine: doctor."""
    with connected() as client:
        found = client.system.look()
    if output.is_for_programs():
        output.one(found)
        return
    if found["alarms"]:
        output.rows(found["alarms"], ALARMS)
    else:
        output.text("Nothing is wrong.")
    for title, items, columns in (("Workers", found["workers"], WORKERS), ("Queues", found["queues"], QUEUES)):
        output.text(f"\n{title}")
        output.rows(items, columns, nothing="None.")
    output.text("\nInstallation")
    output.one({name: found.get(name) for name in FACTS}, FACTS)
