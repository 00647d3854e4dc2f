"""`orchestrator webhook …`: which programs are told what happens, and how that came through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import output
from orchestrator.cli.connect import connected
from orchestrator.cli.exits import Exit
from orchestrator.cli.options import LimitOption, OutputOption, ReasonOption, group

if TYPE_CHECKING:
    from orchestrator.client.webhooks import Webhook

app = group(
    "Webhooks: which programs are told what happens.\n\nSigned as Standard Webhooks says, so that a receiver can verify"
    " with a library; tried again for three days. Begin with: orchestrator webhook add NAME --url https://…"
)

COLUMNS = ("name", "status", "url", "events", "delivered_at", "failing_since", "disabled_because")
FIELDS = (*COLUMNS, "rests_until", "disabled_at", "old_secret_until", "created_by", "created_at", "id")
DELIVERY_COLUMNS = ("id", "created_at", "type", "state", "tries", "last_status", "last_error", "next_at")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The webhook's name.")]
EventOption = Annotated[
    list[str] | None,
    typer.Option(
        "--event",
        metavar="TYPE",
        help="Tell it of this; again for more: run.finished, run.error, …, a family such as batch.*, or *.",
    ),
]
UrlOption = Annotated[str | None, typer.Option("--url", metavar="URL", help="Where it is told: https, no redirects.")]


@app.command()
def add(
    name: Name,
    url: Annotated[str, typer.Option("--url", metavar="URL", help="Where it is told: https, no redirects.")],
    event: EventOption = None,
    reason: ReasonOption = None,
    output_: OutputOption = None,
) -> None:
    """Add a webhook; without --event it is told of everything. Its secret is shown this once."""
    with connected() as client:
        _show_secret(client.webhooks.add(name, url, events=event or (), reason=reason))
    output.say(f"Next: orchestrator webhook test {name}")


@app.command("list")
def list_(output_: OutputOption = None) -> None:
    """List webhooks, and how they do."""
    with connected() as client:
        nothing = "No webhooks yet: orchestrator webhook add NAME --url https://…"
        output.rows(client.webhooks.list(), COLUMNS, nothing=nothing)


@app.command()
def show(name: Name, output_: OutputOption = None) -> None:
    """Show everything about a webhook, but its secret."""
    with connected() as client:
        output.one(client.webhooks.get(name), FIELDS)


@app.command("set")
def set_(
    name: Name,
    url: UrlOption = None,
    event: EventOption = None,
    enabled: Annotated[
        bool | None,
        typer.Option("--enable/--disable", help="Enabled again, it is told what was waiting, for up to 30 days."),
    ] = None,
    reason: ReasonOption = None,
    output_: OutputOption = None,
) -> None:
    """Change what is given; the rest stays. The events that are given replace those before."""
    with connected() as client:
        output.brief(client.webhooks.set(name, url=url, events=event, enabled=enabled, reason=reason), COLUMNS)
    output.say(f"Next: orchestrator webhook test {name}")


@app.command()
def rotate(
    name: Name,
    overlap: Annotated[
        int, typer.Option("--overlap-hours", min=0, max=168, help="So long the old secret signs too.")
    ] = 24,
    reason: ReasonOption = None,
    output_: OutputOption = None,
) -> None:
    """Make another secret, shown this once. Until the overlap is over every message is signed with both."""
    with connected() as client:
        _show_secret(client.webhooks.rotate(name, overlap_hours=overlap, reason=reason))


@app.command()
def remove(name: Name, reason: ReasonOption = None, output_: OutputOption = None) -> None:
    """Remove a webhook, and what waits for it."""
    with connected() as client:
        client.webhooks.remove(name, reason=reason)
    output.say(f"Removed {name}")


@app.command()
def test(name: Name, output_: OutputOption = None) -> None:
    """Send one webhook.test now, and say what came of it. It is not tried again."""
    with connected() as client:
        found = client.webhooks.test(name)
    output.brief(found, ("ok", "status", "error", "response", "took_s"))
    if not found["ok"]:
        output.say(f"error: {name} was not told: {found.get('error')}")
        raise typer.Exit(Exit.FAILED)
    output.say(f"{name} took it. What comes next: orchestrator webhook deliveries {name}")


@app.command()
def deliveries(
    name: Name,
    state: Annotated[
        list[str] | None, typer.Option("--state", help="pending, delivered or failed; again for more.")
    ] = None,
    limit: LimitOption = 50,
    output_: OutputOption = None,
) -> None:
    """List what a webhook was told in the last 30 days, latest first. -o json shows payloads, and every try."""
    with connected() as client:
        found = client.webhooks.deliveries(name, states=state or (), limit=limit)
    output.rows(found, DELIVERY_COLUMNS, nothing="Nothing was told.")


@app.command()
def resend(
    name: Name,
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="Its id: orchestrator webhook deliveries NAME.")],
    reason: ReasonOption = None,
    output_: OutputOption = None,
) -> None:
    """Send a message once more, now, under the same webhook-id; if it fails, its tries begin anew."""
    with connected() as client:
        output.brief(client.webhooks.resend(name, delivery, reason=reason), DELIVERY_COLUMNS)


def _show_secret(made: Webhook) -> None:
    output.brief(made, ("name", "status", "url", "events", "secret"))
    output.say("The secret is shown this once. The receiver verifies with it: docs/webhooks.md")
