"""What the verbs need from the outsides. The adapters in `providers/` and `artifacts/` fit these by shape."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from orchestrator.domain.answers import (
    Accepted,
    Access,
    Capabilities,
    ExecutionPage,
    FileAnswer,
    ListAsk,
    Observation,
    StoredFile,
    WaveAccepted,
    WorkflowPage,
    WorkflowView,
)
from orchestrator.domain.heard import Heard
from orchestrator.domain.highwater import Mark, OutsideMark
from orchestrator.domain.webhooks import WebhookAnswer

#: Hears that a turn has made its claim, and whether more of its kind may be due just now.
Claimed = Callable[[bool], None]


def unheard(_more: bool) -> None:
    """Stand in where nobody waits for a claim."""


class Provider(Protocol):
    """A remote API. Each call is exactly one request, is never retried inside, and raises a `ProviderError`."""

    @property
    def name(self) -> str: ...
    @property
    def capabilities(self) -> Capabilities: ...

    async def list_workflows(self, access: Access, *, cursor: str | None = None, limit: int = 100) -> WorkflowPage: ...
    async def view_workflow(self, access: Access, workflow_id: str) -> WorkflowView: ...

    def launch_body(self, item: bytes) -> bytes:
        """Return the bytes of a single launch; the item's own bytes stand in it unchanged, the same each time."""

    def wave_body(self, items: Sequence[bytes], *, level: str) -> bytes:
        """Return the bytes of a wave's launch; each item's own bytes stand in it unchanged."""

    async def launch(
        self, access: Access, workflow_id: str, body: bytes, *, send_by: float, key: str | None = None
    ) -> Accepted:
        """Send once, on a fresh connection. `send_by` is a monotonic time; past it nothing is written (`NotSent`).

        Args:
            key: goes along where the provider takes keys, so that the same launch may be sent again.
        """

    async def launch_wave(
        self, access: Access, workflow_id: str, body: bytes, *, count: int, send_by: float
    ) -> WaveAccepted: ...

    async def observe(self, access: Access, workflow_id: str, execution_id: str) -> Observation: ...

    async def list_executions(self, access: Access, ask: ListAsk) -> ExecutionPage:
        """Return a page of the provider's list; only asked where `capabilities.bulk_observe`."""

    async def cancel(self, access: Access, workflow_id: str, execution_id: str) -> Observation:
        """Cancel an execution that waits; only asked where `capabilities.cancel`. To ask twice is harmless.

        Raises:
            NotCancellable: it has begun, or has ended.
        """

    def heard(self, connection_id: str) -> Heard:
        """Hand over what answers on a connection told beside what was asked, since this was last asked."""

    async def aclose(self) -> None: ...


class FileFetcher(Protocol):
    """Reads result files from hosts named by a provider. Sends no key, follows no redirect."""

    def fetch(self, url: str) -> AbstractAsyncContextManager[FileAnswer]:
        """Open the file. Raises:
        NotSent: could not reach the host, or the address is one we never call.
        Refused, Gone: the URL is expired, refused or unknown: ask the provider for a fresh one.
        Throttled: too many at once.
        Misbehaved: redirected, longer than it said, or larger than we take.
        OutcomeUnknown: cut, reset, silent or slow half way: read again.
        """

    async def aclose(self) -> None: ...


class WebhookSender(Protocol):
    """Tells receivers that a tenant names. Follows no redirect."""

    def check(self, url: str) -> str:
        """Return a receiver's URL in its plain form, or raise `BadInput`: a hostile or private address."""

    async def send(self, url: str, *, id: str, body: str, secrets: Sequence[str]) -> WebhookAnswer:
        """Send once, signed with each secret; return what came of it, whatever that was."""


