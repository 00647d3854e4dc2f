"""Finds a page of batches under filters, as `run_pages` does of runs: by an index that holds the asked order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.storage import run_pages

# Word for word as in the index `batches_out_of_step`.
_OUT_OF_STEP = """abs(date_part('epoch', b.created_at - '1970-01-01 00:00:00+00'::timestamptz) * 1000
        - ('x' || left(replace(b.id::text, '-', ''), 12))::bit(48)::bigint) > 300000"""

_FILTERS: Mapping[str, str] = {
    "since": "b.created_at >= :since",
    "until": "b.created_at <= :until",
    "external_ids": "b.external_id = ANY(CAST(:external_ids AS text[]))",
    "before": "b.id < :before",
}

_BY_WORKFLOW = """SELECT f.id FROM ({workflows}) w, LATERAL (
        SELECT b.id FROM batches b WHERE {where} AND b.workflow_id = w.id ORDER BY b.id DESC LIMIT :limit) f"""

_BY_EXTERNAL_ID = """SELECT f.id FROM unnest(CAST(:external_ids AS text[])) AS e(known_as), LATERAL (
        SELECT b.id FROM batches b WHERE {where} AND b.external_id = e.known_as ORDER BY b.id DESC LIMIT :limit) f"""

_BY_TIME = "(SELECT b.id FROM batches b WHERE {where} ORDER BY b.id DESC LIMIT :limit)"


def query(conditions: Mapping[str, Any]) -> str:
    """Return the SQL that finds the ids of a page; its values are those of `run_pages.values`."""
    where = " AND ".join(["b.workspace_id = :workspace", *(_FILTERS[n] for n in _FILTERS if n in conditions)])
    is_timed = bool(conditions.keys() & {"since", "until"})
    found = _found_by(conditions, where + (" AND b.id BETWEEN :from_id AND :to_id" if is_timed else ""))
    if is_timed:
        named = _workflow_too(conditions, where)
        # The same batch may be found both ways.
        found += f" UNION {_BY_TIME.format(where=f'{named} AND {_OUT_OF_STEP}')}"
    return f"SELECT id FROM ({found}) f ORDER BY id DESC LIMIT :limit"  # noqa: S608 - our own words


def _found_by(conditions: Mapping[str, Any], where: str) -> str:
    if "external_ids" in conditions:
        return _BY_EXTERNAL_ID.format(where=_workflow_too(conditions, where))
    if conditions.keys() & {"workflow", "connection"}:
        return _BY_WORKFLOW.format(workflows=run_pages.workflows(conditions), where=where)
    return _BY_TIME.format(where=where)


def _workflow_too(conditions: Mapping[str, Any], where: str) -> str:
    if not conditions.keys() & {"workflow", "connection"}:
        return where
    return f"{where} AND b.workflow_id IN ({run_pages.workflows(conditions)})"
