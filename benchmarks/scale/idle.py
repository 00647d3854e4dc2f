"""Idle: a real worker beside work that all waits. How many transactions, and how much of a core, does it take?"""

from __future__ import annotations

import time
from typing import Any

import psutil

from benchmarks.scale.served import rss_mb, working
from benchmarks.scale.sites import Site

#: A worker's start is no idling: it registers, sweeps, signs.
SETTLES_S = 20.0
WATCHED_S = 40.0

#: Everything waits: for a throttled lane, or for its time. For less than an hour: what is further off is taken for the
#: work of a clock that went back.
ALL_WAIT = """
    UPDATE lanes SET blocked_until = now() + interval '50 min', launch_due_at = now() + interval '50 min',
        poll_due_at = now() + interval '50 min';
    UPDATE timers SET due_at = now() + interval '50 min' WHERE kind = 'download' AND due_at < now()"""

#: Of this database alone; whoever asks is connected to another.
_TRANSACTIONS = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = '{}'"

CORE_GOAL, TRANSACTIONS_GOAL = 0.01, 5.0


def measure(site: Site, *, settles_s: float = SETTLES_S, watched_s: float = WATCHED_S) -> dict[str, Any]:
    """Return the row."""
    site.execute(ALL_WAIT)
    with working(site) as pid:
        time.sleep(settles_s)
        before, began_s = _used(site, pid), time.monotonic()
        time.sleep(watched_s)
        after, seconds = _used(site, pid), time.monotonic() - began_s
        memory_mb = rss_mb(pid)
    cpu_s, database_s, transactions = (late - early for late, early in zip(after, before, strict=True))
    share, rate = round(cpu_s / seconds, 4), round(transactions / seconds, 2)
    return {
        "waiting_runs": site.runs,
        "core_share": share,
        "core_share_of_database": round(database_s / seconds, 4),
        "transactions_per_s": rate,
        "rss_mb": round(memory_mb),
        "goal": {"core_share": CORE_GOAL, "transactions_per_s": TRANSACTIONS_GOAL},
        "reached": share <= CORE_GOAL and rate <= TRANSACTIONS_GOAL,
    }


def _used(site: Site, pid: int) -> tuple[float, float, float]:
    """Return the CPU seconds of the worker and of Postgres, and the transactions of the database, so far."""
    postgres = site.stage.postgres.pid
    assert postgres is not None, "the stage is open"
    return _cpu_s(pid), _cpu_s(postgres), site.ask_elsewhere(_TRANSACTIONS.format(site.name))


def _cpu_s(pid: int) -> float:
    root = psutil.Process(pid)
    used = [p.cpu_times() for p in [root, *root.children(recursive=True)]]
    return float(sum(t.user + t.system + t.children_user + t.children_system for t in used))
