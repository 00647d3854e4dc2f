"""Ways to tamper with an export. Whoever tampers knows the format: the manifest is always made to fit.

Each returns None where the world gives no occasion, or what it did would change nothing that anybody could read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from orchestrator.domain import audit_export, chain
from orchestrator.domain.chain import Event
from orchestrator.domain.checkpoints import StreamHead, read_body
from tests.audit.worlds import World, public, sealed, sign_next, with_manifest

#: The order of Ed25519's group: a signature plus this is another text of the same signature.
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493


@dataclass(frozen=True, slots=True, kw_only=True)
class Tampered:
    """An export that is not true any more, and what it takes to see that."""

    files: dict[str, bytes]
    says: str
    needs_key: bool = False
    needs_anchors: bool = False


Mutation = Callable[[World, Random], Tampered | None]


def changed_byte(world: World, random: Random) -> Tampered | None:
    """One byte, anywhere in the three files."""
    files = world.files()
    name = random.choice([audit_export.EVENTS] * 7 + [audit_export.CHECKPOINTS] * 2 + [audit_export.KEYS])
    content = bytearray(files[name])
    place = random.randrange(len(content))
    before = content[place]
    content[place] = random.choice(
        [before ^ 1 << random.randrange(8), random.randrange(256), random.randrange(32, 127)]
    )
    if _meaning(bytes(content)) == _meaning(files[name]):
        return None
    says = f"byte {place} of {name}: {before:#x} -> {content[place]:#x}"
    return Tampered(files=with_manifest(world, _without_manifest(files) | {name: bytes(content)}), says=says)


def removed_event(world: World, random: Random) -> Tampered | None:
    """An event before the end is left out; the rest keeps its numbers, gets new ones, or new hashes too."""
    stream, seq = _anchored_event(world, random)
    events = world.streams[stream]
    rest = [event for event in events if event.seq != seq]
    how = random.choice(["gap", "renumbered", "hashed anew"])
    if how == "gap" and seq == len(events):
        how = "hashed anew"
    if not rest and stream not in world.required():
        return None
    world.streams[stream] = rest if how == "gap" else _renumbered(rest, anew=how == "hashed anew")
    return _found(world, f"event {seq} of {stream} removed, {how}")


def inserted_event(world: World, random: Random) -> Tampered | None:
    """A made-up event among anchored ones; with its own hash right, or all that follow too, or a number twice."""
    stream, seq = _anchored_event(world, random)
    events = world.streams[stream]
    before = events[seq - 2].hash if seq > 1 else chain.GENESIS
    made_up = _hashed(replace(events[seq - 1], type="approved", data='{"by":"nobody"}'), before)
    how = random.choice(["number twice", "renumbered", "hashed anew"])
    longer = [*events[: seq - 1], made_up, *events[seq - 1 :]]
    world.streams[stream] = longer if how == "number twice" else _renumbered(longer, anew=how == "hashed anew")
    return _found(world, f"event inserted before {seq} of {stream}, {how}")


def reordered_events(world: World, random: Random) -> Tampered | None:
    """Two lines change places, or two events of a stream change their contents, or two streams their places."""
    lines = world.files()[audit_export.EVENTS].splitlines(keepends=True)
    how = random.choice(["lines", "contents", "streams"])
    if how == "lines":
        one, other = random.sample(range(len(lines)), 2)
        lines[one], lines[other] = lines[other], lines[one]
        return Tampered(files=sealed(world, lines), says=f"lines {one + 1} and {other + 1} changed places")
    if how == "streams":
        named = list(world.exported().values())
        one, other = random.sample(range(len(named)), 2)
        named[one], named[other] = named[other], named[one]
        lines = [audit_export.event_line(event).encode() for events in named for event in events]
        return Tampered(files=sealed(world, lines), says=f"streams {one} and {other} changed places")
    stream, seq = _anchored_event(world, random)
    events = world.streams[stream]
    if seq == 1:
        return None
    first, second = events[seq - 2], events[seq - 1]
    if (first.type, first.actor, first.data, first.at) == (second.type, second.actor, second.data, second.at):
        return None
    events[seq - 2 : seq] = [replace(second, seq=seq - 1), replace(first, seq=seq)]
    world.streams[stream] = random.choice([events, _renumbered(events, anew=True)])
    return _found(world, f"events {seq - 1} and {seq} of {stream} exchanged")


def removed_stream(world: World, random: Random) -> Tampered | None:
    """A whole stream that checkpoints hold is left out."""
    stream = random.choice(sorted(world.required(), key=str))
    lines = [
        audit_export.event_line(event).encode()
        for name, events in world.exported().items()
        if name != stream
        for event in events
    ]
    return Tampered(files=sealed(world, lines), says=f"stream {stream} removed")


def cut_tail(world: World, random: Random) -> Tampered | None:
    """The end is cut off: of a stream, of the checkpoints, or of both together."""
    how = random.choice(["stream", "checkpoints", "both"])
    if how == "stream":
        stream, seq = _anchored_event(world, random)
        if seq == 1 and stream not in world.required():
            return None
        world.streams[stream] = world.streams[stream][: seq - 1]
        return _found(world, f"{stream} cut before event {seq}")
    count = random.randrange(len(world.checkpoints))
    world.checkpoints = world.checkpoints[:count]
    if how == "both":
        world.streams = {s: e[: world.anchored_seq(s)] for s, e in world.streams.items() if world.anchored_seq(s)}
    return Tampered(files=world.files(), says=f"only {count} checkpoints left, {how}", needs_anchors=True)


def forged_signature(world: World, random: Random) -> Tampered | None:
    """A signature that is none, is another key's, or is the same one in another form."""
    index = random.randrange(len(world.checkpoints))
    signed = world.checkpoints[index]
    stranger = Ed25519PrivateKey.from_private_bytes(random.randbytes(32))
    how = random.choice(["bit", "stranger", "other form", "other checkpoint", "keys exchanged"])
    if how == "keys exchanged":
        return _signed_anew(world, index, stranger)
    signature = bytearray(signed.signature)
    if how == "bit":
        signature[random.randrange(64)] ^= 1 << random.randrange(8)
    elif how == "stranger":
        signature = bytearray(stranger.sign(signed.body.encode()))
    elif how == "other form":
        signature[32:] = (int.from_bytes(signature[32:], "little") + GROUP_ORDER).to_bytes(32, "little")
    else:
        signature = bytearray(world.checkpoints[index - 1].signature)
    world.checkpoints[index] = replace(signed, signature=bytes(signature))
    keys = [public(world.key), public(stranger)]
    return Tampered(files=_files(world, keys=keys), says=f"signature of checkpoint {index + 1}: {how}")


