"""Whether an audit export is whole and true: its files against its manifest, and what they say against each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from orchestrator.domain import audit_export
from orchestrator.domain.audit_export import (
    CHECKPOINTS,
    EVENTS,
    KEYS,
    MANIFEST,
    MAX_LINE_BYTES,
    MAX_SMALL_FILE_BYTES,
    FileFacts,
    Manifest,
    Tally,
)
from orchestrator.domain.checkpoint_chain import Flaw, Period, VerifySignature
from orchestrator.domain.checkpoints import Unreadable
from orchestrator.domain.verification import Verdict, verify

T = TypeVar("T")


def verify_export(
    files: Mapping[str, Iterable[bytes]],
    *,
    verify_signature: VerifySignature,
    trusted_keys: Mapping[str, bytes] | None = None,
    anchors: Iterable[bytes] | None = None,
    every_anchor: bool = False,
) -> Verdict:
    """Return whether an export is whole and true.

    Args:
        files: name -> its lines, each with its line feed; only the files that are there. Lines beyond
            `MAX_LINE_BYTES` may come in pieces: they are refused.
        trusted_keys: key id -> public key, had from elsewhere. Without them those of the export are believed, which
            proves only that it is of one piece.
        anchors: the lines of the copy of checkpoints that was kept outside. Those that were signed after the export
            was made are set apart: they cannot be in it.
        every_anchor: set none apart: what is anchored and not there was cut off.
    """
    missing = [name for name in (MANIFEST, KEYS, CHECKPOINTS, EVENTS) if name not in files]
    if missing:
        return _nothing(f"{missing[0]}: is missing")
    tallies = {name: _Tallied(lines) for name, lines in files.items()}
    try:
        manifest = _small(MANIFEST, tallies, audit_export.read_manifest)
        own_keys = _small(KEYS, tallies, audit_export.read_keys)
    except Unreadable as wrong:
        return _nothing(str(wrong))
    verdict = verify(
        _each(EVENTS, tallies[EVENTS], audit_export.read_event),
        _each(CHECKPOINTS, tallies[CHECKPOINTS], audit_export.read_checkpoint),
        keys=own_keys if trusted_keys is None else trusted_keys,
        verify_signature=verify_signature,
        anchors=_each("anchor line", anchors or (), audit_export.read_anchor),
        period=Period(since=manifest.since, until=manifest.until),
        workspace=manifest.workspace,
        made_at=None if every_anchor else manifest.made_at,
    )
    problem = verdict.problem or _unsigned(verdict, trusted_keys) or _mismatch(manifest, tallies, verdict)
    if problem is None and anchors is not None and verdict.anchors == 0:
        which = "there are none" if verdict.later_anchors == 0 else "all are later than the export"
        problem = f"the anchors: {which}, so they show nothing"
    return replace(verdict, ok=problem is None, problem=problem, made_at=manifest.made_at)


class _Tallied:
    """Lines, hashed and counted as they pass."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = lines
        self._tally = Tally()

    def __iter__(self) -> Iterator[bytes]:
        for line in self._lines:
            self._tally.add(line)
            yield line

    def facts(self) -> FileFacts:
        """Return what a manifest should say of what has passed."""
        return self._tally.facts()


def _small(name: str, tallies: Mapping[str, _Tallied], read: Callable[[bytes], T]) -> T:
    content = b""
    for line in tallies[name]:
        content += line
        if len(content) > MAX_SMALL_FILE_BYTES:
            raise Unreadable(f"{name}: is longer than {MAX_SMALL_FILE_BYTES} bytes")
    try:
        return read(content)
    except Unreadable as wrong:
        raise Unreadable(f"{name}: {wrong}") from None


def _each(name: str, lines: Iterable[bytes], read: Callable[[bytes], T]) -> Iterator[T | Flaw]:
    for number, line in enumerate(lines, 1):
        try:
            if not line.endswith(b"\n"):
                raise Unreadable("is cut off" if len(line) <= MAX_LINE_BYTES else "is too long")
            found = read(line)
        except Unreadable as wrong:
            yield Flaw(place=f"{name} {number}" if name.endswith("line") else f"{name} line {number}", why=str(wrong))
        else:
            yield found


def _unsigned(verdict: Verdict, trusted_keys: Mapping[str, bytes] | None) -> str | None:
    """A key that has signed nothing vouches for nothing."""
    if trusted_keys is not None and verdict.checkpoints == 0:
        return f"{CHECKPOINTS}: holds no checkpoint, so the trusted key has signed nothing"
    return None


def _mismatch(manifest: Manifest, tallies: Mapping[str, _Tallied], verdict: Verdict) -> str | None:
    for name, said in manifest.files.items():
        if tallies[name].facts() != said:
            return f"{name}: is not the file that {MANIFEST} describes (SHA-256, bytes or lines differ)"
    counted = {"streams": verdict.streams, "events": verdict.events, "checkpoints": verdict.checkpoints}
    for what, count in counted.items():
        if getattr(manifest, what) != count:
            return f"{MANIFEST}: says {getattr(manifest, what)} {what}, and there are {count}"
    return None


def _nothing(problem: str) -> Verdict:
    return Verdict(
        ok=False,
        streams=0,
        events=0,
        checkpoints=0,
        anchors=0,
        later_anchors=0,
        unanchored_events=0,
        unanchored_since=None,
        bad_streams=0,
        problem=problem,
        trusted="nothing: no sound checkpoint vouches for anything",
    )
