"""`python -m tests.audit.campaign`: tamper 2,000 times, and see whether both verifiers notice each time.

`--speed EVENTS` measures how fast both read instead.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.audit.judges import alone, both, ours
from tests.audit.mutations import MUTATIONS, Mutation, Tampered, tamper
from tests.audit.worlds import World, anchors_text, make_world, public

WORLDS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """Somebody did not notice, or broke."""

    seed: int
    number: int
    kind: str
    says: str
    by: str


def campaign(*, count: int, seed: int, folder: Path) -> tuple[Counter[str], list[Miss]]:
    """Tamper so many times, each kind in its turn; return how often each kind was tried, and who missed what."""
    worlds = [make_world(seed * WORLDS + number) for number in range(WORLDS)]
    tried, misses = Counter[str](), list[Miss]()
    for number in range(count):
        kind = MUTATIONS[number % len(MUTATIONS)]
        random = Random(f"{seed} {number}")
        by, says = _missed_by(random.choice(worlds), kind, random, folder / "export")
        tried[kind.__name__] += 1
        misses += [Miss(seed=seed, number=number, kind=kind.__name__, says=says, by=who) for who in by]
    return tried, misses


def _missed_by(world: World, kind: Mutation, random: Random, folder: Path) -> tuple[list[str], str]:
    tampered = next(found for found in _tries(world, kind, random) if found is not None)
    # What is not needed to see it is withheld, so that it cannot help.
    answers = both(
        tampered.files,
        folder,
        key=public(world.key) if tampered.needs_key else None,
        anchors=anchors_text(world) if tampered.needs_anchors else None,
    )
    by = ["ours"] if answers.ours.ok or not answers.ours.problem else []
    if answers.alone_exit != 8 or "first bad place:" not in answers.alone_text:
        by.append("alone")
    return by, tampered.says


def _tries(world: World, kind: Mutation, random: Random) -> Iterator[Tampered | None]:
    for _ in range(1000):
        yield tamper(world, kind, random)


def speed(events: int, folder: Path) -> dict[str, float]:
    """Measure how many events each verifier reads in a second of CPU time, the files' hashes included: best of 5."""
    world = make_world(1, streams=events // 10, rounds=5, most=6)
    files, key, anchors = world.files(), public(world.key), anchors_text(world)
    count, streams = files["events.jsonl"].count(b"\n"), len(world.streams)
    del world
    spent: dict[str, list[float]] = {"ours": [], "alone": []}
    for _ in range(5):
        begin = time.process_time()
        verdict = ours(files, key=key, anchors=anchors)
        between = time.process_time()
        code, said = alone(files, folder / "export", key=key, anchors=anchors)
        spent["ours"].append(between - begin)
        spent["alone"].append(time.process_time() - between)
        assert verdict.ok and code == 0, (verdict.problem, said)
    return {
        "events": count,
        "streams": streams,
        **{f"{who}_per_s": round(count / min(times)) for who, times in spent.items()},
    }


def main(argv: list[str] | None = None) -> int:
    """Run; return 0 when nothing was missed, 8 else."""
    parser = argparse.ArgumentParser(prog="python -m tests.audit.campaign", description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=int, metavar="EVENTS", help="measure the speed over about so many, and stop")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        if given.speed:
            sys.stdout.write(json.dumps(speed(given.speed, Path(folder))) + "\n")
            return 0
        tried, misses = campaign(count=given.count, seed=given.seed, folder=Path(folder))
    out = io.StringIO()
    for kind, times in tried.items():
        out.write(f"{kind:<20} {times:>5} tried, {sum(miss.kind == kind for miss in misses)} missed\n")
    for miss in misses[:20]:
        out.write(f"{miss}\n")
    out.write(json.dumps({"seed": given.seed, "tried": tried.total(), "missed": len(misses)}) + "\n")
    sys.stdout.write(out.getvalue())
    return 8 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
