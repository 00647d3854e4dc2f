"""The hash chain of events: what is hashed, and how a stream is verified.

One stream per run, per batch and per workspace. `hash = SHA-256(previous hash ‖ canonical bytes)`; the first event of a
stream follows 32 zero bytes. Canonical bytes are a JSON array of strings and one integer, so that any language with a
JSON writer and SHA-256 can recompute them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring as quoted
from uuid import UUID

GENESIS = bytes(32)

# Made once: a submission of ten thousand rows writes as many events.
_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact of a stream, as it is stored. `data` is canonical JSON text and holds no personal data."""

    stream: UUID
    seq: int
    at: datetime
    type: str
    actor: str
    data: str
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The end of a stream: the last sequence number and its hash. It lies on the owner's row.

    Args:
        at: when the last event was, where it is to be continued.
    """

    seq: int = 0
    hash: bytes = GENESIS
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """A fact that is about to be appended."""

    type: str
    actor: str = "orchestrator"
    data: Mapping[str, object] | None = None


def canonical_data(data: Mapping[str, object] | None) -> str:
    """Return JSON that is the same for the same facts: sorted keys, no spaces, no floats that differ by platform."""
    return _ENCODE(data or {})


def canonical_bytes(*, stream: UUID, seq: int, at: datetime, type: str, actor: str, data: str) -> bytes:
    """Return exactly what is hashed for an event."""
    # As json.dumps([…], separators=(",", ":"), ensure_ascii=False) writes it, at a third of the time: verifying a
    # history does little else. A UUID and a timestamp hold nothing to escape.
    return f'["{stream}",{seq},"{timestamp(at)}",{quoted(type)},{quoted(actor)},{quoted(data)}]'.encode()


@lru_cache(maxsize=64)
def timestamp(at: datetime) -> str:
    """Return a time in UTC with microseconds, the precision that the database keeps."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def append(head: Head, stream: UUID, new: Iterable[NewEvent], *, at: datetime) -> tuple[list[Event], Head]:
    """Return the events in their place in the stream, and the stream's new head.

    A history never goes back in time, though clocks may: an act whose transaction began before that of the last event
    and waited for it, or one after the clock was set back, is written as of the last event.
    """
    events: list[Event] = []
    seq, digest = head.seq, head.hash
    at = at if head.at is None else max(at, head.at)
    for event in new:
        seq += 1
        data = canonical_data(event.data)
        body = canonical_bytes(stream=stream, seq=seq, at=at, type=event.type, actor=event.actor, data=data)
        digest = hashlib.sha256(digest + body).digest()
        events.append(Event(stream=stream, seq=seq, at=at, type=event.type, actor=event.actor, data=data, hash=digest))
    return events, Head(seq=seq, hash=digest)


class Beginnings:
    """The first events of many streams at one moment, alike but for one digest: as `append` writes them, far cheaper.

    What all have in common is spelled once.

    Args:
        facts: what the `data` of all says, beside the digest.
        digest: under which name it says the digest, in hex.
    """

    def __init__(self, *, type: str, actor: str, facts: Mapping[str, object], digest: str, at: datetime) -> None:
        # Stand where the digest and the id of each will stand. Made of all that is said, so that nobody can say them.
        mark = hashlib.sha256(f"{type} {actor} {canonical_data(facts)}".encode())
        here, no_stream = mark.hexdigest(), UUID(bytes=mark.digest()[:16])
        data = canonical_data({**facts, digest: here})
        body = canonical_bytes(stream=no_stream, seq=1, at=at, type=type, actor=actor, data=data)
        self._data = _around(data.encode(), here)
        before, rest = _around(body, str(no_stream))
        self._before = GENESIS + before
        self._between, self._after = _around(rest, here)

    def of(self, stream: UUID, digest: bytes) -> tuple[bytes, bytes]:
        """Return one stream's `data`, in UTF-8, and the event's hash."""
        # Neither an id nor a digest in hex holds anything to escape.
        spelled = digest.hex().encode()
        body = b"".join((self._before, str(stream).encode(), self._between, spelled, self._after))
        return spelled.join(self._data), hashlib.sha256(body).digest()


def _around(text: bytes, mark: str) -> tuple[bytes, bytes]:
    """Return what stands before the first of the marks, and what stands after it."""
    before, found, after = text.partition(mark.encode())
    assert found and mark.encode() not in after, "the mark stands in it once"
    return before, after


def first_break(events: Iterable[Event], *, after: Event | None = None) -> str | None:
    """Return what is wrong with a stream's first bad event, or None when the whole stream verifies.

    Shape: `events` is one stream from its first event on, in order of `seq`.

    Args:
        after: what comes before them, believed as it is; None: they are all of it.
    """
    seq, digest = (0, GENESIS) if after is None else (after.seq, after.hash)
    for event in events:
        if event.seq != seq + 1:
            return f"event {seq + 1} is missing: after {seq} comes {event.seq}"
        body = canonical_bytes(
            stream=event.stream, seq=event.seq, at=event.at, type=event.type, actor=event.actor, data=event.data
        )
        digest = hashlib.sha256(digest + body).digest()
        if digest != event.hash:
            return f"event {event.seq} does not match its hash"
        seq = event.seq
    return None
