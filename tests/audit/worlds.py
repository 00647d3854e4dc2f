"""Small histories with checkpoints and anchors, made from a seed, and their exports."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from orchestrator.domain import audit_export, chain, checkpoints
from orchestrator.domain.audit_export import FileFacts, Manifest
from orchestrator.domain.chain import Event, Head, NewEvent
from orchestrator.domain.checkpoint_chain import Period
from orchestrator.domain.checkpoints import MovedHead, SignedCheckpoint, StreamHead, read_body
from orchestrator.domain.verification import EVERYTHING

BEGIN = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
WORDS = ["Grüße", 'a "quoted" word', "back\\slash", "line\nfeed", "\x1f control", "日本", "𝄞", "</script>", ""]


@dataclass(kw_only=True)
class World:
    """A history with its checkpoints, and the copy of them that was kept outside."""

    workspace: UUID
    key: Ed25519PrivateKey
    streams: dict[UUID, list[Event]] = field(default_factory=dict)
    checkpoints: list[SignedCheckpoint] = field(default_factory=list)
    anchors: list[SignedCheckpoint] = field(default_factory=list)
    period: Period = EVERYTHING
    #: Which streams are exported, where that is not to change with what is done to them.
    chosen: set[UUID] | None = None

    def copy(self) -> World:
        """Return another one that can be tampered with; the same streams of it are exported."""
        return replace(
            self,
            streams={stream: list(events) for stream, events in self.streams.items()},
            checkpoints=list(self.checkpoints),
            chosen=set(self.exported()),
        )

    def anchored_seq(self, stream: UUID) -> int:
        """Return the last event of a stream that a checkpoint holds; 0 for none."""
        return max((head.seq for each in self.checkpoints for head in each.heads if head.stream == stream), default=0)

    def required(self) -> set[UUID]:
        """Return the streams that an export must hold for the sake of a checkpoint."""
        found, before = set[UUID](), None
        for each in self.checkpoints:
            at = read_body(each.body).at
            begun = self.period.since is None or (before is not None and before >= self.period.since)
            if begun and (self.period.until is None or at <= self.period.until):
                found |= {head.stream for head in each.heads}
            before = at
        return found

    def exported(self) -> dict[UUID, list[Event]]:
        """Return the streams of the export, in order."""
        chosen = self.chosen if self.chosen is not None else self.required() | set(self._moved_in_period())
        return {s: self.streams[s] for s in sorted(self.streams, key=lambda s: s.int) if s in chosen}

    def _moved_in_period(self) -> Iterator[UUID]:
        since, until = self.period.since or BEGIN, self.period.until or datetime.max.replace(tzinfo=UTC)
        return (s for s, events in self.streams.items() if any(since <= event.at < until for event in events))

    def files(self) -> dict[str, bytes]:
        """Return the export's files, by name."""
        events = [event for stream in self.exported().values() for event in stream]
        return sealed(self, [audit_export.event_line(event).encode() for event in events])


def public(key: Ed25519PrivateKey) -> bytes:
    """Return a key's public half."""
    return key.public_key().public_bytes_raw()


