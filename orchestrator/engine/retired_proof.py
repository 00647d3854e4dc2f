"""Whether an export proves a month of the history that is to go, or has gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from orchestrator.domain.audit_export import EVENTS, read_event
from orchestrator.domain.checkpoints import Unreadable
from orchestrator.domain.export_verification import verify_export
from orchestrator.storage.signing import is_signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What an export holds of a month. `problem`: why it proves nothing, None when it does."""

    problem: str | None
    streams: int
    events: int


class _Counting:
    """Lines that pass, of which those of a range of streams are counted."""

    def __init__(self, lines: Iterable[bytes], first: UUID, until: UUID) -> None:
        self.streams = self.events = 0
        self._lines, self._first, self._until = lines, first.int, until.int

    def __iter__(self) -> Iterator[bytes]:
        last: UUID | None = None
        for line in self._lines:
            try:
                stream = read_event(line).stream
            except Unreadable:
                stream = None  # the verifier says so
            if stream is not None and self._first <= stream.int < self._until:
                self.events += 1
                self.streams += stream != last
                last = stream
            yield line


def _nothing() -> None:
    """Tell nobody."""


def prove(
    files: Mapping[str, Iterable[bytes]],
    *,
    keys: Mapping[str, bytes] | None,
    first: UUID,
    until: UUID,
    on_line: Callable[[], None] = _nothing,
) -> Proof:
    """Verify an export by these keys (None: its own), and count what it holds of the streams in [first, until).

    Args:
        on_line: called with each line that is read; what it raises ends the reading.
    """
    counting = _Counting(files.get(EVENTS, ()), first, until)
    lines: dict[str, Iterable[bytes]] = {**files, EVENTS: counting} if EVENTS in files else dict(files)
    told = {name: _told(each, on_line) for name, each in lines.items()}
    verdict = verify_export(told, verify_signature=is_signed, trusted_keys=keys)
    return Proof(problem=verdict.problem, streams=counting.streams, events=counting.events)


def _told(lines: Iterable[bytes], on_line: Callable[[], None]) -> Iterator[bytes]:
    for line in lines:
        on_line()
        yield line
