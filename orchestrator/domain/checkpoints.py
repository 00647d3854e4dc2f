"""Checkpoints: what is signed, again and again, so that the history of a workspace cannot be written anew unseen.

A checkpoint holds a root over the heads of all streams that moved since the one before, and that one's hash. So the
chain of checkpoints commits to every head there ever was. The exact text is in `docs/audit-format.md`.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import UUID

from orchestrator.domain.chain import timestamp

FORMAT = "orchestrator-checkpoint/1"

#: What stands in the first checkpoint instead of the hash of one before.
NO_PREVIOUS = "0" * 64

KEY_ID_BYTES = 16
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64

#: A checkpoint is due so long after the last one when something happened since, seconds.
EVERY_S = 60.0
#: And so long after it when nothing did: silence is vouched for too.
AT_LEAST_EVERY_S = 3600.0

#: Heads that one checkpoint holds at most; what is left comes with the next, at once.
MAX_HEADS = 100_000

#: No transaction is open for so long. What it writes bears its begin's time: the next checkpoint looks back so far.
LOOK_BACK = timedelta(minutes=5)

#: Before any history of ours.
BEFORE_ALL = datetime(2000, 1, 1, tzinfo=UTC)

#: A head as it is kept: stream, seq, hash.
_PACKED = struct.Struct(">16sQ32s")

#: Numbers beyond it are nobody's: the database's own bound of a bigint.
MAX_NUMBER = 2**63 - 1

_BODY_FIELDS = {"at", "events", "format", "heads", "key", "number", "previous", "root", "streams", "workspace"}
_TIMESTAMP = re.compile(
    r"[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z", re.ASCII
)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class Unreadable(ValueError):
    """A text is not in the one form that it must have. The message says why, to stand after a colon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamHead:
    """The end of a stream, as a checkpoint holds it."""

    stream: UUID
    seq: int
    hash: bytes

    def line(self) -> str:
        """Return the line that the root is made of."""
        return f"{self.stream} {self.seq} {self.hash.hex()}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedHead:
    """A head that is to be anchored.

    Args:
        anchored_seq: where the stream stood in the last checkpoint that held it; 0 for a stream that none held yet.
    """

    head: StreamHead
    anchored_seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What is signed. `events` and `streams` count all that were ever anchored, `heads` those of this checkpoint."""

    number: int
    at: datetime
    workspace: UUID
    key: str
    previous: str
    root: str
    heads: int
    events: int
    streams: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCheckpoint:
    """A checkpoint as it is kept: its body's exact text, the signature over that, and the heads under its root."""

    body: str
    signature: bytes
    heads: Sequence[StreamHead] = ()


def is_due(last_at: datetime | None, *, now: datetime, has_news: bool) -> bool:
    """Tell whether the next checkpoint is to be signed now. A clock that was set back never holds it up for long."""
    if last_at is None:
        return True
    since_s = abs((now - last_at).total_seconds())
    return since_s >= (EVERY_S if has_news else AT_LEAST_EVERY_S)


def look_from(settled_until: datetime | None, *, now: datetime) -> datetime:
    """Return from when on events may not be anchored yet.

    Args:
        settled_until: what the last checkpoint left: everything before it is anchored, unless clocks went back.
    """
    return BEFORE_ALL if settled_until is None else min(settled_until, now - LOOK_BACK)


def pack_heads(heads: Iterable[StreamHead]) -> bytes:
    """Return heads as they are kept beside their checkpoint, in the order of its root."""
    return b"".join(_PACKED.pack(head.stream.bytes, head.seq, head.hash) for head in ordered(heads))


