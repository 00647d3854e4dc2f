"""What a verification came to, in the lines that a person reads."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.domain.chain import timestamp
from orchestrator.domain.retention import born_at
from orchestrator.domain.verification import Verdict


def verdict_lines(verdict: Verdict, *, anchors_given: bool, keys_given: bool) -> Iterator[str]:
    """Yield what was found, the worst first.

    Args:
        keys_given: the keys came from elsewhere than what was verified.
    """
    if verdict.problem is None:
        yield "Everything is as it was signed."
    else:
        yield f"NOT AS IT WAS SIGNED. First bad place: {verdict.problem}"
        if verdict.bad_streams:
            yield f"  bad streams: {verdict.bad_streams}"
    yield f"  looked at: {verdict.events:,} events of {verdict.streams:,} streams, {verdict.checkpoints:,} checkpoints"
    yield f"  can be trusted: {verdict.trusted}"
    for month in verdict.retired:
        before = timestamp(born_at(month.until_stream))
        yield (
            f"  retired: streams that began before {before} (and after {timestamp(born_at(month.first_stream))}):"
            f" {month.events:,} events of {month.streams:,} streams, covered by checkpoint {month.checkpoint},"
            f" are not here; export {month.export}, manifest's SHA-256 {month.manifest_sha256}"
        )
    if verdict.unanchored_since is not None:
        since = timestamp(verdict.unanchored_since)
        yield f"  not signed yet: {verdict.unanchored_events:,} events, the first of {since}: nothing vouches for them"
    if not keys_given:
        yield "  the key was taken from the export itself, which proves only that it is of one piece (see --key)"
    if anchors_given:
        yield f"  anchors: {verdict.anchors:,} compared"
        if verdict.later_anchors and verdict.made_at is not None:
            many = "anchor" if verdict.later_anchors == 1 else "anchors"
            until = timestamp(verdict.made_at)
            yield f"  {verdict.later_anchors:,} later {many} not compared: this export covers up to {until}, as it says"
    else:
        yield "  anchors: none given, so a cut-off end would not show (see --anchors)"