class Incoming(Protocol):
    """The folder of inputs: files that other programs leave for schedules."""

    async def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return a file's bytes. Raises:
        NotFound: not there yet (`input_missing`), or still being written (`input_unsettled`).
        BadInput, TooLarge: no plain file below the folder; too long.
        Unavailable: the folder cannot be read.
        """


class Outside(Protocol):
    """What is kept outside the database, so that a restored one shows. Every call raises `Unavailable` when it is away.

    It has places, each a folder; a fresh install has none that was ever written.
    """

    async def read(self) -> list[OutsideMark]:
        """Return what each place says. Raises `Misconfigured` for a damaged one."""

    async def write(self, mark: Mark) -> None:
        """Write the mark durably, where the place is not further already."""

    async def take_over(self, mark: Mark) -> None:
        """Put away the journal, and write the mark whatever stood there."""

    async def note(self, lines: bytes) -> None:
        """Append whole lines to the journal of launches, durably."""

    async def tail(self) -> list[bytes]:
        """Return the journal's last lines."""

    def journal(self) -> AsyncIterator[list[bytes]]:
        """Yield the journal's lines, a file at a time, the newest first."""


class Anchors(Protocol):
    """Where signed checkpoints are kept outside the database. Every call raises `Unavailable` when it is away."""

    @property
    def place(self) -> str:
        """Where it is, for people."""

    @property
    def can_be_read(self) -> bool:
        """Whether `last` knows what other processes, and earlier ones, have kept."""

    async def last(self, workspace: UUID) -> bytes | None:
        """Return the last line that is kept of a workspace."""

    async def append(self, workspace: UUID, lines: Sequence[bytes], *, anew: bool) -> None:
        """Append whole lines, durably; if `anew`, apart from what was kept before."""

    def lines(self, workspace: UUID) -> Iterator[bytes]:
        """Return all that is kept of a workspace."""


class ExportSink(Protocol):
    """Where the files of an export go."""

    def write(self, name: str, text: bytes) -> None:
        """Append to a file of the export. Called on a thread, in the midst of a snapshot."""


class RetiredExports(Protocol):
    """Keeps the exports of retired history. Every call raises `Unavailable` when there is no room for it."""

    @property
    def place(self) -> str:
        """Where it is, for people."""

    def leftovers(self, name: str, *, keep: Collection[str]) -> list[str]:
        """Return what earlier tries left of an export, but for those that something names."""

    def remove(self, left: Collection[str]) -> None:
        """Remove what was left."""

    def writing(self, name: str, take: str) -> AbstractAsyncContextManager[ExportSink]:
        """Hand out a sink; what it took is durable when the block ends well, and has no name yet.

        Args:
            take: whose try it is; no other one has it.
        """

    def unfinished(self, name: str, take: str) -> Mapping[str, Iterator[bytes]]:
        """Return the lines of what was just written."""

    def keep(self, name: str, take: str) -> tuple[str, str]:
        """Give what was written its name; return it, and the SHA-256 of its manifest."""


class ArtifactStore(Protocol):
    """Keeps result files. Keys are ours alone: `workspace/run/attempt/n.fence`; a provider's filename is never a path.

    The fence is the claim's under which the file was fetched, so no key is ever written by two workers.
    """

    async def put(self, key: str, chunks: AsyncIterator[bytes], *, max_bytes: int) -> StoredFile:
        """Store durably under `key`, hashing on the way. Raises:
        StoreFull: no space, quota, or read-only. Nothing is left behind under `key`.
        """

    def open(self, key: str) -> AsyncIterator[bytes]: ...
    async def size(self, key: str) -> int | None: ...
    async def delete(self, key: str) -> None: ...


class Leftovers(Protocol):
    """What an artifact store holds beside the files that rows name. Raises `Unavailable` while the store is away."""

    async def remove_all(self, folder: str) -> None:
        """Remove everything of a run, durably. `folder` is `workspace/run`; a missing one is fine."""

    async def remove_unfinished(self, *, older_than_s: float = 3_600.0) -> int:
        """Remove unfinished files that nothing has written to for that long; return how many."""
