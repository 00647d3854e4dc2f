"""Whether checkpoints follow one another, are signed, and are the ones that were anchored; and which heads they hold.

Checkpoints are few beside events: a digest of each is kept, and of each stream its heads, packed.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from uuid import UUID

from orchestrator.domain.chain import timestamp
from orchestrator.domain.checkpoints import (
    NO_PREVIOUS,
    Checkpoint,
    SignedCheckpoint,
    StreamHead,
    Unreadable,
    body_hash,
    read_body,
    root,
)

#: (public key, signed bytes, signature) -> whether the signature is the key's.
VerifySignature = Callable[[bytes, bytes, bytes], bool]

#: seq, number of the checkpoint, hash.
_HEAD = struct.Struct(">QQ32s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """A line that could not be read: where it stands, and why not."""

    place: str
    why: str

    def __str__(self) -> str:
        return f"{self.place}: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Which streams are there to be looked at: those that moved in a time; without bounds, all."""

    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_everything(self) -> bool:
        """Tell whether no stream may be missing."""
        return self.since is None and self.until is None

    def holds(self, before: datetime | None, at: datetime) -> bool:
        """Tell whether what moved between a checkpoint and the one before must be there."""
        begun = self.since is None or (before is not None and before >= self.since)
        return begun and (self.until is None or at <= self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchoredHead:
    """A head that a sound checkpoint holds."""

    seq: int
    hash: bytes
    checkpoint: int


class CheckpointChain:
    """Reads checkpoints in their order, then the anchors, and knows what is sound.

    Shape: `read` counts what was read, `sound` how many from the first on are sound, `problem` is the first bad place.
    """

    def __init__(
        self,
        *,
        keys: Mapping[str, bytes],
        verify_signature: VerifySignature,
        period: Period,
        workspace: UUID | None = None,
    ) -> None:
        self.read = 0
        self.sound = 0
        #: Anchors that were compared, and those that are later than what was read.
        self.anchors = self.later = 0
        self.problem: str | None = None
        self._keys = keys
        self._verify_signature = verify_signature
        self._period = period
        self._workspace = workspace
        self._last: tuple[Checkpoint, str] | None = None
        self._known: list[tuple[bytes, datetime | None]] = []
        self._heads: dict[bytes, bytearray] = {}
        #: Of a period: stream -> the first checkpoint for whose sake it must be there.
        self._required: dict[bytes, int] = {}

    @property
    def workspace(self) -> UUID | None:
        """Whose history it is: what was asked for, else whom the last sound checkpoint names."""
        return self._workspace or (self._last[0].workspace if self._last else None)

    def add(self, signed: SignedCheckpoint | Flaw) -> None:
        """Read the next checkpoint. After the first bad one, others are known for the anchors' sake only."""
        self.read += 1
        if isinstance(signed, Flaw):
            self._known.append((b"", None))
            self._complain(str(signed))
            return
        known: datetime | None = None
        if self.problem is None:
            try:
                checkpoint = self._checked(signed)
            except Unreadable as wrong:
                self._complain(f"checkpoint {self.read}: {wrong}")
            else:
                known = checkpoint.at
                self._keep(checkpoint, signed)
        self._known.append((_digest(signed), known))

    def compare(self, anchor: SignedCheckpoint | Flaw, *, made_at: datetime | None = None) -> None:
        """Look for a checkpoint that was kept outside among those that were read.

        Args:
            made_at: when these were read; one that was signed later cannot be among them, and is set apart.
        """
        if isinstance(anchor, Flaw):
            self.anchors += 1
            self._complain(str(anchor))
            return
        try:
            body = read_body(anchor.body)
        except Unreadable as wrong:
            self.anchors += 1
            self._complain(f"anchor {self.anchors + self.later}: {wrong}")
            return
        number = body.number
        if number > self.read and made_at is not None and body.at > made_at:
            self.later += 1
            return
        self.anchors += 1
        if not 1 <= number <= self.read:
            self._complain(f"checkpoint {number}: was anchored outside and is missing: the tail was cut")
        elif self._known[number - 1][0] != _digest(anchor):
            self._distrust(number, "is not the one that was anchored outside: history was written anew")

    def heads_of(self, stream: UUID) -> list[AnchoredHead]:
        """Return the heads of a stream in sound checkpoints, in order, and forget the stream: it is there."""
        self._required.pop(stream.bytes, None)
        return self._unpacked(self._heads.pop(stream.bytes, b""))

    def missing(self) -> Iterator[tuple[UUID, AnchoredHead]]:
        """Yield the streams that must be there and were not asked for, with the last head that is known of each."""
        names = self._heads if self._period.is_everything else self._required
        for name in sorted(names):
            heads = self._unpacked(self._heads.get(name, b""))
            if heads and self._required.get(name, 0) <= self.sound:
                yield UUID(bytes=name), heads[-1]

    def sound_at(self) -> datetime | None:
        """Return the time of the last sound checkpoint."""
        return self._known[self.sound - 1][1] if self.sound else None

    def _checked(self, signed: SignedCheckpoint) -> Checkpoint:
        checkpoint = read_body(signed.body)
        key = self._keys.get(checkpoint.key)
        if key is None:
            raise Unreadable(f"is signed by the key {checkpoint.key}, which is not one of those that are trusted")
        if not self._verify_signature(key, signed.body.encode(), signed.signature):
            raise Unreadable("its signature is not that of its key over its body")
        self._check_place(checkpoint)
        self._check_heads(checkpoint, signed)
        return checkpoint

    def _check_place(self, checkpoint: Checkpoint) -> None:
        last, last_body = self._last or (None, None)
        if checkpoint.number != self.read:
            raise Unreadable(f"is missing; number {checkpoint.number} stands in its place")
        if checkpoint.previous != (NO_PREVIOUS if last_body is None else body_hash(last_body)):
            raise Unreadable("does not follow the checkpoint before it: it names another one's hash")
        if checkpoint.workspace != (self._workspace or (last.workspace if last else checkpoint.workspace)):
            raise Unreadable(f"is of another workspace, {checkpoint.workspace}")
        if last is not None and checkpoint.at < last.at:
            raise Unreadable(f"is of {timestamp(checkpoint.at)}, before the checkpoint before it")

    def _check_heads(self, checkpoint: Checkpoint, signed: SignedCheckpoint) -> None:
        if len(signed.heads) != checkpoint.heads:
            raise Unreadable(f"says {checkpoint.heads} heads and comes with {len(signed.heads)}")
        if any(one.stream.int >= other.stream.int for one, other in pairwise(signed.heads)):
            raise Unreadable("its heads are not in the order of their streams")
        if root(signed.heads) != checkpoint.root:
            raise Unreadable("its heads do not give its root")
        last = self._last[0] if self._last else None
        befores = [self._last_seq(head) for head in signed.heads]
        if any(head.seq <= before for head, before in zip(signed.heads, befores, strict=True)):
            raise Unreadable("it holds a head that has not moved")
        moved = sum(head.seq for head in signed.heads) - sum(befores)
        if checkpoint.events != (last.events if last else 0) + moved:
            raise Unreadable("its number of events is not that of its heads")
        if checkpoint.streams != (last.streams if last else 0) + befores.count(0):
            raise Unreadable("its number of streams is not that of its heads")

    def _keep(self, checkpoint: Checkpoint, signed: SignedCheckpoint) -> None:
        before = self._last[0].at if self._last else None
        is_required = not self._period.is_everything and self._period.holds(before, checkpoint.at)
        for head in signed.heads:
            packed = self._heads.setdefault(head.stream.bytes, bytearray())
            packed += _HEAD.pack(head.seq, checkpoint.number, head.hash)
            if is_required:
                self._required.setdefault(head.stream.bytes, checkpoint.number)
        self._last = (checkpoint, signed.body)
        self.sound = checkpoint.number

    def _last_seq(self, head: StreamHead) -> int:
        packed = self._heads.get(head.stream.bytes)
        return int(_HEAD.unpack_from(packed, len(packed) - _HEAD.size)[0]) if packed else 0

    def _unpacked(self, packed: bytes | bytearray) -> list[AnchoredHead]:
        heads = (AnchoredHead(seq=s, hash=h, checkpoint=n) for s, n, h in _HEAD.iter_unpack(packed))
        return [head for head in heads if head.checkpoint <= self.sound]

    def _distrust(self, number: int, why: str) -> None:
        """From a checkpoint on nothing is sound. An earlier place than the one that is known is the first."""
        if self.problem is None or number <= self.sound:
            self.problem = f"checkpoint {number}: {why}"
        self.sound = min(self.sound, number - 1)

    def _complain(self, problem: str) -> None:
        self.problem = self.problem or problem


def _digest(signed: SignedCheckpoint) -> bytes:
    body = signed.body.encode()
    return hashlib.sha256(b"%d:%s%s" % (len(body), body, signed.signature)).digest()
