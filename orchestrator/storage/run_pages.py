"""Finds a page of runs under filters: by an index that holds the asked order, so that a page costs what it shows.

A page is found as ids first, and only those are joined to all that a run shows. What finds them is the narrowest thing
that was asked for: a batch, a label, an external id, an error code, a workflow, a status; the rest is judged on what
that gives. Where it has several parts (statuses, workflows), each part gives its first few, and they are put in order
together.

Labels have a plain index in the order of a page, not a GIN: that gives all runs of a label, to be sorted for each page,
and is the dearest index to write. What is asked for beside a label is judged on at most `LABELLED` of its runs a page;
where these give fewer than a page, the page is short and its cursor goes on behind them. So no page grows with how many
runs carry a label, and nobody has to name a period.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from orchestrator.domain.statuses import RunStatus

#: An id holds when it was made, which is when its run was created, but for those that waited to be submitted and for
#: clocks that disagree. The few that lie further apart have an index of their own.
STEP = timedelta(minutes=5)

#: Runs of a label that one page judges.
LABELLED = 2_000

# Word for word as in the index `runs_out_of_step`.
_OUT_OF_STEP = """abs(date_part('epoch', r.created_at - '1970-01-01 00:00:00+00'::timestamptz) * 1000
        - ('x' || left(replace(r.id::text, '-', ''), 12))::bit(48)::bigint) > 300000"""

_OTHER_LABELS = """NOT EXISTS (SELECT FROM unnest(CAST(:label_keys AS text[]), CAST(:label_values AS text[]))
        AS v(key, value) WHERE NOT EXISTS (SELECT FROM labels o WHERE o.run_id = r.id AND o.key = v.key
            AND o.value = v.value))"""

# What every run of the page meets, whichever way it was found.
_FILTERS: Mapping[str, str] = {
    "batch": "r.batch_id = :batch",
    "ids": "r.id = ANY(CAST(:ids AS uuid[]))",
    "since": "r.created_at >= :since",
    "until": "r.created_at <= :until",
    "external_ids": "r.external_id = ANY(CAST(:external_ids AS text[]))",
    "error_codes": "r.error_code = ANY(CAST(:error_codes AS text[]))",
    "before": "r.id < :before",
    "after_index": "r.index > :after_index",
    "label_keys": _OTHER_LABELS,
    # As literals: what others started has an index of its own, which a parameter could not choose.
    "submitted": "r.origin = 'submitted'",
    "observed": "r.origin = 'observed'",
}

_STATUSES = "r.status = ANY(CAST(:statuses AS text[]))"

# Of all connections that have a workflow of this name, of the connection's every workflow, of a kind of work.
_WORKFLOWS = """SELECT w.id FROM workflows w JOIN connections n ON n.id = w.connection_id
        WHERE w.workspace_id = :workspace{named}"""

_BY_BATCH = """SELECT f.id, f.index FROM unnest(CAST(:statuses AS text[])) AS s(status), LATERAL (
        SELECT r.id, r.index FROM runs r WHERE {where} AND r.status = s.status ORDER BY r.index LIMIT :limit) f"""

# The label's own index is in the order of its runs.
_LABELLED = """SELECT l.run_id FROM labels l
    WHERE l.workspace_id = :workspace AND l.key = (CAST(:label_keys AS text[]))[1]
        AND l.value = (CAST(:label_values AS text[]))[1]{places} ORDER BY l.run_id DESC"""

_BY_LABEL = f"""SELECT r.id FROM ({_LABELLED} LIMIT {LABELLED}) l JOIN runs r ON r.id = l.run_id
    WHERE {{where}} AND {_STATUSES} ORDER BY l.run_id DESC LIMIT :limit"""  # noqa: S608 - our own words

_BY_EXTERNAL_ID = f"""SELECT f.id FROM unnest(CAST(:external_ids AS text[])) AS e(external_id), LATERAL (
        SELECT r.id FROM runs r WHERE {{where}} AND r.external_id = e.external_id AND {_STATUSES}
        ORDER BY r.id DESC LIMIT :limit) f"""  # noqa: S608 - our own words

_BY_ERROR = f"""SELECT f.id FROM unnest(CAST(:error_codes AS text[])) AS c(code), LATERAL (
        SELECT r.id FROM runs r WHERE {{where}} AND r.error_code = c.code AND {_STATUSES}
        ORDER BY r.id DESC LIMIT :limit) f"""  # noqa: S608 - our own words

_BY_WORKFLOW_AND_ERROR = f"""SELECT f.id FROM ({{workflows}}) w, unnest(CAST(:error_codes AS text[])) c(code), LATERAL (
        SELECT r.id FROM runs r WHERE {{where}} AND r.workflow_id = w.id AND r.error_code = c.code AND {_STATUSES}
        ORDER BY r.id DESC LIMIT :limit) f"""  # noqa: S608 - our own words

_BY_WORKFLOW = """SELECT f.id FROM ({workflows}) w, unnest(CAST(:statuses AS text[])) AS s(status), LATERAL (
        SELECT r.id FROM runs r WHERE {where} AND r.workflow_id = w.id AND r.status = s.status
        ORDER BY r.id DESC LIMIT :limit) f"""

# The status as a literal: live runs and ended ones have an index each, which a parameter could not choose.
_BY_STATUS = "(SELECT r.id FROM runs r WHERE {where} AND r.status = '{status}' ORDER BY r.id DESC LIMIT :limit)"

_FIRST = " ORDER BY r.id DESC LIMIT :limit"

_BY_TIME = "(SELECT r.id FROM runs r WHERE {where} ORDER BY r.id DESC LIMIT :limit)"


_KINDS = """EXISTS (SELECT FROM unnest(CAST(:kind_providers AS text[]), CAST(:kind_workflows AS text[]))
        AS k(provider, workflow) WHERE k.provider = n.provider AND COALESCE(k.workflow, w.remote_id) = w.remote_id)"""

#: What is asked of a run's workflow. `kind_…` are lists side by side: a provider, and its workflow or NULL for all.
_OF_WORKFLOW: Mapping[str, str] = {
    "workflow": "w.remote_id = :workflow",
    "connection": "n.name = :connection",
    "kind_providers": _KINDS,
}


def query(conditions: Mapping[str, Any]) -> str:
    """Return the SQL that finds the ids of a page; its values are those of `values`."""
    where = _where(conditions)
    if "batch" in conditions:
        return f"SELECT id FROM ({_BY_BATCH.format(where=where)}) f ORDER BY index LIMIT :limit"  # noqa: S608 - our own words
    is_timed = _is_timed(conditions)
    found = _found_by(conditions, where + (" AND r.id BETWEEN :from_id AND :to_id" if is_timed else ""))
    if is_timed:
        # The same run may be found both ways.
        whole = f"{_workflow_too(conditions, where)} AND {_STATUSES}"
        found += f" UNION (SELECT r.id FROM runs r WHERE {whole} AND {_OUT_OF_STEP}{_FIRST})"  # noqa: S608 - our own words
    return f"SELECT id FROM ({found}) f ORDER BY id DESC LIMIT :limit"  # noqa: S608 - our own words


def last_judged(conditions: Mapping[str, Any]) -> str | None:
    """Return the SQL that finds the last run that a page by a label judges; it finds none where it judges all."""
    if "label_keys" not in conditions or "batch" in conditions:
        return None
    return f"{_LABELLED.format(places=_places(conditions))} OFFSET {LABELLED - 1} LIMIT 1"


def values(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of that SQL."""
    since = conditions.get("since") or datetime(1970, 1, 2, tzinfo=UTC)
    until = conditions.get("until") or datetime(9000, 1, 1, tzinfo=UTC)
    return {
        "statuses": [*RunStatus],
        **conditions,
        "from_id": first_id(since - STEP),
        "to_id": first_id(until + STEP),
    }


