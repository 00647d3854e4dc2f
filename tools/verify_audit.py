#!/usr/bin/env python3
"""Verify an audit export of Orchestrator, offline, with nothing but Python (3.9 or newer).

This file was written from the description of the format (docs/audit-format.md in the product's source) and shares no
code with the product: it is the second opinion. Read it before you rely on it; it is meant to be read.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import datetime
import functools
import hashlib
import json
import re
import stat
import sys
from collections.abc import Callable, Iterator
from json.encoder import encode_basestring as quoted
from pathlib import Path
from typing import Any

Point = tuple[int, int, int, int]  # X, Y, Z, T
Head = tuple[int, bytes, int]  # seq, hash, number of the checkpoint

TEACHING = """\
what is checked
  Every event carries a hash over itself and the event before it, so nothing in a stream can be changed, removed,
  inserted or moved without all later hashes changing. Signed checkpoints hold the last hash of every stream that
  moved, and each names the checkpoint before it. So a signature vouches for everything up to it.

what you need for what
  EXPORT alone          The public key is taken from the export itself. That shows that the export is of one piece;
                        whoever made it could have made another one, with another key.
  --key                 The public key, had from elsewhere (ask the operator once, early, and keep it). It shows that
                        the holder of the signing key signed this history. May be given more than once.
  --anchors             The copy of checkpoints that was written outside (a folder, a log collector). It shows that
                        not even the holder of the key has rewritten the history since, or cut off its end.
                        Anchors that were signed after the export was made are not in it: they are set apart, and
                        counted. When it was made is what the export says: compare it with when you got it.
  --every-anchor        Set none apart: whatever is anchored must be in the export.

answers
  exit code 0           sound
  exit code 8           not sound, or not readable; the first bad place and what can still be trusted are printed
  exit code 2           the command line makes no sense

examples
  python verify_audit.py export-2026-11
  python verify_audit.py export-2026-11 --key orchestrator.pub --anchors anchors.jsonl
  python verify_audit.py export-2026-11 --key "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
"""

SOUND, USAGE, UNSOUND = 0, 2, 8

LONGEST_LINE = 256 * 1024 * 1024
LONGEST_SMALL_FILE = 1024 * 1024
LARGEST = 2**63 - 1

HEX_32 = re.compile("[0-9a-f]{64}")
HEX_16 = re.compile("[0-9a-f]{32}")
UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
STAMP = re.compile("([1-9][0-9]{3}-[0-9]{2}-[0-9]{2})T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9][.][0-9]{6}Z")


class Wrong(Exception):
    """Something that is not as the format says. Its text is a sentence for people."""


# --- Ed25519 (RFC 8032, section 5.1): verification only --------------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
IDENTITY = (0, 1, 1, 0)


def add(p: Point, q: Point) -> Point:
    """Return the sum of two points in extended coordinates (X, Y, Z, T)."""
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * D * p[3] * q[3] % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def decompress(encoded: bytes) -> Point | None:
    """Return the point that 32 bytes encode, None when they encode none or not in the canonical way."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if (v * x * x - u) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (v * x * x - u) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def compress(point: Point) -> bytes:
    """Return the 32 bytes of a point."""
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def multiples(point: Point) -> list[list[Point]]:
    """Return 64 rows of sixteen: row i holds 0 to 15 times 16^i times the point. Then a product is 64 additions."""
    rows = []
    for _ in range(64):
        row = [IDENTITY]
        for _ in range(15):
            row.append(add(row[-1], point))
        rows.append(row)
        point = add(row[-1], point)
    return rows


@functools.lru_cache(maxsize=64)
def key_multiples(public_key: bytes) -> list[list[Point]] | None:
    """Return the multiples of a public key's negative, None for a key that is none, or of small order."""
    point = decompress(public_key)
    if point is None:
        return None
    eightfold = point
    for _ in range(3):
        eightfold = add(eightfold, eightfold)
    if compress(eightfold) == compress(IDENTITY):
        return None
    return multiples((P - point[0], point[1], 1, P - point[3]))


