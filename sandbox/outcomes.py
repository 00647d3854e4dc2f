"""Fates: how an execution will go, fixed at its launch by the seed, its input and its hints.

The same (seed, workflow, input) always has the same fate, whoever launches it and when, so a run of a test replays.
"""

import hashlib
import math
from dataclasses import dataclass
from statistics import NormalDist

from sandbox.hints import Hints
from sandbox.options import Options
from sandbox.samples import WorkflowSpec

_NORMAL = NormalDist()
_UNIT = 2.0**64


@dataclass(frozen=True, slots=True)
class FileSpec:
    """A result file to be: its name and its size (None = as long as its small document)."""

    filename: str
    size_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What will happen to an execution if nobody interferes."""

    ends_as: str
    asks_person: bool
    duration_s: float
    human_after_s: float
    approve_after_s: float | None
    files: tuple[FileSpec, ...]
    results_are_null: bool
    hints: Hints


def fate_of(*, seed: int, spec: WorkflowSpec, canonical: bytes, hints: Hints, options: Options) -> Fate:
    """Decide how an execution of this input goes.

    Args:
        canonical: the input as canonical JSON; with the seed and the workflow it is all the randomness there is.
    """
    digest = hashlib.sha256(b"%d|%s|" % (seed, spec.id.encode()) + canonical).digest()
    duration_s = hints.duration_s
    if duration_s is None:
        duration_s = _duration_s(spec, options, _unit(digest, 0))
    outcome = hints.outcome or _outcome(spec, options, _unit(digest, 8))
    human_after_s = duration_s / 2 if hints.human_after_s is None else min(hints.human_after_s, duration_s)
    return Fate(
        ends_as="error" if outcome == "error" else "finished",
        asks_person=outcome == "human_in_the_loop",
        duration_s=duration_s,
        human_after_s=human_after_s,
        approve_after_s=options.approve_after_s if hints.approve_after_s is None else hints.approve_after_s,
        files=_files(spec, hints),
        results_are_null=hints.empty_results == "null",
        hints=hints,
    )


def _unit(digest: bytes, at: int) -> float:
    """Cut a number strictly between 0 and 1 out of the digest."""
    return (int.from_bytes(digest[at : at + 8], "big") + 0.5) / _UNIT


def _duration_s(spec: WorkflowSpec, options: Options, unit: float) -> float:
    mean_s = options.duration_s if spec.duration_s is None else spec.duration_s
    sigma = options.duration_sigma if spec.duration_sigma is None else spec.duration_sigma
    if mean_s <= 0 or sigma <= 0:
        return max(mean_s, 0.0)
    return math.exp(math.log(mean_s) - sigma * sigma / 2 + sigma * _NORMAL.inv_cdf(min(unit, 1 - 1e-12)))


def _outcome(spec: WorkflowSpec, options: Options, unit: float) -> str:
    error_share = options.error_share if spec.error_share is None else spec.error_share
    human_share = options.human_share if spec.human_share is None else spec.human_share
    if unit < error_share:
        return "error"
    return "human_in_the_loop" if unit < error_share + human_share else "finished"


def _files(spec: WorkflowSpec, hints: Hints) -> tuple[FileSpec, ...]:
    if hints.empty_results in ("true", "null"):
        return ()
    count = spec.files if hints.files is None else hints.files
    size_bytes = spec.size_bytes if hints.size_bytes is None else hints.size_bytes
    stem, dot, ending = spec.filename.partition(".")
    names = [hints.filename or (spec.filename if n == 0 else f"{stem}-{n + 1}{dot}{ending}") for n in range(count)]
    return tuple(FileSpec(name, size_bytes) for name in names)
