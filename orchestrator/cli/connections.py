"""`orchestrator connection …`: a provider, its address, a key and the key's limits."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from orchestrator.cli import output, times
from orchestrator.cli.connect import connected
from orchestrator.cli.exits import Exit
from orchestrator.cli.inputs import read_secret
from orchestrator.cli.options import OutputOption, ReasonOption, group
from orchestrator.errors import BadInput

app = group("Connections: a provider, its address, a key and the key's limits.")

COLUMNS = ("name", "provider", "base_url", "status", "requests_per_minute", "max_concurrent", "limit_group")

HEALTH = ("word", "sentence", "cure", "code", "until")
STANDING = ("limit", "used", "most_used", "turned_away", "queue", "due", "shared_with", "plan")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The connection's name.")]
KeyOption = Annotated[bool, typer.Option("--api-key-stdin", help="Read the key from stdin; never from arguments.")]
RateOption = Annotated[int | None, typer.Option("--requests-per-minute", min=1, help="The key's rate.")]
SlotsOption = Annotated[int | None, typer.Option("--max-concurrent", min=1, help="Live executions per workflow.")]
ConsoleOption = Annotated[
    str | None,
    typer.Option("--console-url", metavar="TEMPLATE", help="Where people act: …/{workflow_id}/…/{execution_id}"),
]
VersionOption = Annotated[
    str | None,
    typer.Option("--api-version", metavar="YYYY-MM-DD", help="Of the provider's API, where it has versions."),
]


class Provider(StrEnum):
    """Which API a connection speaks."""

    SCRIPT = "script"
    SCRIPE = "scripe"


@app.command()
def add(
    name: Name,
    provider: Annotated[Provider, typer.Option("--provider", help="Which API it speaks.")],
    base_url: Annotated[str, typer.Option("--base-url", metavar="URL", help="Up to and with its version, …/api/v1")],
    api_key_stdin: KeyOption = False,
    requests_per_minute: RateOption = None,
    max_concurrent: SlotsOption = None,
    limit_group: Annotated[
        str | None, typer.Option("--limit-group", help="Connections of one group share their rate.")
    ] = None,
    console_url: ConsoleOption = None,
    api_version: VersionOption = None,
    output_: OutputOption = None,
) -> None:
    """Store a connection. Its key is sealed and never shown again."""
    key = _key(api_key_stdin)
    with connected() as client:
        added = client.connections.add(
            name,
            provider=provider.value,
            base_url=base_url,
            api_key=key,
            requests_per_minute=requests_per_minute,
            max_concurrent=max_concurrent,
            limit_group=limit_group,
            console_url=console_url,
            api_version=api_version,
        )
    output.brief(added, COLUMNS)
    output.say(f"Next: orchestrator connection test {name}")


@app.command("list")
def list_(output_: OutputOption = None) -> None:
    """List connections."""
    with connected() as client:
        nothing = "No connections yet: orchestrator connection add NAME --provider … --base-url … --api-key-stdin"
        output.rows(client.connections.list(), COLUMNS, nothing=nothing)


@app.command()
def show(name: Name, output_: OutputOption = None) -> None:
    """Show everything about a connection, but its key."""
    with connected() as client:
        output.one(client.connections.get(name), COLUMNS)


@app.command()
def standing(name: Name, output_: OutputOption = None) -> None:
    """Show how a connection stands: its health in words, its budget of the last hour, what waits for it."""
    with connected() as client:
        found = client.connections.standing(name)
    if output.is_for_programs():
        output.one(found)
        return
    output.rows(found["health"], HEALTH)
    output.text("")
    output.one({field: found.get(field) for field in STANDING}, STANDING)


@app.command()
def test(name: Name, output_: OutputOption = None) -> None:
    """Ask the provider for its workflows and show the plan. Launches nothing; wakes a stopped connection."""
    with connected() as client:
        found = client.connections.test(name)
    if output.is_for_programs():
        output.one(found)
    else:
        output.rows(found.get("workflows") or [], ("id", "name"))
    for step in found.get("plan") or []:
        output.say(step)
    if not found["ok"]:
        error = found.get("error") or {}
        output.say(f"error: {name} does not work: {error.get('message', 'unknown')}")
        raise typer.Exit(Exit.FAILED)
    output.say(f"{name} works. Next: orchestrator workflow list --connection {name}")


@app.command("set")
def set_(
    name: Name,
    base_url: Annotated[str | None, typer.Option("--base-url", metavar="URL")] = None,
    requests_per_minute: RateOption = None,
    max_concurrent: SlotsOption = None,
    console_url: ConsoleOption = None,
    api_version: VersionOption = None,
    reason: ReasonOption = None,
    output_: OutputOption = None,
) -> None:
    """Change what is given; the rest stays."""
    with connected() as client:
        changed = client.connections.set(
            name,
            base_url=base_url,
            requests_per_minute=requests_per_minute,
            max_concurrent=max_concurrent,
            console_url=console_url,
            api_version=api_version,
            reason=reason,
        )
    output.brief(changed, COLUMNS)
    output.say(f"Next: orchestrator connection test {name}")


@app.command()
def rotate(
    name: Name, api_key_stdin: KeyOption = False, reason: ReasonOption = None, output_: OutputOption = None
) -> None:
    """Give it another key."""
    key = _key(api_key_stdin)
    with connected() as client:
        output.brief(client.connections.rotate(name, key, reason=reason), COLUMNS)
    output.say(f"Next: orchestrator connection test {name}")


@app.command()
def pause(name: Name, reason: ReasonOption = None, output_: OutputOption = None) -> None:
    """Stop launching through it. What was launched is still collected."""
    with connected() as client:
        output.brief(client.connections.pause(name, reason=reason), COLUMNS)
    output.say(f"Next: orchestrator connection resume {name}")


@app.command()
def resume(name: Name, reason: ReasonOption = None, output_: OutputOption = None) -> None:
    """Launch on."""
    with connected() as client:
        output.brief(client.connections.resume(name, reason=reason), COLUMNS)


@app.command()
def watch(
    name: Name,
    type_: Annotated[
        list[str] | None, typer.Option("--type", metavar="T", help="Only jobs of this type; may be repeated.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="T", help="Also those made since, such as 24h; else from now on.")
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="Look for nothing new; what was found is tracked on.")] = False,
    reason: ReasonOption = None,
    output_: OutputOption = None,
) -> None:
    """Track what other programs start there as runs, each once, to its end. Launches nothing."""
    if stop and (type_ or since is not None):
        raise BadInput(
            "--stop goes with neither --type nor --since", hint="Watch again with other types to change them."
        )
    with connected() as client:
        if stop:
            found = client.connections.unwatch(name, reason=reason)
        else:
            begin = times.since(since, now=datetime.now(UTC)) if since is not None else None
            found = client.connections.watch(name, types=type_ or (), since=begin, reason=reason)
    output.brief(found, (*COLUMNS, "watch.is_on", "watch.since", "watch.seen_to"))
    output.say(f"Next: orchestrator run list --connection {name}")


@app.command()
def remove(name: Name, reason: ReasonOption = None, output_: OutputOption = None) -> None:
    """Remove a connection that no live run needs."""
    with connected() as client:
        client.connections.remove(name, reason=reason)
    output.say(f"Removed {name}")


def _key(from_stdin: bool) -> str:
    if not from_stdin:
        raise BadInput("--api-key-stdin is missing", hint="The key comes on stdin: … --api-key-stdin < key.txt")
    return read_secret("API key")