@functools.lru_cache(maxsize=1)
def base_multiples() -> list[list[Point]]:
    """Return the multiples of the base point: the one with y = 4/5 and an even x."""
    base = decompress((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
    assert base is not None, "the base point lies on the curve"
    return multiples(base)


def is_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether a signature is the key's over the message: whether [S]B - [k]A encodes to R."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    s = int.from_bytes(signature[32:], "little")
    rows = key_multiples(public_key)
    if s >= L or rows is None:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public_key + message).digest(), "little") % L
    found = IDENTITY
    for i, (of_base, of_key) in enumerate(zip(base_multiples(), rows)):  # noqa: B905 - `strict` is of Python 3.10
        found = add(found, of_base[s >> 4 * i & 15])
        found = add(found, of_key[k >> 4 * i & 15])
    return compress(found) == signature[:32]


# --- Reading: one meaning for each text, or none ---------------------------------------------------------------------


def no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a JSON object, unless a name stands twice in it."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Wrong("a name stands twice in an object")
    return found


def bounded(digits: str) -> int:
    """Make a JSON integer, unless it is beyond all reason."""
    if len(digits) > 20:
        raise Wrong("a number is too large")
    return int(digits)


def no_constant(word: str) -> None:
    """Refuse NaN and the infinities, which are not JSON."""
    raise Wrong(f"{word} is not JSON")


JSON = json.JSONDecoder(object_pairs_hook=no_name_twice, parse_int=bounded, parse_constant=no_constant)


def parsed(text: bytes | str, *names: str) -> dict[str, Any]:
    """Return a JSON object with exactly these names; without any, whatever names it has."""
    try:
        found = JSON.decode(text.decode("utf-8") if isinstance(text, bytes) else text)
    except UnicodeDecodeError:
        raise Wrong("is not UTF-8") from None
    except (ValueError, RecursionError):
        raise Wrong("is not JSON") from None
    if type(found) is not dict:
        raise Wrong("is not a JSON object")
    if names and set(found) != set(names):
        odd = sorted(set(found) ^ set(names))
        raise Wrong(
            "has not exactly the names it must have: {}".format(", ".join(ascii(name[:40]) for name in odd[:5]))
        )
    return found


def want(condition: object, sentence: str) -> None:
    """Go on if it is so."""
    if not condition:
        raise Wrong(sentence)


def is_text(value: object) -> bool:
    """Tell whether it is a text that can be written in UTF-8."""
    if type(value) is not str:
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_number(value: object) -> bool:
    """Tell whether it is an integer in the bounds of the format."""
    return type(value) is int and 0 <= value <= LARGEST


def is_like(pattern: re.Pattern[str], value: object) -> bool:
    """Tell whether a text has a form."""
    return type(value) is str and pattern.fullmatch(value) is not None


@functools.lru_cache(maxsize=4096)
def is_day(text: str) -> bool:
    """Tell whether there is such a day in the calendar."""
    try:
        datetime.date(int(text[:4]), int(text[5:7]), int(text[8:]))
    except ValueError:
        return False
    return True


def is_time(value: object) -> bool:
    """Tell whether it is a timestamp. Timestamps sort as texts."""
    found = STAMP.fullmatch(value) if type(value) is str else None
    return found is not None and is_day(found.group(1))


def from_base64(value: object, size: int) -> bytes | None:
    """Return bytes from their one base64 text, None when it is not that."""
    try:
        found = base64.b64decode(value.encode("ascii"), validate=True) if type(value) is str else b""
    except (UnicodeEncodeError, binascii.Error):
        return None
    return found if len(found) == size and base64.b64encode(found).decode() == value else None


def key_id(key: bytes) -> str:
    """Return the name of a public key."""
    return hashlib.sha256(key).hexdigest()[:32]


