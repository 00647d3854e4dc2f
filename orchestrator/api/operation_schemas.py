"""The shapes of bulk operations, as JSON Schema."""

from __future__ import annotations

from orchestrator.api.schema_words import (
    ANY_OBJECT,
    FLAG,
    ID,
    REASON,
    SHORT,
    TEXT,
    TIME,
    WHOLE,
    Schema,
    body,
    many,
    mapping,
    or_null,
    view,
)
from orchestrator.domain.bulk import BULK_RESOLUTIONS, BulkVerb, ItemState, OperationStatus
from orchestrator.domain.statuses import RunStatus
from orchestrator.domain.watching import Origin

_FILTER = body(
    {},
    {
        "status": many({"type": "string", "enum": [*RunStatus]}),
        "workflow": SHORT,
        "connection": SHORT,
        "batch": ID,
        "dateFrom": TEXT | {"description": "ISO 8601 with a zone, or YYYY-MM-DD"},
        "dateTo": TEXT | {"description": "a date means all of that day"},
        "error_code": many(SHORT),
        "origin": {"type": "string", "enum": [*Origin]},
        "labels": mapping(TEXT),
    },
) | {"minProperties": 1, "description": "as of the list of runs; it may not be empty"}

_VERB: Schema = {"type": "string", "enum": [*BulkVerb]}
_HOW: Schema = {"type": "string", "enum": [*BULK_RESOLUTIONS]}

BODIES: Schema = {
    "NewOperation": body(
        {"verb": _VERB, "filter": _FILTER},
        {
            "relaunch": FLAG | {"description": "for retry: a second execution is acceptable"},
            "how": _HOW | {"description": "for resolve"},
            "reason": REASON,
            "dry_run": FLAG | {"description": "only say which runs it would take"},
        },
    ),
}

ANSWERS: Schema = {
    "Operation": view(
        {
            "id": or_null(ID),
            "dry_run": FLAG,
            "verb": _VERB,
            "how": or_null(_HOW),
            "relaunch": FLAG,
            "filter": ANY_OBJECT,
            "reason": or_null(TEXT),
            "matched": WHOLE,
            "total": WHOLE | {"description": "runs that were eligible when it was made"},
            "ineligible": many(view({"code": TEXT, "message": TEXT, "runs": WHOLE})),
        },
        {
            "status": {"type": "string", "enum": [*OperationStatus]},
            "counts": mapping(WHOLE) | {"description": f"runs by state: {', '.join(ItemState)}"},
            "samples": many(ANY_OBJECT),
            "created_at": TIME,
            "created_by": TEXT,
            "cancelled_at": or_null(TIME),
            "cancelled_by": or_null(TEXT),
            "finished_at": or_null(TIME),
        },
    ),
    "OperationItem": view(
        {"position": WHOLE, "run_id": ID, "state": {"type": "string", "enum": [*ItemState]}},
        {"code": or_null(TEXT), "message": or_null(TEXT), "done_at": or_null(TIME)},
    ),
}
