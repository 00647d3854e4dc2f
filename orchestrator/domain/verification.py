"""Whether a history is what was signed: every event against its chain, every head against the checkpoints.

It reads once, from front to back, and keeps something for each stream and checkpoint, nothing for each event. After a
bad place it goes on: what can still be trusted is half of the answer. `tools/verify_audit.py` asks the same questions
and shares no code with this.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from orchestrator.domain.chain import GENESIS, Event, canonical_bytes, timestamp
from orchestrator.domain.checkpoint_chain import AnchoredHead, CheckpointChain, Flaw, Period, VerifySignature
from orchestrator.domain.checkpoints import SignedCheckpoint
from orchestrator.domain.retention import Retired, read_retired

EVERYTHING = Period()

#: So many bad streams are told by name.
_TOLD = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of a verification.

    Args:
        later_anchors: those that were signed after what was read was made, so that they are not in it.
        unanchored_events: events after the last checkpoint; nothing outside vouches for them yet.
        problem: the first bad place, in words; None when all is well.
        trusted: what can be relied on, in words, whether or not all is well.
        made_at: when an export says that it was made; nothing signed says so.
        retired: months that are not here, as the history itself tells. That it tells so is signed, and so are the ends
            of their streams.
    """

    ok: bool
    streams: int
    events: int
    checkpoints: int
    anchors: int
    later_anchors: int
    unanchored_events: int
    unanchored_since: datetime | None
    bad_streams: int
    problem: str | None
    trusted: str
    made_at: datetime | None = None
    retired: tuple[Retired, ...] = ()


def verify(
    events: Iterable[Event | Flaw],
    checkpoints: Iterable[SignedCheckpoint | Flaw],
    *,
    keys: Mapping[str, bytes],
    verify_signature: VerifySignature,
    anchors: Iterable[SignedCheckpoint | Flaw] = (),
    period: Period = EVERYTHING,
    workspace: UUID | None = None,
    made_at: datetime | None = None,
) -> Verdict:
    """Return whether events, checkpoints and anchors belong together.

    Args:
        events: whole streams, by stream and `seq`.
        checkpoints: all of them, in their order.
        keys: key id -> public key; only these are believed.
        anchors: checkpoints that were kept where nobody could change them.
        workspace: whose history it is; without it, whoever the first checkpoint names.
        made_at: when it was written out: anchors signed later are set apart. None: every anchor must be in it.
    """
    chain = CheckpointChain(keys=keys, verify_signature=verify_signature, period=period, workspace=workspace)
    for signed in checkpoints:
        chain.add(signed)
    for anchor in anchors:
        chain.compare(anchor, made_at=made_at)
    walk = _Walk(chain, workspace or chain.workspace)
    for event in events:
        walk.add(event)
    walk.finish()
    problem = chain.problem or walk.problem
    return Verdict(
        ok=problem is None,
        streams=walk.streams,
        events=walk.events,
        checkpoints=chain.read,
        anchors=chain.anchors,
        later_anchors=chain.later,
        unanchored_events=walk.unanchored,
        unanchored_since=walk.unanchored_since,
        bad_streams=walk.bad_streams,
        problem=problem,
        trusted=_trusted(chain, walk),
        retired=tuple(walk.retired),
    )


