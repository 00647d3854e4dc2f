"""Plants one bug in a copy of the checkout, and lets the harnesses look for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]

#: Worlds of the simulation that are rough enough to find what is wrong with launching, looking and storing.
ROUGH = (11, 12, 13, 14, 15, 16)

#: What a harness says that found something: pytest's 1 is a test that failed, 8 a world that was broken. Anything else
#: (no such test, nothing could be imported) has found nothing.
CAUGHT = (1, 8)

#: One harness has so long to find a bug, real seconds.
PATIENCE_S = 420.0


class Misfit(AssertionError):
    """The bug's place is not in the code any more: the list must be brought up to date."""


@dataclass(frozen=True, slots=True)
class Swap:
    """One text in one file, and what stands there instead. The text must occur exactly once."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug that breaks a guarantee.

    Args:
        says: what is wrong with it, in words.
        seeds: worlds of the simulation that may find it, in order; empty: it is not of that kind.
        tests: tests that may find it, as pytest names them: those of guarantees before the worlds, others after them.
        why_no_guarantee: why neither the simulation nor a guarantee can see it, where that is so.
    """

    name: str
    says: str
    swaps: Sequence[Swap]
    seeds: Sequence[int] = ()
    tests: Sequence[str] = ()
    size: int = 60
    why_no_guarantee: str = ""


class Kind(StrEnum):
    """What kind of harness it was, from the one that says most about the promises to the one that says least."""

    GUARANTEE = "guarantee"
    SIMULATION = "simulation"
    ENGINE = "engine"
    UNIT = "unit"


@dataclass(frozen=True, slots=True)
class Harness:
    """One thing that may find a bug."""

    kind: Kind
    name: str
    command: Sequence[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a planted bug. `by` is None when nobody noticed it."""

    mutant: str
    by: Harness | None
    after_s: float
    what: str


def judge(mutant: Mutant) -> Verdict:
    """Plant a bug and look for it: by guarantees and worlds first, by tests of a part of the product last."""
    began = time.monotonic()
    with planted(mutant) as copy:
        for harness in harnesses(mutant):
            code, said = run(harness.command, copy)
            if code in CAUGHT:
                return Verdict(mutant.name, harness, time.monotonic() - began, _last(said))
            if code not in (0, None):
                raise Misfit(f"{mutant.name}: {harness.name} could not look for it (exit {code}): {said[-500:]}")
    return Verdict(mutant.name, None, time.monotonic() - began, "")


@contextmanager
def planted(mutant: Mutant) -> Iterator[Path]:
    """Give a copy of the checkout with the bug in it; remove it at the end."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix=f"mutant-{mutant.name}-") as folder:
        copy = Path(folder)
        for file in _files():
            (copy / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / file, copy / file)
        for swap in mutant.swaps:
            put(swap, copy)
        yield copy


def _files() -> list[str]:
    """Return every file of the checkout that is not data: those that version control knows, as they stand now."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (CHECKOUT / name).exists()]


def put(swap: Swap, copy: Path) -> None:
    """Make one swap, or raise `Misfit`."""
    path = copy / swap.file
    text = path.read_text()
    if text.count(swap.old) != 1:
        raise Misfit(f"{swap.file} holds {text.count(swap.old)} times: {swap.old!r}")
    path.write_text(text.replace(swap.old, swap.new))


def run(command: Sequence[str], copy: Path) -> tuple[int | None, str]:
    """Run a harness in the copy. None for its code: it took too long, which finds nothing."""
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    process = subprocess.Popen(
        command, cwd=copy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        said, _ = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.communicate()
        return None, ""
    return process.returncode, said.decode(errors="replace")


def harnesses(mutant: Mutant) -> list[Harness]:
    """Return what may find a bug, in the order in which it is tried."""
    found = [
        Harness(_kind_of(test), test, [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test])
        for test in mutant.tests
    ]
    for seed in mutant.seeds:
        command = [sys.executable, "-m", "tests.simulation", "--once", "--stop-at-breach"]
        command += ["--seed", str(seed), "--size", str(mutant.size)]
        found.append(Harness(Kind.SIMULATION, f"simulation, seed {seed}", command))
    return sorted(found, key=lambda harness: [*Kind].index(harness.kind))


def _kind_of(test: str) -> Kind:
    folders = {"guarantees": Kind.GUARANTEE, "simulation": Kind.SIMULATION, "engine": Kind.ENGINE}
    return folders.get(test.split("/")[1].partition("::")[0], Kind.UNIT)


def _last(said: str) -> str:
    """Return the line that tells most: what was broken, or which assertion failed."""
    lines = [line for line in said.splitlines() if "BROKEN" in line or line.startswith(("E  ", "FAILED"))]
    return (lines[0] if lines else said[-300:]).strip()[:300]