def _found_by(conditions: Mapping[str, Any], where: str) -> str:
    """Return what finds the ids, each part in the order of a page and no longer than one."""
    statuses = conditions.get("statuses", ())
    if "label_keys" in conditions:
        return f"({_BY_LABEL.format(places=_places(conditions), where=_workflow_too(conditions, where))})"
    if "external_ids" in conditions:
        return _BY_EXTERNAL_ID.format(where=_workflow_too(conditions, where))
    of_workflow = bool(conditions.keys() & _OF_WORKFLOW.keys())
    if "error_codes" in conditions:
        by_error = _BY_WORKFLOW_AND_ERROR if of_workflow else _BY_ERROR
        return by_error.format(workflows=workflows(conditions), where=where)
    if of_workflow:
        return _BY_WORKFLOW.format(workflows=workflows(conditions), where=where)
    if statuses:
        return " UNION ALL ".join(_BY_STATUS.format(where=where, status=RunStatus(s)) for s in sorted(set(statuses)))
    return _BY_TIME.format(where=where)


def _where(conditions: Mapping[str, Any]) -> str:
    return " AND ".join(["r.workspace_id = :workspace", *(_FILTERS[n] for n in _FILTERS if n in conditions)])


def _places(conditions: Mapping[str, Any]) -> str:
    """Return what narrows a label's runs by their ids alone."""
    before = " AND l.run_id < :before" if "before" in conditions else ""
    return before + (" AND l.run_id BETWEEN :from_id AND :to_id" if _is_timed(conditions) else "")


def _is_timed(conditions: Mapping[str, Any]) -> bool:
    return bool(conditions.keys() & {"since", "until"})


def _workflow_too(conditions: Mapping[str, Any], where: str) -> str:
    if not conditions.keys() & _OF_WORKFLOW.keys():
        return where
    return f"{where} AND r.workflow_id IN ({workflows(conditions)})"


def workflows(conditions: Mapping[str, Any]) -> str:
    """Return the SQL that finds the workflows that are asked for: all of the workspace's where none is."""
    return _WORKFLOWS.format(named="".join(f" AND {_OF_WORKFLOW[n]}" for n in _OF_WORKFLOW if n in conditions))


def first_id(at: datetime) -> UUID:
    """Return the lowest id that can be made at a time."""
    return UUID(int=max(0, int(at.timestamp() * 1000)) << 80)