class Lines:
    """The lines of a file, one after the other; hashes and counts what it hands out."""

    def __init__(self, path: Path, name: str) -> None:
        self.name, self.number, self.size, self.feeds = name, 0, 0, 0
        self.digest = hashlib.sha256()
        try:
            want(stat.S_ISREG(path.stat().st_mode), f"{name} is not a file")  # before a pipe could keep us waiting
            self.file = path.open("rb")
        except (OSError, ValueError) as error:
            raise Wrong(
                "{} cannot be read: {}".format(name, getattr(error, "strerror", None) or "no such name")
            ) from None

    def __iter__(self) -> Iterator[bytes]:
        """Yield each line's bytes, the line feed included."""
        while True:
            try:
                line = self.file.readline(LONGEST_LINE + 1)
            except OSError as error:
                raise Wrong(f"{self.name} cannot be read to its end: {error.strerror}") from None
            if not line:
                return
            self.number += 1
            self.size += len(line)
            self.feeds += line.count(b"\n")
            self.digest.update(line)
            yield line

    def here(self) -> str:
        """Say where we are."""
        return f"{self.name} line {self.number}"


def whole(lines: Lines) -> bytes:
    """Return all of a small file."""
    content = b""
    for line in lines:
        content += line
        want(len(content) <= LONGEST_SMALL_FILE, f"{lines.name} is too long")
    return content


def objects(lines: Lines, *names: str) -> Iterator[dict[str, Any] | Wrong]:
    """Yield of each line the object, or the `Wrong` that says why there is none."""
    for line in lines:
        try:
            want(len(line) <= LONGEST_LINE, "is too long")
            want(line.endswith(b"\n"), "is cut off: it does not end with a line feed")
            yield parsed(line, *names)
        except Wrong as wrong:
            yield wrong


# --- The export ------------------------------------------------------------------------------------------------------


class Findings:
    """What was found: all that the answer is made of."""

    def __init__(self) -> None:
        self.problem: str | None = None  # the first bad place
        self.checkpoints = 0  # read
        self.times: list[str] = []  # of the sound ones
        self.streams = self.events = 0
        self.anchors = self.later = 0  # compared; set apart, since they were signed after the export was made
        self.cut_off = False  # there were more checkpoints once
        self.loose = 0  # events after the last checkpoint
        self.loose_since: str | None = None
        self.bad: list[tuple[str, int]] = []  # (stream, last event that is vouched for), the first few
        self.bad_count = 0
        self.keys_used: set[str] = set()
        self.manifest: dict[str, Any] = {}
        self.retired: list[dict[str, Any]] = []  # months whose events are elsewhere, as the workspace's stream says

    def note(self, problem: str) -> None:
        """Remember the first problem."""
        if self.problem is None:
            self.problem = problem


