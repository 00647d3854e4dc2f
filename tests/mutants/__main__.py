"""`make mutants`: plant every bug of the list, and say which of them the harnesses caught and which they missed."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.mutants.bugs import BUGS
from tests.mutants.plant import Misfit, Mutant, Verdict, judge, planted


def main(argv: list[str] | None = None) -> int:
    """Run; return 0 when all were caught, 8 else."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="these only (default: all)")
    parser.add_argument("--list", action="store_true", help="say what there is, and plant nothing")
    parser.add_argument("--check", action="store_true", help="see whether every bug still fits the code, and stop")
    parser.add_argument("--jobs", type=int, default=2, help="side by side (default: %(default)s)")
    given = parser.parse_args(argv)
    chosen = [bug for bug in BUGS if not given.names or bug.name in given.names]
    if given.list:
        for bug in chosen:
            sys.stdout.write(f"{bug.name:<32} {bug.says}\n")
        return 0
    if given.check:
        return _check(chosen)
    if not given.names and not _is_clean(chosen):
        return 8
    verdicts = []
    with ThreadPoolExecutor(given.jobs) as pool:
        for verdict in pool.map(judge, chosen):
            verdicts.append(verdict)
            sys.stdout.write(_line(verdict) + "\n")
            sys.stdout.flush()
    missed = [v.mutant for v in verdicts if v.by is None]
    kinds = Counter(str(verdict.by.kind) for verdict in verdicts if verdict.by)
    sums = {"planted": len(verdicts), "caught": len(verdicts) - len(missed), "by": dict(kinds), "missed": missed}
    sys.stdout.write(json.dumps(sums) + "\n")
    return 8 if missed else 0


def _is_clean(chosen: list[Mutant]) -> bool:
    """Tell whether tests and worlds are well while nothing is planted: else they would catch whatever is."""
    tests = sorted({test for bug in chosen for test in bug.tests})
    seeds = sorted({seed for bug in chosen for seed in bug.seeds})
    verdict = judge(Mutant("nothing_planted", "all must be well", [], tests=tests, seeds=seeds))
    sys.stdout.write(f"{'nothing planted':<32} {f'FAILS in {verdict.by.name}' if verdict.by else 'passes'}\n")
    return verdict.by is None


def _check(chosen: list[Mutant]) -> int:
    for bug in chosen:
        try:
            with planted(bug):
                pass
        except Misfit as misfit:
            sys.stderr.write(f"{bug.name}: {misfit}\n")
            return 8
    return 0


def _line(verdict: Verdict) -> str:
    by = f"caught by {verdict.by.kind}: {verdict.by.name}" if verdict.by else "MISSED"
    return f"{verdict.mutant:<32} {by} after {verdict.after_s:.0f} s  {verdict.what[:160]}"


if __name__ == "__main__":
    sys.exit(main())
