"""What the API answers about connections and workflows, in the manner of `shapes.py`."""

from __future__ import annotations

from typing import Any, TypedDict


class ApiVersionEnding(TypedDict):
    """What the provider said of the end of an API version, in its own words; each may be missing."""

    version: str | None
    sunset_at: str | None
    replacement: str | None
    told_at: str


class Connection(TypedDict, total=False):
    """A provider, its address, a key that is never shown, and the limits of that key. `watch`: what others start."""

    id: str
    name: str
    provider: str
    base_url: str
    key_hint: str
    status: str
    requests_per_minute: int
    max_concurrent: int
    limit_group: str | None
    console_url: str | None
    told_limit: int | None
    api_version: str | None
    api_version_ending: ApiVersionEnding | None
    blocked_until: str | None
    paused_at: str | None
    paused_by: str | None
    checked_at: str | None
    check_result: str | None
    created_at: str
    budget: dict[str, int]
    watch: dict[str, Any] | None


class Health(TypedDict):
    """One thing that is so of a connection, in words. `tone` is good, human (stopped, or it waits) or bad."""

    tone: str
    word: str
    sentence: str
    cure: str | None
    code: str | None
    until: str | None


class ConnectionStanding(Connection, total=False):
    """How a connection stands. `used` and `limit` are requests in 60 s; `hour` has one entry for each minute."""

    health: list[Health]
    limit: int
    used: int
    turned_away: int
    most_used: int
    hour: list[dict[str, Any]]
    queue: dict[str, int]
    due: dict[str, int]
    shared_with: list[str]
    breaker: str
    breaker_trips: int
    probe_at: str | None
    launches_stopped: str | None
    launches_stopped_at: str | None
    capabilities: dict[str, Any]
    plan: list[str]


class ConnectionTest(TypedDict, total=False):
    """What a connection's test found. Nothing was launched."""

    ok: bool
    workflows: list[dict[str, str]]
    limits: dict[str, Any]
    plan: list[str]
    error: dict[str, Any] | None


class Workflow(TypedDict, total=False):
    """Something that a provider can run. `stale` says that the provider was away and this was known before."""

    id: str
    name: str
    description: str | None
    connection: str
    input_schema: dict[str, Any] | None
    on_doubt: str
    poll: dict[str, float]
    durations: dict[str, Any]
    created_at: str | None
    updated_at: str | None
    fetched_at: str | None
    launches_blocked_until: str | None
    launches_blocked_because: str | None
    stale: bool