class Checkpoints:
    """Reads checkpoints.jsonl. Keeps a hash of each, and the heads of each stream."""

    BODY = ("at", "events", "format", "heads", "key", "number", "previous", "root", "streams", "workspace")

    def __init__(self, findings: Findings, keys: dict[str, bytes]) -> None:
        self.findings, self.keys = findings, keys
        self.previous = "0" * 64
        self.at: str | None = None
        self.events = self.streams = 0
        self.hashes: list[bytes | None] = []  # of every checkpoint as it stands, sound or not
        self.heads: dict[str, list[Head]] = {}  # stream -> [(seq, hash, number), ...]
        self.needed: dict[
            str, int
        ] = {}  # stream -> the number of the first checkpoint for whose sake it must be exported
        self.sound = 0

    def read(self, lines: Lines) -> None:
        """Read them all."""
        for found in objects(lines, "body", "signature", "heads"):
            self.findings.checkpoints += 1
            try:
                if isinstance(found, Wrong):
                    self.hashes.append(None)
                    raise found
                self.hashes.append(copy_hash(found))
                if self.sound == len(self.hashes) - 1:
                    self.take(found)
            except Wrong as wrong:
                self.findings.note(f"checkpoint {len(self.hashes)} ({lines.here()}): {wrong}")

    def take(self, found: dict[str, Any]) -> None:
        """Check one that follows a sound one."""
        text, heads = found["body"], found["heads"]
        want(is_text(text), "its body is not a text")
        body = parsed_body(text)
        self.check_place(body)
        key = self.keys.get(body["key"])
        signature = from_base64(found["signature"], 64)
        if key is None:
            raise Wrong(f"it is signed by key {body['key']}, which is not among the trusted ones")
        if signature is None:
            raise Wrong("its signature is not 64 bytes in base64")
        want(is_signature(key, text.encode("utf-8"), signature), "its signature is forged, or its body was changed")
        self.check_heads(body, heads)
        manifest, number = self.findings.manifest, body["number"]
        needed = lies_within(manifest, self.at, body["at"])
        for stream, seq, digest in heads:
            self.heads.setdefault(stream, []).append((seq, bytes.fromhex(digest), number))
            if needed:
                self.needed.setdefault(stream, number)
        self.previous, self.at = hashlib.sha256(text.encode("utf-8")).hexdigest(), body["at"]
        self.events, self.streams = body["events"], body["streams"]
        self.findings.times.append(body["at"])
        self.findings.keys_used.add(body["key"])
        self.sound = number

    def check_place(self, body: dict[str, Any]) -> None:
        """Check that a checkpoint is the next one."""
        want(
            body["number"] == self.sound + 1,
            "its number is {}: checkpoints are missing or moved".format(body["number"]),
        )
        want(body["previous"] == self.previous, "it does not name the hash of the checkpoint before it")
        want(body["workspace"] == self.findings.manifest["workspace"], "it is of another workspace than the manifest")
        want(self.at is None or body["at"] >= self.at, "it is older than the checkpoint before it")

    def check_heads(self, body: dict[str, Any], heads: Any) -> None:
        """Check the heads against the body, and against how far each stream had come before."""
        want(type(heads) is list and len(heads) == body["heads"], "it has not as many heads as its body says")
        root, last, befores, moved = hashlib.sha256(), "", [], 0
        for head in heads:
            want(type(head) is list and len(head) == 3, "a head is not stream, seq and hash")
            stream, seq, digest = head
            want(is_like(UUID, stream) and is_number(seq) and is_like(HEX_32, digest), "a head is malformed")
            want(stream > last, "its heads are not in order")
            known = self.heads.get(stream)
            befores.append(known[-1][0] if known else 0)
            want(seq > befores[-1], f"its head of stream {stream} has not moved")
            moved += seq - befores[-1]
            root.update((f"{stream} {seq} {digest}\n").encode("ascii"))
            last = stream
        want(root.hexdigest() == body["root"], "its heads do not give its root")
        want(body["events"] == self.events + moved, "its count of events is wrong")
        want(body["streams"] == self.streams + befores.count(0), "its count of streams is wrong")

    def compare(self, anchors: Lines, made_at: str) -> None:
        """Look for every anchor among the checkpoints; one that was signed after `made_at` cannot be there."""
        for found in objects(anchors, "body", "signature"):
            self.findings.anchors += 1
            try:
                if isinstance(found, Wrong):
                    raise found
                want(is_text(found["body"]), "its body is not a text")
                body = parsed_body(found["body"])
                number = body["number"]
            except Wrong as wrong:
                self.findings.note(f"anchor ({anchors.here()}): {wrong}")
                continue
            if number > len(self.hashes) and body["at"] > made_at:
                self.findings.anchors -= 1
                self.findings.later += 1
            elif number > len(self.hashes) or number < 1:
                self.findings.cut_off = True
                self.findings.note(
                    f"checkpoint {number} was anchored outside and is not in the export: its end was cut off"
                )
            elif copy_hash(found) is None or copy_hash(found) != self.hashes[number - 1]:
                if number <= self.sound:
                    self.findings.problem = None
                    self.sound = number - 1
                    del self.findings.times[self.sound :]
                self.findings.note(f"checkpoint {number} is not the one that was anchored: history was rewritten")

    def sound_heads(self, stream: str) -> list[Head]:
        """Return the heads that sound checkpoints hold of a stream, and strike it off."""
        return [head for head in self.heads.pop(stream, ()) if head[2] <= self.sound]


