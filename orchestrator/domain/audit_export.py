"""The files of an audit export, line by line: how each fact is written, and read back with nothing left to guess.

An export is read as if somebody hostile had made it: each line has one meaning, or it is refused. The exact forms are
in `docs/audit-format.md`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from orchestrator.domain import checkpoints
from orchestrator.domain.chain import Event, timestamp
from orchestrator.domain.checkpoints import SignedCheckpoint, StreamHead, Unreadable, read_hex, read_number, read_uuid

FORMAT = "orchestrator-audit/1"
MANIFEST, EVENTS, CHECKPOINTS, KEYS = "manifest.json", "events.jsonl", "checkpoints.jsonl", "keys.json"

#: The longest line that is read: the heads of two million streams that moved at once.
MAX_LINE_BYTES = 256 * 1024 * 1024

#: Manifest and keys are a few lines.
MAX_SMALL_FILE_BYTES = 1024 * 1024

_EVENT_FIELDS = {"stream", "seq", "at", "type", "actor", "data", "hash"}
_CHECKPOINT_FIELDS = {"body", "signature", "heads"}
_ANCHOR_FIELDS = {"body", "signature"}
_MANIFEST_FIELDS = {
    "format",
    "workspace",
    "from",
    "to",
    "made_at",
    "made_by",
    "streams",
    "events",
    "checkpoints",
    "files",
}
_MAX_DIGITS = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What a manifest says of a file. `lines` counts its line feeds."""

    sha256: str
    bytes: int
    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an export says of itself.

    Args:
        since: the period's begin, None for the history's. With `until` None too the export is a full one.
        until: the period's end, not part of it.
    """

    workspace: UUID
    since: datetime | None
    until: datetime | None
    made_at: datetime
    made_by: str
    streams: int
    events: int
    checkpoints: int
    files: Mapping[str, FileFacts]


class Tally:
    """Counts and hashes a file as it passes by."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._bytes = self._lines = 0

    def add(self, text: bytes) -> None:
        """Take the next piece."""
        self._digest.update(text)
        self._bytes += len(text)
        self._lines += text.count(b"\n")

    def facts(self) -> FileFacts:
        """Return what a manifest says of all that has passed."""
        return FileFacts(sha256=self._digest.hexdigest(), bytes=self._bytes, lines=self._lines)


def event_line(event: Event) -> str:
    """Return an event as its line in the export."""
    return _line(
        {
            "stream": str(event.stream),
            "seq": event.seq,
            "at": timestamp(event.at),
            "type": event.type,
            "actor": event.actor,
            "data": event.data,
            "hash": event.hash.hex(),
        }
    )


def checkpoint_line(signed: SignedCheckpoint) -> str:
    """Return a checkpoint as its line in the export."""
    heads = [[str(head.stream), head.seq, head.hash.hex()] for head in signed.heads]
    return _line({"body": signed.body, "signature": base64.b64encode(signed.signature).decode(), "heads": heads})


def anchor_line(signed: SignedCheckpoint) -> str:
    """Return a checkpoint as its line in the copy that is kept outside."""
    return _line({"body": signed.body, "signature": base64.b64encode(signed.signature).decode()})


def keys_text(keys: Iterable[bytes]) -> str:
    """Return the file of public keys."""
    return _line({checkpoints.key_id(key): base64.b64encode(key).decode() for key in keys})


