"""What every verb is handed: the outsides, the sources of ids and randomness, and the times that operators turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from orchestrator.domain.answers import Access
from orchestrator.domain.backoff import OwnFigures, PollPolicy
from orchestrator.engine.ports import (
    Anchors,
    ArtifactStore,
    FileFetcher,
    Incoming,
    Leftovers,
    Outside,
    Provider,
    RetiredExports,
    WebhookSender,
)
from orchestrator.engine.together import Together
from orchestrator.engine.watermark import Watermark
from orchestrator.runtime import Sources
from orchestrator.settings import Settings
from orchestrator.storage.connections import ConnectionRow
from orchestrator.storage.database import Database
from orchestrator.storage.downloads import DownloadResult
from orchestrator.storage.sealing import Sealer
from orchestrator.storage.signing import Signer

if TYPE_CHECKING:
    from orchestrator.engine.look_results import Looks

API_KEY = "connections.api_key"
#: Under load, what is written together goes so far apart, seconds: the more then share a transaction.
TOGETHER_S = 0.1

WEBHOOK_KEY = "webhooks.secret"
OLD_WEBHOOK_KEY = "webhooks.old_secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """Built once per process by `bootstrap`, inside the event loop that uses it."""

    db: Database
    provider: Callable[[str], Provider]
    files: FileFetcher
    store: ArtifactStore
    sealer: Sealer
    sources: Sources
    settings: Settings
    #: Return a provider's base URL in its plain form, or raise `BadInput`: a hostile or private address.
    check_base_url: Callable[[str], str]
    #: Raise `BadInput` for a key that could not stand in a header.
    check_api_key: Callable[[str], None]
    #: The names that `provider` knows, for whoever is to choose one.
    providers: tuple[str, ...] = ()
    #: Where other programs leave the files that schedules read; None in a process that fires none.
    incoming: Incoming | None = None
    #: Where the mark and the journal of launches are kept; None in a world that is never restored.
    outside: Outside | None = None
    #: Signs checkpoints of the history; None in a process that signs none.
    signer: Signer | None = None
    #: Where signed checkpoints are kept outside the database; None: nowhere.
    anchors: Anchors | None = None
    #: Removes what the store holds and no row names; None for a store that never holds such.
    leftovers: Leftovers | None = None
    #: Tells webhooks; None in a process that tells none.
    webhooks: WebhookSender | None = None
    #: Keeps the exports of retired history; None in a process that retires none.
    retired: RetiredExports | None = None
    #: What looks saw and which files came, of all lanes and pumps of this process: written in groups.
    looks: Together[Looks] = field(default_factory=lambda: Together(apart_s=TOGETHER_S))
    stored: Together[DownloadResult] = field(default_factory=lambda: Together(apart_s=TOGETHER_S))
    #: What this process remembers of the database that it began with.
    watermark: Watermark = field(default_factory=Watermark)

    def access(self, *, connection_id: UUID, base_url: str, api_key: bytes, api_version: str | None) -> Access:
        """Open a connection's key for a call."""
        key = self.sealer.open(api_key, column=API_KEY, row=connection_id)
        return Access(connection_id=str(connection_id), base_url=base_url, api_key=key, api_version=api_version)

    def access_to(self, row: ConnectionRow) -> Access:
        """Open a connection for a call."""
        return self.access(
            connection_id=row.id, base_url=row.base_url, api_key=row.api_key, api_version=row.api_version
        )

    def poll_policy(self, own: OwnFigures) -> PollPolicy:
        """Return a workflow's backoff schedule: its own figures, else the defaults, within our own bounds."""
        default = PollPolicy()
        initial, factor, cap, jitter, polite = own
        policy = PollPolicy(
            initial_s=initial if initial is not None else default.initial_s,
            factor=factor if factor is not None else default.factor,
            cap_s=cap if cap is not None else default.cap_s,
            jitter=jitter if jitter is not None else default.jitter,
            polite=polite if polite is not None else default.polite,
        )
        return policy.bounded(min_s=self.settings.poll_min_interval_s, max_s=self.settings.poll_max_interval_s)