def parsed_body(text: str) -> dict[str, Any]:
    """Return what a checkpoint's body says, if it is one."""
    body = parsed(text, *Checkpoints.BODY)
    want(body["format"] == "orchestrator-checkpoint/1", "its body is of another format")
    for name in ("events", "heads", "number", "streams"):
        want(is_number(body[name]), f"{name!r} in its body is not a number")
    want(is_time(body["at"]), "'at' in its body is not a timestamp")
    want(is_like(UUID, body["workspace"]), "'workspace' in its body is not a UUID")
    want(is_like(HEX_16, body["key"]), "'key' in its body is not a key id")
    want(is_like(HEX_32, body["previous"]) and is_like(HEX_32, body["root"]), "a hash in its body is malformed")
    written = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    want(written == text, "its body is not canonical JSON")
    return body


def copy_hash(found: dict[str, Any]) -> bytes | None:
    """Return a hash of body and signature as they stand, None when they are no texts."""
    if not is_text(found["body"]) or not is_text(found["signature"]):
        return None
    return hashlib.sha256(json.dumps([found["body"], found["signature"]]).encode("ascii")).digest()


def lies_within(manifest: dict[str, Any], before: str | None, at: str) -> bool:
    """Tell whether what moved between two checkpoints must be in the export."""
    begin, end = manifest["from"], manifest["to"]
    return (begin is None or (before is not None and before >= begin)) and (end is None or at <= end)