def verify_signature(public_key: bytes, body: bytes, signature: bytes) -> bool:
    """Tell whether a signature is good, by the library that the product uses."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, body)
    except (InvalidSignature, ValueError):
        return False
    return True


def make_world(seed: int, *, streams: int = 10, rounds: int = 8, most: int = 3) -> World:
    """Return a history: in each round some streams move, then there is a checkpoint; at last some move once more."""
    random = Random(seed)
    key = Ed25519PrivateKey.from_private_bytes(random.randbytes(32))
    names = sorted((UUID(bytes=random.randbytes(16), version=4) for _ in range(streams)), key=lambda s: s.int)
    world = World(workspace=names[streams // 2], key=key)
    at = BEGIN
    for number in range(rounds + 1):
        for stream in names:
            if random.random() < (0.4 if number else 0.6):
                at += timedelta(seconds=random.randint(0, 5), microseconds=random.randint(0, 999_999))
                grow(world, stream, count=random.randint(1, most), at=at, random=random)
        if number < rounds:
            at += timedelta(seconds=60)
            sign_next(world, at=at)
    world.anchors = list(world.checkpoints)
    if seed % 3 == 2:
        times = [read_body(each.body).at for each in world.checkpoints]
        since, until = times[random.randrange(2)], times[-random.randrange(1, 4)]
        world.period = random.choice([Period(since=since, until=until), Period(until=until), Period(since=since)])
    return world


def grow(world: World, stream: UUID, *, count: int, at: datetime, random: Random) -> None:
    """Append to a stream."""
    events = world.streams.setdefault(stream, [])
    head = Head(seq=events[-1].seq, hash=events[-1].hash, at=events[-1].at) if events else Head()
    new = [
        NewEvent(
            type=random.choice(["launched", "looked", "finished", "paused"]),
            actor=random.choice(["orchestrator", "token:Müller"]),
            data={"n": random.randrange(10**6), "word": random.choice(WORDS)},
        )
        for _ in range(count)
    ]
    events += chain.append(head, stream, new, at=at)[0]


def sign_next(world: World, *, at: datetime, key: Ed25519PrivateKey | None = None) -> None:
    """Make the next checkpoint, over all that has moved."""
    anchored = {head.stream: head.seq for each in world.checkpoints for head in each.heads}
    moved = [
        MovedHead(head=StreamHead(stream=s, seq=e[-1].seq, hash=e[-1].hash), anchored_seq=anchored.get(s, 0))
        for s, e in world.streams.items()
        if e[-1].seq > anchored.get(s, 0)
    ]
    previous = world.checkpoints[-1].body if world.checkpoints else None
    signer = key or world.key
    body, heads = checkpoints.next_checkpoint(
        previous, moved, workspace=world.workspace, at=at, key=checkpoints.key_id(public(signer))
    )
    text = checkpoints.body_text(body)
    world.checkpoints.append(SignedCheckpoint(body=text, signature=signer.sign(text.encode()), heads=heads))


def sealed(
    world: World, events: Sequence[bytes], *, others: Sequence[bytes] | None = None, keys: Sequence[bytes] = ()
) -> dict[str, bytes]:
    """Return files with a manifest that fits them: who tampers can write that anew, too.

    Args:
        others: the lines of the checkpoints, if not the world's.
    """
    lines = [audit_export.checkpoint_line(each).encode() for each in world.checkpoints] if others is None else others
    files = {
        audit_export.EVENTS: b"".join(events),
        audit_export.CHECKPOINTS: b"".join(lines),
        audit_export.KEYS: audit_export.keys_text(keys or [public(world.key)]).encode(),
    }
    return with_manifest(world, files)


def with_manifest(world: World, files: dict[str, bytes]) -> dict[str, bytes]:
    """Return files with a manifest that fits what is in them, as far as it can be read."""
    events = files[audit_export.EVENTS].split(b"\n")[:-1]
    readable = []
    for line in events:
        try:
            readable.append(audit_export.read_event(line))
        except checkpoints.Unreadable:
            continue
    manifest = Manifest(
        workspace=world.workspace,
        since=world.period.since,
        until=world.period.until,
        made_at=BEGIN + timedelta(days=1),
        made_by="token:audit",
        streams=sum(one.stream != other for one, other in zip(readable, [None, *(e.stream for e in readable)])),  # noqa: B905
        events=len(readable),
        checkpoints=files[audit_export.CHECKPOINTS].count(b"\n"),
        files={
            name: FileFacts(sha256=hashlib.sha256(text).hexdigest(), bytes=len(text), lines=text.count(b"\n"))
            for name, text in files.items()
        },
    )
    return {**files, audit_export.MANIFEST: audit_export.manifest_text(manifest).encode()}


def write(files: dict[str, bytes], folder: Path) -> None:
    """Write an export."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_bytes(text)


def anchors_text(world: World) -> bytes:
    """Return the copy that was kept outside."""
    return "".join(audit_export.anchor_line(each) for each in world.anchors).encode()
