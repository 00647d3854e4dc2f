"""Measure how much the product does on this machine: `python -m benchmarks.throughput [--n N] [--connections C]`.

Four contenders do the same work against the same provider, one after the other on the same Postgres: the product with
single launches, the product with waves, plain Celery, and a bare client that stores nothing. One JSON line each; the
last line compares single launches with the latter two.
"""

from __future__ import annotations

import argparse
import json
import platform
import signal
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any

import psutil

from benchmarks import bare_client, plain_celery_run, product_run, progress
from benchmarks.load import Load
from benchmarks.stage import Stage

CONTENDERS: dict[str, Callable[[Stage], dict[str, Any]]] = {
    "product_single": partial(product_run.run, in_waves=False),
    "product_waves": partial(product_run.run, in_waves=True),
    "plain_celery": plain_celery_run.run,
    "bare": bare_client.run,
}


def main(argv: list[str] | None = None) -> int:
    """Run the contenders; return the exit code."""
    load, names = _load(argv)
    # An end by SIGTERM takes the same way out as Ctrl-C, so that nothing is left running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    progress.log_to_stderr()
    with Stage(load) as stage:
        found = {}
        for name in names:
            progress.say("throughput", f"{name}, {load.total} executions")
            figures = found[name] = CONTENDERS[name](stage)
            print(json.dumps({"benchmark": "throughput", **figures, "connections": load.connections}), flush=True)
    print(json.dumps({"benchmark": "throughput", **_ratios(found), **machine()}), flush=True)
    return 0


def _load(argv: list[str] | None) -> tuple[Load, list[str]]:
    default = Load()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("--n", type=int, default=default.n, help="executions a contender (default %(default)s)")
    parser.add_argument("--connections", type=int, default=default.connections, help="API keys (default %(default)s)")
    parser.add_argument("--workers", type=int, default=default.workers, help="worker processes of the product")
    parser.add_argument("--duration-s", type=float, default=default.duration_s, help="of an execution at the provider")
    parser.add_argument("--celery-pool", choices=("prefork", "threads"), default=default.celery_pool)
    parser.add_argument("--celery-concurrency", type=int, default=default.celery_concurrency)
    parser.add_argument("--celery-broker", choices=("auto", "redis", "pgmq"), default=default.celery_broker)
    parser.add_argument("--only", choices=CONTENDERS, action="append", help="leave the others out")
    given = parser.parse_args(argv)
    if given.n < 1 or not 1 <= given.connections <= given.n:
        parser.error("--n is at least 1, --connections between 1 and --n")
    load = Load(
        n=given.n, connections=given.connections, workers=given.workers, duration_s=given.duration_s,
        first_look_s=given.duration_s + 0.1, celery_pool=given.celery_pool,
        celery_concurrency=given.celery_concurrency, celery_broker=given.celery_broker,
    )  # fmt: skip
    return load, given.only or list(CONTENDERS)


def _ratios(found: dict[str, dict[str, Any]]) -> dict[str, float | None]:
    """Return how many times as fast single launches of the product are, and how much more CPU they take.

    None where one of the two did not run. CPU says more than speed on a machine that does other work meanwhile.
    """

    def times(other: str, figure: str) -> float | None:
        if "product_single" not in found or other not in found:
            return None
        return round(float(found["product_single"][figure] / found[other][figure]), 3)

    return {
        "times_plain_celery": times("plain_celery", "executions_per_s"),
        "times_bare": times("bare", "executions_per_s"),
        "cpu_over_plain_celery": times("plain_celery", "cpu_s_per_execution"),
        "cpu_over_bare": times("bare", "cpu_s_per_execution"),
    }


def machine() -> dict[str, Any]:
    """Return on how many cores, and with which versions, something was measured."""
    return {
        "cores": len(psutil.Process().cpu_affinity() or []) or psutil.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("celery", "sqlalchemy", "psycopg", "httpx")},
    }


if __name__ == "__main__":
    sys.exit(main())
