"""When a world has come to rest: nothing is left that anybody but a person could move."""

from __future__ import annotations

from typing import Any

import psycopg

#: Where a run stays until a person moves it.
AT_REST = ("finished", "error", "result_lost", "cancelled", "abandoned", "in_doubt")

_RESTLESS = """
    SELECT (SELECT count(*) FROM runs WHERE status <> ALL(%(rest)s)) + (SELECT count(*) FROM batches b
        WHERE b.ended_at IS NULL AND NOT EXISTS (SELECT FROM runs WHERE batch_id = b.id AND status = 'in_doubt'))"""

_LEFT = "SELECT status, count(*), min(id::text) FROM runs WHERE status <> ALL(%(rest)s) GROUP BY 1 ORDER BY 1"

_LANES = "SELECT breaker, blocked_until, launches_stopped, launch_due_at, poll_due_at FROM lanes"

_AT_REST = "SELECT count(*) FROM runs WHERE status = ANY(%(rest)s)"

_LINKED = "SELECT FROM executions WHERE remote_id = %(id)s LIMIT 1"


def count_at_rest(connection: psycopg.Connection[Any]) -> int:
    """Return how many runs have ended or wait for a person."""
    (count,) = connection.execute(_AT_REST, {"rest": list(AT_REST)}).fetchone() or (0,)
    return int(count)


def is_linked(connection: psycopg.Connection[Any], execution_id: str) -> bool:
    """Tell whether some attempt has this execution's id."""
    return connection.execute(_LINKED, {"id": execution_id}).fetchone() is not None


def is_quiet(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether every run has ended or waits for a person, and every batch without doubts has ended."""
    (left,) = connection.execute(_RESTLESS, {"rest": list(AT_REST)}).fetchone() or (1,)
    return int(left) == 0


def unrest(connection: psycopg.Connection[Any]) -> str:
    """Say what has not come to rest."""
    left = connection.execute(_LEFT, {"rest": list(AT_REST)}).fetchall()
    lane = connection.execute(_LANES).fetchall()
    return f"runs {left}, lanes {lane}"
