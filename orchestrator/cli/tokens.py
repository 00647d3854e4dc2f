"""`orchestrator token …`: who may call the API."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli import output
from orchestrator.cli.connect import connected
from orchestrator.cli.options import OutputOption, ReasonOption, group
from orchestrator.errors import BadInput

app = group("Tokens: who may call the API.")

COLUMNS = ("id", "name", "scopes", "connection", "created_at", "expires_at", "revoked_at")
CREATED = ("id", "name", "scopes", "connection", "expires_at", "secret")


@app.command("list")
def list_(output_: OutputOption = None) -> None:
    """List tokens, without their secrets."""
    with connected() as client:
        output.rows(client.tokens.list(), COLUMNS, nothing="No tokens.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who or what will hold it.")],
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="read, submit, operate, approve or admin; none means all.")
    ] = None,
    expires_at: Annotated[str | None, typer.Option("--expires", metavar="TIME", help="ISO time with a zone.")] = None,
    connection: Annotated[
        str | None,
        typer.Option("--connection", metavar="NAME", help="The connection that the Script door speaks for."),
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Directly in the database (ORCH_DATABASE_URL): a cluster's first token.")
    ] = False,
    workspace: Annotated[
        str | None,
        typer.Option("--workspace", metavar="NAME", help="With --local: its workspace, made if missing."),
    ] = None,
    test: Annotated[
        bool, typer.Option("--test", help="Begin it with orch_test_: for trying things, no secret of real work.")
    ] = False,
    output_: OutputOption = None,
) -> None:
    """Make a token. Its secret is shown this once."""
    if workspace is not None and not local:
        raise BadInput("--workspace goes with --local", hint="a token of the API makes tokens of its own workspace")
    if local:
        from orchestrator.cli.prepare import create_token

        created = create_token(
            name,
            scopes=scope or (),
            expires_at=expires_at,
            workspace=workspace,
            connection=connection,
            is_test=test,
        )
    else:
        with connected() as client:
            made = client.tokens.create(
                name, scopes=scope or (), expires_at=expires_at, connection=connection, test=test
            )
            created = dict(made)
    output.brief(created, CREATED)
    output.say("The secret is shown this once. Use it as ORCH_TOKEN.")
    if connection is not None:
        output.say("As x-api-key it opens the Script door: the same API, below /script/api/v1 of this server.")


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="The token's id.")],
    reason: ReasonOption = None,
    output_: OutputOption = None,
) -> None:
    """Make a token useless at once."""
    with connected() as client:
        client.tokens.revoke(token_id, reason=reason)
    output.say(f"Revoked {token_id}")
