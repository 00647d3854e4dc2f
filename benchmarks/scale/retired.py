"""Retention: a month of settled history is taken out while claims go on. What do they touch, and who waits?"""

from __future__ import annotations

import time
from typing import Any

import psycopg

from benchmarks.costs import OBSERVER
from benchmarks.scale import claims
from benchmarks.scale.sites import Site

#: Claims must not notice; what a level less of an index may save does not count against it.
BUFFERS_GOAL = 1.05
#: How long everybody waits for the catalog's change, seconds.
LOCKED_GOAL_S = 0.1

_FULLEST = """
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'events'::regclass AND c.relname <> 'events_default'
    ORDER BY pg_relation_size(c.oid) DESC, c.relname LIMIT 1"""
_WAITING = """
    SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
    WHERE NOT l.granted AND d.datname = current_database()"""


def measure(site: Site) -> dict[str, Any]:
    """Return the row. The world has a month less of its history then."""
    partition = str(site.ask(_FULLEST)[0])
    events = site.ask(f'SELECT count(*) FROM "{partition}"')[0]
    before = site.work(claims.count, claims.WORKER)
    with psycopg.connect(site.superuser, application_name=OBSERVER) as reader:
        reader.execute("SELECT FROM events LIMIT 1")  # somebody reads the history, and takes their time
        tried = _retire(site, partition)
        waiting = site.ask(_WAITING)[0]
        during = site.work(claims.count, claims.WORKER)
    began_s = time.perf_counter()
    gone = _retire(site, partition)
    took_s = time.perf_counter() - began_s
    after = site.work(claims.count, claims.WORKER)
    ratios = {"during": claims.ratios(before, during), "after": claims.ratios(before, after)}
    worst = max(ratio for each in ratios.values() for ratio in each.values())
    held = (tried, waiting, gone) == ("busy", 0, "gone")
    return {
        "runs": site.runs,
        "events_retired": events,
        "buffers_before": before,
        "buffers_during": during,
        "buffers_after": after,
        "buffers_ratio": ratios,
        "while_somebody_reads": tried,
        "locks_waited_for": waiting,
        "locked_s": round(took_s, 4),
        "goal": {"buffers_ratio": BUFFERS_GOAL, "while_somebody_reads": "busy", "locked_s": LOCKED_GOAL_S},
        "reached": held and worst <= BUFFERS_GOAL and took_s <= LOCKED_GOAL_S,
    }


def _retire(site: Site, partition: str) -> str:
    return str(site.ask(f"SELECT events_retire('{partition}', 'infinity')")[0])