class _Walk:
    """Goes through all events, stream by stream."""

    def __init__(self, chain: CheckpointChain, workspace: UUID | None) -> None:
        self.streams = self.events = self.unanchored = self.bad_streams = 0
        self.unanchored_since: datetime | None = None
        self.problem: str | None = None
        #: The first bad streams, and the last event of each that a checkpoint vouches for.
        self.told: list[tuple[UUID, int]] = []
        self._chain = chain
        self._stream: UUID | None = None
        self._is_bad = False
        self._seq, self._digest, self._trusted_seq, self._tail_seq = 0, GENESIS, 0, 0
        self._next: AnchoredHead | None = None
        self._heads: list[AnchoredHead] = []
        #: Months that the workspace's own stream tells of, and a checkpoint holds that it does. What was told since the
        #: last one waits in `_telling`: whoever removes a stream could write that it was retired, but not sign it.
        self.retired: list[Retired] = []
        self._telling: list[Retired] = []
        #: Streams that go on after what was retired: with the checkpoint that holds where, and the next one of theirs.
        self._workspace = workspace
        self._continued: list[tuple[UUID, AnchoredHead, AnchoredHead | None]] = []

    def add(self, event: Event | Flaw) -> None:
        """Read the next event."""
        if isinstance(event, Flaw):
            self.problem = self.problem or str(event)
            return
        if event.stream is not self._stream and event.stream != self._stream:
            self._begin(event.stream)
        self.events += 1
        if not self._is_bad:
            self._link(event)

    def finish(self) -> None:
        """End the last stream, and look for those that never came."""
        self._end()
        self._stream = None
        for stream, at, following in self._continued:
            if not any(m.holds(stream) and _ends_there(m, at, following) for m in self.retired):
                self._stream, self._trusted_seq = stream, 0
                self._fail(f"event 1: is missing: it begins with event {at.seq + 1}, and no month was retired there")
        for stream, head in self._chain.missing():
            self._stream, self._trusted_seq = stream, 0
            if any(m.holds(stream) and _ends_there(m, head, None) for m in self.retired):
                continue
            self._fail(f"is missing, but checkpoint {head.checkpoint} holds its event {head.seq}")

    def _begin(self, stream: UUID) -> None:
        self._end()
        before, self._stream = self._stream, stream
        self.streams += 1
        self._is_bad = False
        self._telling = []
        self._seq, self._digest, self._trusted_seq = 0, GENESIS, 0
        self._heads = self._chain.heads_of(stream)
        self._tail_seq = self._heads[-1].seq + 1 if self._heads else 1
        self._heads.reverse()
        self._next = self._heads.pop() if self._heads else None
        if before is not None and stream.int < before.int:
            self._fail(f"stands after stream {before}, out of order")

    def _end(self) -> None:
        if self._stream is None or self._is_bad:
            return
        if self._next is not None:
            self._fail(
                f"ends with event {self._seq}, but checkpoint {self._next.checkpoint} holds its event "
                f"{self._next.seq}: its tail was cut"
            )
        elif self._seq >= self._tail_seq:
            self.unanchored += self._seq - self._tail_seq + 1

    def _link(self, event: Event) -> None:
        if self._seq == 0 and event.seq > 1:
            self._go_on_from(event.seq - 1)
        if event.seq != self._seq + 1:
            self._fail(f"event {self._seq + 1}: is missing: after {self._seq} comes {event.seq}")
            return
        body = canonical_bytes(
            stream=event.stream, seq=event.seq, at=event.at, type=event.type, actor=event.actor, data=event.data
        )
        self._digest = hashlib.sha256(self._digest + body).digest()
        if self._digest != event.hash:
            self._fail(f"event {event.seq}: does not match its hash")
            return
        self._seq = event.seq
        if event.stream == self._workspace and (month := read_retired(event)) is not None:
            self._telling.append(month)
        if self._next is not None and self._next.seq == self._seq:
            self._meet(self._next)
        elif self._seq == self._tail_seq:
            self._note_unanchored(event.at)

    def _go_on_from(self, seq: int) -> None:
        """Begin a stream after an end that a checkpoint holds; whether that was retired is asked at the end."""
        heads = [head for head in (self._next, *reversed(self._heads)) if head is not None]
        for at, head in enumerate(heads):
            if head.seq == seq:
                self._seq, self._digest = head.seq, head.hash
                self._heads = heads[:at:-1]
                self._next = self._heads.pop() if self._heads else None
                assert self._stream is not None, "it is a stream that goes on"
                self._continued.append((self._stream, head, self._next))
                return

    def _meet(self, head: AnchoredHead) -> None:
        if head.hash != self._digest:
            self._fail(f"event {head.seq}: is not the one that checkpoint {head.checkpoint} holds: it was written anew")
            return
        self._trusted_seq = head.seq
        self.retired += self._telling
        self._telling = []
        self._next = self._heads.pop() if self._heads else None

    def _note_unanchored(self, at: datetime) -> None:
        if self.unanchored_since is None or at < self.unanchored_since:
            self.unanchored_since = at

    def _fail(self, why: str) -> None:
        assert self._stream is not None, "it is a stream that fails"
        self._is_bad = True
        self.bad_streams += 1
        self.problem = self.problem or f"stream {self._stream}, {why}"
        if len(self.told) < _TOLD:
            self.told.append((self._stream, self._trusted_seq))


def _ends_there(month: Retired, head: AnchoredHead, following: AnchoredHead | None) -> bool:
    """Tell whether a head is the last of its stream that a retired month can have held."""
    return head.checkpoint <= month.checkpoint and (following is None or following.checkpoint > month.checkpoint)


def _trusted(chain: CheckpointChain, walk: _Walk) -> str:
    at = chain.sound_at()
    if at is None:
        return "nothing: no sound checkpoint vouches for anything"
    which = "checkpoint 1" if chain.sound == 1 else f"checkpoints 1 to {chain.sound}"
    said = f"{which}, of {timestamp(at)}, {'is' if chain.sound == 1 else 'are'} sound; "
    if chain.problem is None:
        said += "streams can be trusted up to their last event in them"
    else:
        said += "streams that did not move after it can be trusted up to there"
    if walk.bad_streams:
        said += ", except " + "; ".join(f"stream {stream} (up to event {seq})" for stream, seq in walk.told)
        more = walk.bad_streams - len(walk.told)
        said += f"; and {more} more" if more else ""
    return said
