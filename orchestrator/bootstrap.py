"""The only place that builds adapters: settings in, dependencies out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from pathlib import Path

from orchestrator.artifacts.anchors import anchors_at
from orchestrator.artifacts.highwater import HighWater
from orchestrator.artifacts.incoming import Incoming
from orchestrator.artifacts.leftovers import Leftovers
from orchestrator.artifacts.registry import artifact_store
from orchestrator.artifacts.retired import RetiredExports
from orchestrator.embedded.datadir import DataDir
from orchestrator.engine.deps import Deps
from orchestrator.engine.ports import Provider
from orchestrator.providers import registry
from orchestrator.providers.addresses import check_base_url
from orchestrator.providers.files import HttpFileFetcher
from orchestrator.providers.http import Timeouts
from orchestrator.providers.keys import check_api_key
from orchestrator.providers.webhooks import HttpWebhookSender
from orchestrator.runtime import system_sources
from orchestrator.settings import Settings
from orchestrator.storage.database import Database
from orchestrator.storage.sealing import Sealer
from orchestrator.storage.signing import Signer


@asynccontextmanager
async def build(
    settings: Settings, *, program: str, pool_size: int = 5, ping_after_s: float = 0.0
) -> AsyncIterator[Deps]:
    """Build everything inside the running event loop, and close it there at the end.

    Args:
        program: the name by which Postgres shows our connections: `api`, `worker`.
        ping_after_s: see `Database`.

    Raises:
        Misconfigured: a setting is missing or makes no sense.
    """
    db = Database(
        settings.require_database_url(),
        pool_size=pool_size,
        program=f"orchestrator-{program}",
        ping_after_s=ping_after_s,
    )
    files = HttpFileFetcher(allow_private_networks=settings.allow_private_networks)
    store = artifact_store(settings.artifacts_url or str(DataDir(settings.data_dir).artifacts))
    providers: dict[str, Provider] = {}

    def provider(name: str) -> Provider:
        if name not in providers:
            timeouts = Timeouts(read_s=settings.http_timeout_s)
            private = settings.allow_private_networks
            providers[name] = registry.provider(name, allow_private_networks=private, timeouts=timeouts)
        return providers[name]

    try:
        yield Deps(
            db=db,
            provider=provider,
            providers=tuple(registry.PROVIDERS),
            files=files,
            store=store,
            sealer=sealer(settings),
            sources=system_sources(),
            settings=settings,
            check_base_url=partial(check_base_url, allow_private_networks=settings.allow_private_networks),
            check_api_key=check_api_key,
            incoming=Incoming(settings.inputs_dir or DataDir(settings.data_dir).inputs),
            outside=HighWater(_outside(settings, store.root)),
            signer=signer(settings),
            anchors=anchors_at(settings.anchors, default=_anchors(settings, store.root)),
            leftovers=Leftovers(store),
            webhooks=HttpWebhookSender(allow_private_networks=settings.allow_private_networks),
            retired=RetiredExports(settings.retired_dir or _retired(settings, store.root)),
        )
    finally:
        for made in providers.values():
            await made.aclose()
        await files.aclose()
        await db.close()


def _outside(settings: Settings, artifacts: Path) -> list[Path]:
    """Return where marks are kept: where the results are, if a place was named for them, and in the data folder.

    A data folder is not made for it alone: what shares a named place may have none, or one that is lost with it.
    """
    data = DataDir(settings.data_dir)
    if settings.artifacts_url is None:
        return [data.highwater]
    return [artifacts / ".highwater", *([data.highwater] if data.root.exists() else [])]


def _anchors(settings: Settings, artifacts: Path) -> Path:
    """Return where checkpoints are kept if nothing is named: like marks, but in one place."""
    data = DataDir(settings.data_dir)
    return data.anchors if settings.artifacts_url is None else artifacts / ".anchors"


def _retired(settings: Settings, artifacts: Path) -> Path:
    """Return where retired history is exported to if nothing is named: beside the results, like anchors."""
    return DataDir(settings.data_dir).root / "retired" if settings.artifacts_url is None else artifacts / ".retired"


@lru_cache(maxsize=4)
def signer(settings: Settings) -> Signer:
    """Return what signs checkpoints: by the key that is set, else by one that the secret key gives."""
    if settings.signing_key is not None:
        return Signer.from_base64(settings.signing_key.get_secret_value())
    return Signer(sealer(settings).derive("signing key of checkpoints"))


@lru_cache(maxsize=4)
def sealer(settings: Settings) -> Sealer:
    """Return what seals secrets: by the key that is set, else by the data folder's own."""
    if settings.secret_key is not None:
        return Sealer.from_base64(settings.secret_key.get_secret_value())
    return Sealer(DataDir(settings.data_dir).secret_key())