def rewritten_stream(world: World, random: Random) -> Tampered | None:
    """An anchored event is changed and all hashes after it made to fit; perhaps the checkpoints too."""
    stream, seq = _anchored_event(world, random)
    events = world.streams[stream]
    old = events[seq - 1]
    new = random.choice(
        [
            replace(old, actor="token:innocent"),
            replace(old, data='{"n":0,"word":"nothing"}'),
            replace(old, at=old.at - timedelta(microseconds=1)),
            replace(old, type="approved"),
        ]
    )
    world.streams[stream] = _renumbered([*events[: seq - 1], new, *events[seq:]], anew=True)
    how = random.choice(["as they were", "by the key's holder", "by a stranger"])
    says = f"event {seq} of {stream} rewritten, checkpoints {how}"
    if how == "as they were":
        return _found(world, says)
    first = min(
        i for i, each in enumerate(world.checkpoints) if any(h.stream == stream and h.seq >= seq for h in each.heads)
    )
    key = world.key if how == "by the key's holder" else Ed25519PrivateKey.from_private_bytes(random.randbytes(32))
    tampered = _signed_anew(world, first, key)
    return replace(tampered, says=says, needs_anchors=key is world.key)


def changed_checkpoint(world: World, random: Random) -> Tampered | None:
    """What a checkpoint says is changed: its body, signed anew or not, or the heads that come with it."""
    index = random.randrange(len(world.checkpoints))
    signed = world.checkpoints[index]
    how = random.choice(["body", "signed body", "head", "head left out", "spaces"])
    if how.startswith("head"):
        heads = _with_other_heads(signed.heads, random, is_left_out=how == "head left out")
        if heads is None:
            return None
        world.checkpoints[index] = replace(signed, heads=heads)
        return Tampered(files=_files(world), says=f"checkpoint {index + 1}: {how}")
    body = signed.body.replace(",", ", ", 1) if how == "spaces" else _other_body(signed.body, random)
    signature = world.key.sign(body.encode()) if how == "signed body" else signed.signature
    world.checkpoints[index] = replace(signed, body=body, signature=signature)
    return Tampered(
        files=_files(world), says=f"checkpoint {index + 1}: {how}: {body}", needs_anchors=how == "signed body"
    )