class Streams:
    """Reads events.jsonl. Keeps only where the present stream stands."""

    def __init__(self, findings: Findings, checkpoints: Checkpoints) -> None:
        self.findings, self.checkpoints = findings, checkpoints
        self.stream = ""
        self.broken = False
        self.seq = self.vouched = self.anchored = self.met = 0
        self.hash = bytes(32)
        self.heads: list[Head] = []
        self.telling: list[dict[str, Any]] = []  # months of which was told since the last checkpoint
        # Streams that begin after an end that a checkpoint holds: (stream, that checkpoint, the next one that holds it)
        self.resumed: list[tuple[str, int, int]] = []

    def read(self, lines: Lines) -> None:
        """Read all events."""
        for found in objects(lines, "stream", "seq", "at", "type", "actor", "data", "hash"):
            try:
                if isinstance(found, Wrong):
                    raise found
                check_event(found)
            except Wrong as wrong:
                self.findings.note(f"{lines.here()}: {wrong}")
                continue
            if found["stream"] != self.stream:
                self.end()
                self.begin(found["stream"])
            self.findings.events += 1
            if not self.broken:
                self.follow(found)
        self.end()
        self.look_for_unexplained()
        self.look_for_missing()

    def begin(self, stream: str) -> None:
        """Begin the next stream."""
        before, self.stream, self.broken = self.stream, stream, False
        self.findings.streams += 1
        self.seq, self.hash, self.vouched = 0, bytes(32), 0
        self.heads = self.checkpoints.sound_heads(stream)
        self.anchored = self.heads[-1][0] if self.heads else 0
        self.met = 0
        self.telling = []
        if stream < before:
            self.fail(f"stands after stream {before}: the order was changed")

    def follow(self, event: dict[str, Any]) -> None:
        """Check an event against the one before it, and against the checkpoints."""
        seq = event["seq"]
        if self.seq == 0 and seq > 1:
            self.resume(seq - 1)
        if seq != self.seq + 1:
            self.fail(f"event {self.seq + 1}: is not there; after event {self.seq} comes event {seq}")
            return
        body = '["{}",{},"{}",{},{},{}]'.format(
            self.stream,
            seq,
            event["at"],
            quoted(event["type"]),
            quoted(event["actor"]),
            quoted(event["data"]),
        )
        self.hash = hashlib.sha256(self.hash + body.encode("utf-8")).digest()
        if self.hash.hex() != event["hash"]:
            self.fail(f"event {seq}: does not match its hash")
            return
        self.seq = seq
        if event["type"] == "history_retired" and self.stream == self.findings.manifest["workspace"]:
            self.note_retired(event["data"])
        if seq > self.anchored:
            if seq == self.anchored + 1 and event["at"] < (self.findings.loose_since or "~"):
                self.findings.loose_since = event["at"]
        elif self.heads[self.met][0] == seq:
            if self.heads[self.met][1] != self.hash:
                number = self.heads[self.met][2]
                self.fail(f"event {seq}: is not the one that checkpoint {number} vouches for: rewritten")
                return
            self.met += 1
            self.vouched = seq
            self.findings.retired += self.telling
            self.telling = []

    def resume(self, seq: int) -> None:
        """Take a stream up at an event that a checkpoint holds; whether it was retired up to there is asked later."""
        for met, (held, digest, number) in enumerate(self.heads):
            if held == seq:
                following = self.heads[met + 1][2] if met + 1 < len(self.heads) else LARGEST
                self.resumed.append((self.stream, number, following))
                self.seq, self.hash, self.met = held, digest, met + 1
                return

    def note_retired(self, data: str) -> None:
        """Remember a month that was retired, if the event says which in the right form.

        It counts once a checkpoint vouches for it: whoever removes a stream could write this, but not sign it.
        """
        try:
            said = parsed(data)
            for name in ("first_stream", "until_stream"):
                want(is_like(UUID, said.get(name)), "no stream")
            for name in ("streams", "events", "checkpoint"):
                want(is_number(said.get(name)), "no number")
            want(is_text(said.get("export")) and is_text(said.get("partition")), "no text")
            want(is_like(HEX_32, said.get("manifest_sha256")), "no hash")
        except Wrong:
            return
        self.telling.append(said)

    def was_retired(self, stream: str, number: int, following: int = LARGEST) -> bool:
        """Tell whether a stream may be absent up to the end that a checkpoint holds: the last before its retirement."""
        return any(
            month["first_stream"] <= stream < month["until_stream"] and number <= month["checkpoint"] < following
            for month in self.findings.retired
        )

    def look_for_unexplained(self) -> None:
        """Find streams that begin in their midst though no month was retired there."""
        for stream, number, following in self.resumed:
            if not self.was_retired(stream, number, following):
                self.stream, self.vouched = stream, 0
                self.fail("event 1: is not there, and the history tells of no retirement up to where it begins")

    def end(self) -> None:
        """End a stream: it must reach as far as the checkpoints say."""
        if not self.stream or self.broken:
            return
        if self.seq < self.anchored:
            seq, _, number = self.heads[self.met]
            self.fail(f"ends with event {self.seq}, but checkpoint {number} vouches for event {seq}: cut off")
        else:
            self.findings.loose += self.seq - self.anchored

    def look_for_missing(self) -> None:
        """Find streams that checkpoints hold, that must be here, and are not."""
        for stream in sorted(self.checkpoints.heads):
            if self.checkpoints.needed.get(stream, LARGEST) > self.checkpoints.sound:
                continue
            seq, _, number = self.checkpoints.sound_heads(stream)[-1]
            if self.was_retired(stream, number):
                continue
            self.stream, self.vouched = stream, 0
            self.fail(f"is missing, but checkpoint {number} vouches for its event {seq}: removed")

    def fail(self, why: str) -> None:
        """Give up on a stream."""
        self.broken = True
        self.findings.note(f"stream {self.stream}, {why}")
        self.findings.bad_count += 1
        if len(self.findings.bad) < 5:
            self.findings.bad.append((self.stream, self.vouched))


def check_event(event: dict[str, Any]) -> None:
    """Check the form of an event."""
    want(is_like(UUID, event["stream"]), "'stream' is not a UUID")
    want(is_number(event["seq"]), "'seq' is not a number")
    want(is_time(event["at"]), "'at' is not a timestamp")
    for name in ("type", "actor", "data"):
        want(is_text(event[name]), f"{name!r} is not a text")
    want(is_like(HEX_32, event["hash"]), "'hash' is not a hash")


