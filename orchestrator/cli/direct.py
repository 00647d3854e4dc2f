"""Commands that work on the database of this machine or cluster itself, without asking a server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from orchestrator.errors import Unavailable

if TYPE_CHECKING:
    from orchestrator.engine.deps import Deps
    from orchestrator.engine.who import Who
    from orchestrator.settings import Settings

T = TypeVar("T")


def on_database(act: Callable[[Deps], Awaitable[T]], settings: Settings | None = None) -> T:
    """Do something with what the verbs need, on the database that is named, or on the data folder's own.

    Raises:
        Unavailable: neither runs.
    """
    import asyncio

    from orchestrator import bootstrap
    from orchestrator.cli.prepare import PROGRAM
    from orchestrator.settings import load_settings

    found = _with_database(settings or load_settings())

    async def run() -> T:
        async with bootstrap.build(found, program=PROGRAM, pool_size=1) as deps:
            return await act(deps)

    return asyncio.run(run())


async def operator(deps: Deps, workspace: str) -> Who:
    """Return whoever sits at this machine, as a caller of a workspace.

    Raises:
        NotFound: there is no workspace of this name.
    """
    from orchestrator.cli.prepare import LOCAL_ACTOR
    from orchestrator.engine import tokens
    from orchestrator.engine.who import SCOPES, Who

    found = await tokens.find_workspace(deps, workspace)
    return Who(workspace_id=found, actor=LOCAL_ACTOR, scopes=frozenset(SCOPES))


def _with_database(settings: Settings) -> Settings:
    """Return the settings with the embedded database's URL, where no other is named."""
    from pydantic import SecretStr

    from orchestrator.embedded.datadir import DataDir
    from orchestrator.embedded.postgres import EmbeddedPostgres

    if settings.database_url is not None:
        return settings
    if not DataDir(settings.data_dir).root.exists() or (postgres := EmbeddedPostgres(settings.data_dir)).pid is None:
        raise Unavailable("PostgreSQL does not run in this folder", hint="orchestrator up; or set ORCH_DATABASE_URL")
    return settings.model_copy(update={"database_url": SecretStr(postgres.dsn())})
