"""What must be in the database before the parts start: schema, queues, a workspace, and a first token."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from orchestrator import bootstrap
from orchestrator.embedded.datadir import DataDir
from orchestrator.engine import tokens
from orchestrator.engine.deps import Deps
from orchestrator.errors import BadInput, Unauthorized
from orchestrator.settings import Settings, load_settings
from orchestrator.storage.migrate import SchemaState
from orchestrator.storage.migrate import migrate as migrate_schema
from workers import broker

PROGRAM = "cli"
LOCAL_TOKEN = "local admin"  # noqa: S105 -- its name
LOCAL_ACTOR = "cli:local"


def prepare_database(settings: Settings) -> SchemaState:
    """Bring schema, queues and the default workspace about. Harmless when they are there."""
    state = migrate_schema(settings.require_database_url())
    broker.prepare(settings)

    async def ensure() -> None:
        async with bootstrap.build(settings, program=PROGRAM, pool_size=1) as deps:
            await tokens.ensure_workspace(deps)

    asyncio.run(ensure())
    return state


def prepare_local_token(settings: Settings, url: str) -> None:
    """Write into the data folder how the command line reaches the API, with a token that works."""
    data = DataDir(settings.data_dir)
    known = _known_token(data)

    async def ensure() -> str:
        async with bootstrap.build(settings, program=PROGRAM, pool_size=1) as deps:
            if known is not None and await _is_good(deps, known):
                return known
            workspace = await tokens.ensure_workspace(deps)
            secret, _ = await tokens.create_token(deps, workspace, LOCAL_TOKEN, actor=LOCAL_ACTOR)
            return secret

    data.write_client({"url": url, "token": asyncio.run(ensure())})


def create_token(
    name: str,
    *,
    scopes: Sequence[str],
    expires_at: str | None,
    workspace: str | None = None,
    connection: str | None = None,
    is_test: bool = False,
) -> dict[str, Any]:
    """Make a token directly in the database: the first one of a cluster, before any token can call the API.

    Args:
        workspace: its workspace's name, made when it is missing; None: the one of every installation.
        connection: the one that the Script door speaks for, given this token.
    """
    settings = load_settings()
    expiry = _expiry(expires_at)

    async def create() -> tuple[str, dict[str, Any]]:
        async with bootstrap.build(settings, program=PROGRAM, pool_size=1) as deps:
            owner = await tokens.ensure_workspace(deps, workspace or tokens.DEFAULT_WORKSPACE)
            return await tokens.create_token(
                deps,
                owner,
                name,
                scopes=scopes or None,
                expires_at=expiry,
                connection=connection,
                is_test=is_test,
                actor=LOCAL_ACTOR,
            )

    secret, view = asyncio.run(create())
    return {**view, "secret": secret}


async def _is_good(deps: Deps, secret: str) -> bool:
    try:
        await tokens.authenticate(deps, secret)
    except Unauthorized:
        return False  # of another database, or revoked: a new one is made
    return True


def _known_token(data: DataDir) -> str | None:
    try:
        return str(json.loads(data.client_file.read_bytes())["token"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # none yet, or spoilt: it is written anew


def _expiry(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        expiry = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"--expires {text}: no ISO time", hint="For example 2027-01-31T00:00:00Z") from None
    return expiry if expiry.tzinfo else expiry.astimezone()