def read_manifest(content: bytes) -> dict[str, Any]:
    """Return the manifest, if it is one."""
    names = ("format", "workspace", "from", "to", "made_at", "made_by", "streams", "events", "checkpoints", "files")
    found = parsed(content, *names)
    want(found["format"] == "orchestrator-audit/1", "is of another format")
    want(is_like(UUID, found["workspace"]), "'workspace' is not a UUID")
    for name in ("from", "to", "made_at"):
        want(is_time(found[name]) or (found[name] is None and name != "made_at"), f"{name!r} is not a timestamp")
    want(is_text(found["made_by"]), "'made_by' is not a text")
    for name in ("streams", "events", "checkpoints"):
        want(is_number(found[name]), f"{name!r} is not a number")
    files = found["files"]
    want(type(files) is dict and set(files) == {"events.jsonl", "checkpoints.jsonl", "keys.json"}, "names other files")
    for facts in files.values():
        want(
            type(facts) is dict and set(facts) == {"sha256", "bytes", "lines"}, "does not say the right things of files"
        )
        want(is_like(HEX_32, facts["sha256"]), "'sha256' is not a hash")
        want(is_number(facts["bytes"]) and is_number(facts["lines"]), "'bytes' or 'lines' is not a number")
    return found


def read_keys(content: bytes) -> dict[str, bytes]:
    """Return the export's own keys."""
    keys = {}
    for name, value in parsed(content).items():
        key = from_base64(value, 32)
        if key is None:
            raise Wrong("a key is not 32 bytes in base64")
        want(key_id(key) == name, "a key does not have the id under which it stands")
        keys[name] = key
    return keys


def named(lines: Lines, read: Callable[[bytes], dict[str, Any]]) -> dict[str, Any]:
    """Read a small file; what is wrong with it begins with its name."""
    try:
        return read(whole(lines))
    except Wrong as wrong:
        raise Wrong(f"{lines.name}: {wrong}") from None


def examine(
    folder: Path, findings: Findings, trusted: dict[str, bytes] | None, anchors: Lines | None, every_anchor: bool
) -> None:
    """Examine an export. What makes it pointless to go on is raised, all else noted."""
    files = {}
    for name in ("manifest.json", "keys.json", "checkpoints.jsonl", "events.jsonl"):
        files[name] = Lines(folder / name, name)
    findings.manifest = named(files["manifest.json"], read_manifest)
    own = named(files["keys.json"], read_keys)
    checkpoints = Checkpoints(findings, own if trusted is None else trusted)
    checkpoints.read(files["checkpoints.jsonl"])
    if anchors is not None:
        checkpoints.compare(anchors, "~" if every_anchor else findings.manifest["made_at"])
    Streams(findings, checkpoints).read(files["events.jsonl"])
    if trusted is not None and not findings.checkpoints:
        findings.note("checkpoints.jsonl: there is no checkpoint, so the trusted key has signed nothing")
    for name, facts in sorted(findings.manifest["files"].items()):
        lines = files[name]
        if (lines.digest.hexdigest(), lines.size, lines.feeds) != (facts["sha256"], facts["bytes"], facts["lines"]):
            findings.note(f"{name}: is not the file that the manifest describes (its SHA-256, bytes or lines differ)")
    for name in ("streams", "events", "checkpoints"):
        if findings.manifest[name] != getattr(findings, name):
            said, there = findings.manifest[name], getattr(findings, name)
            findings.note(f"manifest.json: says {said} {name}, and there are {there}")


# --- The answer ------------------------------------------------------------------------------------------------------


def trusted_words(findings: Findings) -> str:
    """Say what can be relied on."""
    if not findings.times:
        return "nothing: no sound checkpoint vouches for anything"
    count = len(findings.times)
    words = "checkpoint 1" if count == 1 else f"checkpoints 1 to {count}"
    words += ", of {}, {} sound; ".format(findings.times[-1], "is" if count == 1 else "are")
    if count < findings.checkpoints or findings.cut_off:
        words += "streams that did not move after it can be trusted up to there"
    else:
        words += "streams can be trusted up to their last event in them"
    if findings.bad:
        words += ", except " + "; ".join("stream {} (up to event {})".format(*bad) for bad in findings.bad)
    if findings.bad_count > len(findings.bad):
        words += "; and %s more" % (findings.bad_count - len(findings.bad))
    return words


