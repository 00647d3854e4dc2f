"""Named places at every boundary where a process can die or an answer be lost. Inert in the product.

Nothing in the product installs a watcher, so that here each place is one comparison with None; a house test holds it.
The simulation and the guarantee tests install one: it may kill the process, raise, or wait.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum


class Point(StrEnum):
    """Where a fault can strike. `written` and `recording` lie inside a transaction, just before its commit."""

    SUBMIT_WRITTEN = "submit.written"
    SUBMIT_COMMITTED = "submit.committed"
    LAUNCH_WRITTEN = "launch.written"
    LAUNCH_COMMITTED = "launch.committed"
    LAUNCH_CONNECTED = "launch.connected"
    LAUNCH_SENT = "launch.sent"
    LAUNCH_ANSWERED = "launch.answered"
    LAUNCH_RECORDING = "launch.recording"
    LAUNCH_RECORDED = "launch.recorded"
    PROBE_ANSWERED = "probe.answered"
    POLL_CLAIMED = "poll.claimed"
    POLL_LISTED = "poll.listed"
    WALK_ANSWERED = "walk.answered"
    WALK_RECORDING = "walk.recording"
    POLL_ANSWERED = "poll.answered"
    POLL_RECORDING = "poll.recording"
    POLL_RECORDED = "poll.recorded"
    DOWNLOAD_CLAIMED = "download.claimed"
    DOWNLOAD_CHUNK = "download.chunk"
    ARTIFACT_WRITTEN = "artifact.written"
    ARTIFACT_STORED = "artifact.stored"
    DOWNLOAD_RECORDING = "download.recording"
    DOWNLOAD_RECORDED = "download.recorded"
    SETTLE_WRITTEN = "settle.written"
    SETTLE_COMMITTED = "settle.committed"
    SWEEP_DECLARED = "sweep.declared"
    SWEEP_CLEARED = "sweep.cleared"
    SWEEP_DOUBTED = "sweep.doubted"
    ACT_WRITTEN = "act.written"
    ACT_COMMITTED = "act.committed"
    RETIREMENT_EXPORTED = "retirement.exported"
    RETIREMENT_WRITTEN = "retirement.written"


Watcher = Callable[[Point], Awaitable[None]]

_watcher: Watcher | None = None


async def reach(point: Point) -> None:
    """Say that a boundary is reached."""
    if _watcher is not None:
        await _watcher(point)


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Let a test act at the points for the length of the block."""
    global _watcher
    before, _watcher = _watcher, watcher
    try:
        yield
    finally:
        _watcher = before
