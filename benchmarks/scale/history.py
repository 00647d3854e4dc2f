"""Settled history: as much again that has ended comes into the world, and the claims of what lives must not notice."""

from __future__ import annotations

from typing import Any

from benchmarks.scale import claims, filling
from benchmarks.scale.sites import Site

#: What a level more of an index may cost.
BUFFERS_GOAL = 1.25

_PARTITIONS = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass"


def measure(site: Site, before: dict[str, int]) -> dict[str, Any]:
    """Return the row. The world has its history then.

    Args:
        before: the buffers that each claim touched without it.
    """
    after = site.work(claims.count, claims.WORKER)
    buffers = claims.ratios(before, after)
    return {
        "runs": site.runs,
        "runs_settled": site.runs,
        "events": site.ask("SELECT count(*) FROM events")[0],
        "partitions": site.ask(_PARTITIONS)[0],
        "buffers_without": before,
        "buffers_with": after,
        "buffers_ratio": buffers,
        "goal": {"buffers_ratio": BUFFERS_GOAL},
        "reached": max(buffers.values()) <= BUFFERS_GOAL,
    }


def settle(site: Site) -> None:
    """Bring the history in."""
    filling.fill_settled(site.superuser, site.runs)
