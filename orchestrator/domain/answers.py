"""What a provider told us, as values. Adapters make them, decisions read them; neither knows the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class RemoteStatus(StrEnum):
    """What the provider's status word means to us. `UNKNOWN` is a word that its page does not list."""

    WAITING = "waiting"
    RUNNING = "running"
    HUMAN = "human"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedFile:
    """A result file as the provider offers it. Both strings come from outside and are hostile."""

    filename: str
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an execution says it is. Each part may be missing, and no progress at all is None, not zero.

    Args:
        share: 0 to 1.
        message: the provider's own words, one line.
        left_ms: milliseconds to its end, as the provider estimates.
    """

    share: float | None = None
    message: str | None = None
    left_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One look at one execution.

    Shape: `word` is the provider's own status word, at most 64 characters. `files` is None when the answer held no
    list of results, and empty when the list was.
    """

    status: RemoteStatus
    word: str
    files: tuple[OfferedFile, ...] | None = None
    error_message: str | None = None
    progress: Progress | None = None


class Standing(StrEnum):
    """Which executions a list shows: those that wait or run, or those that have ended, however."""

    LIVE = "live"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListAsk:
    """One page of a provider's list of executions, the newest first.

    Args:
        standing: None: all of them.
        since, until: when an execution was made, by the provider's clock, both inclusive; None: no bound.
        workflow_ids: only of these; empty: of all.
        cursor: where the page before ended; None: the first page.
    """

    standing: Standing | None = None
    since: datetime | None = None
    until: datetime | None = None
    workflow_ids: tuple[str, ...] = ()
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One execution as a list shows it: what a look at it would have seen."""

    execution_id: str
    workflow_id: str
    created_at: datetime | None
    seen: Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionPage:
    """One page of a list of executions. One that cannot be read is left out; `cursor` is None on the last page."""

    executions: tuple[Listed, ...]
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The provider took a single launch. `word` is its status word then."""

    execution_id: str
    word: str = "initial"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveAccepted:
    """The provider took a wave. An index that is missing here is in doubt, and only that one."""

    execution_ids: Mapping[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowSummary:
    """A workflow as it stands in the provider's list."""

    remote_id: str
    name: str
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowView:
    """A workflow with what its inputs must look like. `input_schema` is None when the provider defines none."""

    remote_id: str
    name: str
    description: str | None = None
    input_schema: Mapping[str, object] | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowPage:
    """One page of the provider's list; `cursor` is None on the last."""

    workflows: Sequence[WorkflowSummary]
    cursor: str | None = None


class LimitScope(StrEnum):
    """What a provider counts requests for."""

    KEY = "key"
    WORKSPACE = "workspace"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchKeys:
    """The provider takes a key with a launch, and makes of the same bytes under the same key one execution only.

    Args:
        life_s: how long it remembers a key.
        resent_for_s: how long after the first sending a launch is sent again; less than its life, by a margin.
    """

    life_s: float
    resent_for_s: float

    def __post_init__(self) -> None:
        """Refuse to send again what the provider has forgotten."""
        assert 0 < self.resent_for_s < self.life_s, "a key that is forgotten starts a second execution"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a provider can do. The engine chooses by these, never by the provider's name.

    Args:
        launch_key: None where a launch whose answer was lost is a doubt.
        cancel: an execution that waits can be cancelled at the provider.
        progress: looks say how far an execution is.
        inline_results: a look at a finished execution holds its result itself; else there are URLs to fetch.
        bulk_observe: how many executions one page of its list shows as a look at each would; 0 without a list.
        human_step: an execution may wait for a person, in the provider's own place.
        version: the version of the API that every call asks for; None where there are none.
        limit_scope: whose requests count together.
        max_body_bytes: the largest launch request.
        wave_widths: how many items of a wave run side by side, by the name of the level; empty without waves.
        wave_max_items: items of one wave, 0 without waves.
        url_life_s: how long a result's URL lives after the look that gave it; None when results come inline.
        requests_per_minute, concurrent_per_workflow: the documented limits, the defaults of a connection.
    """

    launch_key: LaunchKeys | None
    cancel: bool
    progress: bool
    inline_results: bool
    bulk_observe: int
    human_step: bool
    version: str | None
    limit_scope: LimitScope
    max_body_bytes: int
    wave_widths: Mapping[str, int]
    wave_max_items: int
    url_life_s: float | None
    requests_per_minute: int
    concurrent_per_workflow: int
    execution_timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a call needs to reach a provider on a user's behalf. The key never shows in a repr.

    `api_version` is the version of the API that is asked for; None: the adapter's own, or there are none.
    """

    connection_id: str
    base_url: str
    api_key: str = field(repr=False)
    api_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileAnswer:
    """A result file that is being read.

    Args:
        length_bytes: None when the host did not say.
        is_framed: the answer says itself where the file ends: by its length, or a last chunk. If not, it ends where the
            connection does, and a file that is cut looks like a whole one.
    """

    length_bytes: int | None
    chunks: AsyncIterator[bytes]
    is_framed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file that is safely stored: every byte on disk, under its final name."""

    key: str
    size_bytes: int
    sha256: str