def manifest_text(manifest: Manifest) -> str:
    """Return the manifest's file."""
    fields = {
        "format": FORMAT,
        "workspace": str(manifest.workspace),
        "from": None if manifest.since is None else timestamp(manifest.since),
        "to": None if manifest.until is None else timestamp(manifest.until),
        "made_at": timestamp(manifest.made_at),
        "made_by": manifest.made_by,
        "streams": manifest.streams,
        "events": manifest.events,
        "checkpoints": manifest.checkpoints,
        "files": {
            name: {"sha256": facts.sha256, "bytes": facts.bytes, "lines": facts.lines}
            for name, facts in manifest.files.items()
        },
    }
    return json.dumps(fields, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def read_event(line: bytes) -> Event:
    """Return the event of a line.

    Raises:
        Unreadable: the line says something else, something more, or the same thing twice.
    """
    fields = _object(line, _EVENT_FIELDS)
    return Event(
        stream=read_uuid(fields["stream"], "stream"),
        seq=read_number(fields["seq"], "seq"),
        at=checkpoints.read_timestamp(fields["at"], "at"),
        type=_text(fields["type"], "type"),
        actor=_text(fields["actor"], "actor"),
        data=_text(fields["data"], "data"),
        hash=read_hex(fields["hash"], "hash"),
    )


def read_checkpoint(line: bytes) -> SignedCheckpoint:
    """Return the checkpoint of a line; like `read_event`."""
    fields = _object(line, _CHECKPOINT_FIELDS)
    if not isinstance(fields["heads"], list):
        raise Unreadable("'heads' is not a list")
    heads = tuple(_head(each) for each in fields["heads"])
    return SignedCheckpoint(body=_text(fields["body"], "body"), signature=_signature(fields["signature"]), heads=heads)


def read_anchor(line: bytes) -> SignedCheckpoint:
    """Return the checkpoint of a line that was kept outside, which holds no heads; like `read_event`."""
    fields = _object(line, _ANCHOR_FIELDS)
    return SignedCheckpoint(body=_text(fields["body"], "body"), signature=_signature(fields["signature"]))


def read_keys(text: bytes) -> dict[str, bytes]:
    """Return public keys by their ids.

    Raises:
        Unreadable: it is no such file, or a key stands under another one's id.
    """
    keys = {name: _base64(value, "a key", checkpoints.PUBLIC_KEY_BYTES) for name, value in _json(text).items()}
    for name, key in keys.items():
        if checkpoints.key_id(key) != name:
            raise Unreadable("a key does not have the id under which it stands")
    return keys


def read_manifest(text: bytes) -> Manifest:
    """Return what a manifest says; like `read_event`."""
    fields = _object(text, _MANIFEST_FIELDS)
    if fields["format"] != FORMAT:
        raise Unreadable(f"its format is not {FORMAT}")
    if not isinstance(fields["files"], dict) or fields["files"].keys() != {EVENTS, CHECKPOINTS, KEYS}:
        raise Unreadable(f"'files' does not name {EVENTS}, {CHECKPOINTS} and {KEYS}, and them alone")
    return Manifest(
        workspace=read_uuid(fields["workspace"], "workspace"),
        since=None if fields["from"] is None else checkpoints.read_timestamp(fields["from"], "from"),
        until=None if fields["to"] is None else checkpoints.read_timestamp(fields["to"], "to"),
        made_at=checkpoints.read_timestamp(fields["made_at"], "made_at"),
        made_by=_text(fields["made_by"], "made_by"),
        streams=read_number(fields["streams"], "streams"),
        events=read_number(fields["events"], "events"),
        checkpoints=read_number(fields["checkpoints"], "checkpoints"),
        files={name: _facts(value) for name, value in fields["files"].items()},
    )


def _line(fields: Mapping[str, object]) -> str:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"


def _facts(value: object) -> FileFacts:
    if not isinstance(value, dict) or value.keys() != {"sha256", "bytes", "lines"}:
        raise Unreadable("'files' does not say sha256, bytes and lines of each, and them alone")
    return FileFacts(
        sha256=read_hex(value["sha256"], "sha256").hex(),
        bytes=read_number(value["bytes"], "bytes"),
        lines=read_number(value["lines"], "lines"),
    )


def _head(value: object) -> StreamHead:
    if not isinstance(value, list) or len(value) != 3:
        raise Unreadable("a head is not a list of stream, seq and hash")
    stream, seq, digest = value
    return StreamHead(stream=read_uuid(stream, "stream"), seq=read_number(seq, "seq"), hash=read_hex(digest, "hash"))


def _signature(value: object) -> bytes:
    return _base64(value, "'signature'", checkpoints.SIGNATURE_BYTES)


def _base64(value: object, name: str, size_bytes: int) -> bytes:
    """Return bytes from their one standard form: other texts decode to the same bytes, and are refused."""
    try:
        found = base64.b64decode(_text(value, name), validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != size_bytes or base64.b64encode(found).decode() != value:
        raise Unreadable(f"{name} is not {size_bytes} bytes in base64")
    return found


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise Unreadable(f"{name!r} is not a text")
    try:
        if not value.isascii():
            value.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can write and nobody can hash
        raise Unreadable(f"{name!r} is not a text of whole characters") from None
    return value


def _object(text: bytes, names: set[str]) -> dict[str, Any]:
    fields = _json(text)
    if fields.keys() != names:
        raise Unreadable(f"it does not have the fields {', '.join(sorted(names))}, and them alone")
    return fields


def _json(text: bytes) -> dict[str, Any]:
    try:
        found = _DECODER.decode(text.decode())
    except Unreadable:
        raise
    except (ValueError, RecursionError):
        raise Unreadable("it is not JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise Unreadable("it is not a JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Unreadable("a name stands twice in it")
    return fields


def _int(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise Unreadable("a number in it is too large")
    return int(digits)


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_int=_int)