MUTATIONS: Sequence[Mutation] = (
    changed_byte,
    removed_event,
    inserted_event,
    reordered_events,
    removed_stream,
    cut_tail,
    forged_signature,
    rewritten_stream,
    changed_checkpoint,
)


def tamper(world: World, mutation: Mutation, random: Random) -> Tampered | None:
    """Return a tampered export, whose bytes surely differ from the true one's."""
    tampered = mutation(world.copy(), random)
    true = world.files()
    if tampered is None or all(tampered.files[name] == true[name] for name in (_without_manifest(true))):
        return None
    return tampered


def _anchored_event(world: World, random: Random) -> tuple[UUID, int]:
    """Return an event that a checkpoint vouches for, of a stream that is exported."""
    stream = random.choice([stream for stream in world.exported() if world.anchored_seq(stream)])
    return stream, random.randint(1, world.anchored_seq(stream))


def _hashed(event: Event, before: bytes) -> Event:
    body = chain.canonical_bytes(
        stream=event.stream, seq=event.seq, at=event.at, type=event.type, actor=event.actor, data=event.data
    )
    return replace(event, hash=hashlib.sha256(before + body).digest())


def _renumbered(events: Sequence[Event], *, anew: bool) -> list[Event]:
    found, before = list[Event](), chain.GENESIS
    for seq, event in enumerate(events, 1):
        renumbered = replace(event, seq=seq)
        found.append(_hashed(renumbered, before) if anew else renumbered)
        before = found[-1].hash
    return found


def _found(world: World, says: str) -> Tampered:
    return Tampered(files=_files(world), says=says)


def _files(world: World, *, keys: Sequence[bytes] = ()) -> dict[str, bytes]:
    events = [event for stream in world.exported().values() for event in stream]
    return sealed(world, [audit_export.event_line(event).encode() for event in events], keys=keys)


def _signed_anew(world: World, index: int, key: Ed25519PrivateKey) -> Tampered:
    """Make checkpoints from one on anew, over the streams as they are now."""
    old, world.checkpoints = world.checkpoints, world.checkpoints[:index]
    full = world.streams
    for each in old[index:]:
        reach = {head.stream: head.seq for head in [h for c in world.checkpoints for h in c.heads] + list(each.heads)}
        world.streams = {s: full[s][: reach[s]] for s in full if s in reach}
        sign_next(world, at=read_body(each.body).at, key=key)
    world.streams = full
    keys = [public(world.key), public(key)] if key is not world.key else [public(key)]
    return Tampered(
        files=_files(world, keys=keys), says=f"checkpoints from {index + 1} on by another key", needs_key=True
    )


def _with_other_heads(
    heads: Sequence[StreamHead], random: Random, *, is_left_out: bool
) -> tuple[StreamHead, ...] | None:
    if not heads:
        return None
    at = random.randrange(len(heads))
    if is_left_out:
        return (*heads[:at], *heads[at + 1 :])
    other = random.choice([replace(heads[at], seq=heads[at].seq + 1), replace(heads[at], hash=random.randbytes(32))])
    return (*heads[:at], other, *heads[at + 1 :])


def _other_body(body: str, random: Random) -> str:
    fields: dict[str, Any] = json.loads(body)
    name = random.choice(sorted(fields))
    match fields[name]:
        case int(number):
            fields[name] = number + random.choice([1, -1, 1000])
        case str(text) if name == "at":
            fields[name] = text[:-2] + ("1Z" if text[-2] != "1" else "2Z")
        case text:
            at = random.randrange(len(text))
            fields[name] = text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _without_manifest(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: text for name, text in files.items() if name != audit_export.MANIFEST}


def _meaning(text: bytes) -> object:
    """Return what JSON lines say: the same thing may be written in two ways, as an escape in small or large letters."""
    try:
        return [json.loads(line) for line in text.decode().split("\n")[:-1]]
    except ValueError:
        return text