def unpack_heads(packed: bytes) -> tuple[StreamHead, ...]:
    """Return what `pack_heads` packed. Bytes that are no whole head are dropped: the count of heads shows them."""
    whole = packed[: len(packed) // _PACKED.size * _PACKED.size]
    return tuple(StreamHead(stream=UUID(bytes=s), seq=n, hash=h) for s, n, h in _PACKED.iter_unpack(whole))


def next_checkpoint(
    previous: str | None, moved: Sequence[MovedHead], *, workspace: UUID, at: datetime, key: str
) -> tuple[Checkpoint, tuple[StreamHead, ...]]:
    """Return the checkpoint that follows, and its heads in the order of the root.

    Checkpoints never go back in time, though clocks may.

    Args:
        previous: the body of the last one, None for the first.
        key: the id of the key that will sign it.
    """
    before = None if previous is None else read_body(previous)
    heads = ordered(each.head for each in moved)
    return Checkpoint(
        number=before.number + 1 if before else 1,
        at=max(at, before.at) if before else at,
        workspace=workspace,
        key=key,
        previous=NO_PREVIOUS if previous is None else body_hash(previous),
        root=root(heads),
        heads=len(heads),
        events=(before.events if before else 0) + sum(each.head.seq - each.anchored_seq for each in moved),
        streams=(before.streams if before else 0) + sum(each.anchored_seq == 0 for each in moved),
    ), heads


def ordered(heads: Iterable[StreamHead]) -> tuple[StreamHead, ...]:
    """Return heads in the order of their streams."""
    return tuple(sorted(heads, key=lambda head: head.stream.int))


def root(heads: Iterable[StreamHead]) -> str:
    """Return the hash over all heads, in the order of their streams, as hex."""
    digest = hashlib.sha256()
    for head in ordered(heads):
        digest.update(head.line().encode())
    return digest.hexdigest()


def body_text(checkpoint: Checkpoint) -> str:
    """Return exactly what is signed."""
    fields = {
        "at": timestamp(checkpoint.at),
        "events": checkpoint.events,
        "format": FORMAT,
        "heads": checkpoint.heads,
        "key": checkpoint.key,
        "number": checkpoint.number,
        "previous": checkpoint.previous,
        "root": checkpoint.root,
        "streams": checkpoint.streams,
        "workspace": str(checkpoint.workspace),
    }
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def body_hash(body: str) -> str:
    """Return the hash by which the next checkpoint names this one, as hex."""
    return hashlib.sha256(body.encode()).hexdigest()


def key_id(public_key: bytes) -> str:
    """Return the name of a key: the first half of its SHA-256, as hex."""
    return hashlib.sha256(public_key).digest()[:KEY_ID_BYTES].hex()


def read_body(text: str) -> Checkpoint:
    """Return the checkpoint that a body says.

    Raises:
        Unreadable: the text is not the canonical one of a checkpoint.
    """
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable("its body is not JSON") from None
    if not isinstance(fields, dict) or fields.keys() != _BODY_FIELDS or fields["format"] != FORMAT:
        raise Unreadable(f"its body is not that of an {FORMAT}")
    checkpoint = Checkpoint(
        number=read_number(fields["number"], "number"),
        at=read_timestamp(fields["at"], "at"),
        workspace=read_uuid(fields["workspace"], "workspace"),
        key=read_hex(fields["key"], "key", size_bytes=KEY_ID_BYTES).hex(),
        previous=read_hex(fields["previous"], "previous").hex(),
        root=read_hex(fields["root"], "root").hex(),
        heads=read_number(fields["heads"], "heads"),
        events=read_number(fields["events"], "events"),
        streams=read_number(fields["streams"], "streams"),
    )
    if body_text(checkpoint) != text:
        raise Unreadable("its body is not canonical JSON")
    return checkpoint


def read_timestamp(value: object, name: str) -> datetime:
    """Return a time that is written as `chain.timestamp` writes it."""
    if isinstance(value, str) and _TIMESTAMP.fullmatch(value):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            raise Unreadable(f"{name!r} is no day of the calendar") from None
    raise Unreadable(f"{name!r} is not a timestamp")


def read_uuid(value: object, name: str) -> UUID:
    """Return a UUID that is written in its one form: small letters, with hyphens."""
    found = _uuid(value) if isinstance(value, str) else None
    if found is None:
        raise Unreadable(f"{name!r} is not a UUID")
    return found


# All events of a stream stand together and name it.
@lru_cache(maxsize=1024)
def _uuid(text: str) -> UUID | None:
    return UUID(text) if _UUID.fullmatch(text) else None


def read_hex(value: object, name: str, *, size_bytes: int = 32) -> bytes:
    """Return bytes that are written as hex in small letters."""
    if isinstance(value, str) and len(value) == 2 * size_bytes:
        try:
            found = bytes.fromhex(value)
        except ValueError:
            raise Unreadable(f"{name!r} is not hex") from None
        if found.hex() == value:
            return found
    raise Unreadable(f"{name!r} is not {size_bytes} bytes in hex")


def read_number(value: object, name: str) -> int:
    """Return a count, or a place in an order. A bool is none, though Python thinks so."""
    if type(value) is int and 0 <= value <= MAX_NUMBER:
        return value
    raise Unreadable(f"{name!r} is not a number")