def report(findings: Findings, own_key: bool, anchors_given: bool) -> list[str]:
    """Return the answer's lines."""
    lines = []
    if findings.problem is None:
        lines.append("SOUND")
    else:
        lines += ["NOT SOUND", "first bad place:  " + findings.problem]
    lines.append("can be trusted:   " + trusted_words(findings))
    if findings.manifest:
        scope = findings.manifest["from"], findings.manifest["to"]
        period = "all of it" if scope == (None, None) else "from {} to {}".format(*tuple(one or "..." for one in scope))
        lines.append("workspace:        {}, {}".format(findings.manifest["workspace"], period))
    counts = (findings.streams, findings.events, findings.checkpoints)
    lines.append("read:             {} streams, {} events, {} checkpoints".format(*counts))
    for month in findings.retired:
        words = "{} events of {} streams, {} to {}, covered by checkpoint {}"
        names = ("events", "streams", "first_stream", "until_stream", "checkpoint")
        lines.append("retired:          " + words.format(*(month[name] for name in names)))
        lines.append(" " * 18 + "not here, not looked at: export {!a}".format(month["export"]))
        lines.append(" " * 18 + "manifest.json has the SHA-256 {}".format(month["manifest_sha256"]))
    if findings.loose:
        loose = (findings.loose, findings.loose_since)
        lines.append("not yet anchored: {} events, the first of {}: nothing signed vouches for them".format(*loose))
    used = ", ".join(sorted(findings.keys_used)) or "none"
    if own_key:
        used += "; taken from the export itself, which proves only that it is of one piece (see --key)"
    lines.append("key:              " + used)
    missing = "none given, so a cut-off end would not show (see --anchors)"
    lines.append("anchors:          " + (f"{findings.anchors} compared" if anchors_given else missing))
    if findings.later:
        later = (findings.later, "anchor" if findings.later == 1 else "anchors", findings.manifest["made_at"])
        lines.append(" " * 18 + "{} later {} not compared: this export covers up to {}, as it says".format(*later))
    return lines


def given_key(text: str) -> list[bytes]:
    """Return a public key from base64 or from a file that holds it: raw, as base64, or as a keys.json."""
    key = from_base64(text, 32)
    if key is not None:
        return [key]
    content = whole(Lines(Path(text), "the key (neither base64 of 32 bytes nor a file of that name)"))
    if len(content) == 32:
        return [content]
    try:
        key = from_base64(content.decode("ascii").strip(), 32)
    except UnicodeDecodeError:
        key = None
    return [key] if key is not None else list(read_keys(content).values())


def main(arguments: list[str] | None = None) -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=TEACHING, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("export", metavar="EXPORT", help="the folder of the export")
    parser.add_argument("--anchors", metavar="FILE", help="the checkpoints that were kept outside (JSON lines)")
    parser.add_argument("--every-anchor", action="store_true", help="set no anchor apart for being too late")
    parser.add_argument(
        "--key", metavar="BASE64_OR_FILE", action="append", help="a public key that you had from elsewhere"
    )
    given = parser.parse_args(arguments)
    try:
        want(Path(given.export).is_dir(), f"there is no folder of this name: {given.export!a}")
        trusted = None
        if given.key:
            trusted = {key_id(key): key for text in given.key for key in given_key(text)}
            want(trusted, "no key was found in --key")
        anchors = None if given.anchors is None else Lines(Path(given.anchors), "the anchors")
    except Wrong as wrong:
        sys.stderr.write(f"verify_audit: {wrong}\n")
        return USAGE
    findings = Findings()
    try:
        examine(Path(given.export), findings, trusted, anchors, given.every_anchor)
    except Wrong as wrong:
        findings.note(str(wrong))
    if anchors is not None and not findings.anchors:
        held = "all in the file are later than the export" if findings.later else "the file holds none"
        findings.note(f"the anchors: {held}, so it shows nothing")
    sys.stdout.write("\n".join(report(findings, trusted is None, anchors is not None)) + "\n")
    return SOUND if findings.problem is None else UNSOUND


if __name__ == "__main__":
    sys.exit(main())
