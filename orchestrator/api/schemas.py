"""The shapes of bodies and answers, as JSON Schema, for the OpenAPI description.

Written by hand: bodies are read by us, not by pydantic, and views come ready from the engine. Answers may grow
fields; a client keeps what it does not know.
"""

from __future__ import annotations

from orchestrator.api import (
    audit_schemas,
    connection_schemas,
    installation_schemas,
    operation_schemas,
    preview_schemas,
    run_schemas,
    schedule_schemas,
    webhook_schemas,
)
from orchestrator.api.schema_words import (
    ANY_OBJECT,
    FLAG,
    ID,
    LEVEL,
    NUMBER,
    REASON,
    SHORT,
    TEXT,
    TIME,
    WHOLE,
    Schema,
    body,
    many,
    mapping,
    one,
    or_null,
    view,
)
from orchestrator.domain.forecast import Bound
from orchestrator.domain.statuses import BatchStatus

_OPTIONS: Schema = {
    "concurrency": LEVEL,
    "name": SHORT,
    "external_id": SHORT,
    "external_id_column": SHORT,
    "wave_size": WHOLE | {"minimum": 1},
    "max_failures": TEXT | {"description": "a count (5) or a share (10%)", "maxLength": 20},
    "skip_invalid": FLAG,
    "dry_run": FLAG,
}

_SUBMISSION: Schema = {"connection": SHORT, "workflow_id": SHORT}

_BODIES: Schema = (
    schedule_schemas.BODIES | operation_schemas.BODIES | webhook_schemas.BODIES | connection_schemas.BODIES
)
_ANSWERS: Schema = (
    schedule_schemas.ANSWERS
    | operation_schemas.ANSWERS
    | webhook_schemas.ANSWERS
    | preview_schemas.ANSWERS
    | run_schemas.ANSWERS
    | connection_schemas.ANSWERS
    | audit_schemas.ANSWERS
    | installation_schemas.ANSWERS
)

BODIES: Schema = _BODIES | {
    "Nothing": body({}),
    "Reason": body({}, {"reason": REASON}),
    "NeededReason": body({"reason": REASON}),
    "Retry": body({}, {"relaunch": FLAG, "reason": REASON}),
    "Erase": body(
        {"reason": REASON | {"description": "kept in the history for ever, so name no person in it"}},
        {"dry_run": FLAG | {"description": "only say what would be erased"}},
    ),
    "NewRun": body(
        _SUBMISSION | {"input": ANY_OBJECT | {"description": "reaches the provider as these very bytes"}},
        {"external_id": SHORT, "labels": mapping(TEXT)},
    ),
    "NewBatch": body(_SUBMISSION | {"items": many(ANY_OBJECT)}, _OPTIONS),
    "WorkflowChanges": body(
        {},
        {
            "on_doubt": {"type": "string", "enum": ["hold", "relaunch", "fail"]},
            "poll": TEXT | {"examples": ["initial=5,factor=2,cap=60,jitter=0.1,polite=1"]},
            "reason": REASON,
        },
    ),
    "Resolution": body(
        {"how": {"type": "string", "enum": ["adopt", "not_started", "relaunch", "abandon"]}, "reason": REASON},
        {
            "execution_id": SHORT,
            "execution_ids": mapping(TEXT) | {"description": "for a wave: the run's index -> its execution"},
            "unverified": FLAG | {"description": "adopt without asking the provider whether it knows the executions"},
            "seen": TEXT | {"description": "the doubt's own `seen`: kept with the decision, refused if it has changed"},
        },
    ),
    "NewToken": body(
        {"name": SHORT},
        {
            "scopes": many({"type": "string", "enum": ["read", "submit", "operate", "approve", "admin"]}),
            "expires_at": TIME,
            "test": FLAG,
            "connection": SHORT | {"description": "the connection that the Script door speaks for, given this token"},
        },
    ),
}

_FORECAST = view(
    {
        "finish_p50_at": TIME,
        "finish_p90_at": TIME,
        "bound_by": {"type": "string", "enum": [*Bound]},
        "requests_left": WHOLE,
        "mean_s": NUMBER,
        "mean_is_a_guess": FLAG,
    }
)

_FAILURE = view({"code": TEXT, "message": or_null(TEXT), "count": WHOLE, "run_id": ID})

_BATCH_ALWAYS: Schema = {
    "workflow_id": TEXT,
    "connection": TEXT,
    "total": WHOLE,
    "refused": WHOLE,
    "counts": mapping(WHOLE) | {"description": "runs by status"},
}

#: What an erasing counts: only what it took away, or would.
_ERASED_COUNTS = (
    *("runs", "runs_erased_before", "input_bytes", "labels", "external_ids", "error_texts", "filenames"),
    *("files", "file_bytes"),
)

ANSWERS: Schema = _ANSWERS | {
    "Problem": view(
        {
            "type": TEXT,
            "title": TEXT,
            "status": WHOLE,
            "detail": TEXT,
            "code": TEXT | {"description": "stable, for programs"},
            "request_id": TEXT,
            "errors": many(one("Place")),
        },
        {"hint": or_null(TEXT), "preview": one("Preview")},
    ),
    "Place": view(
        {"code": TEXT, "message": TEXT},
        {
            "row": or_null(WHOLE | {"description": "data row, from 1"}),
            "line": or_null(WHOLE | {"description": "line of the file, from 1"}),
            "field": or_null(TEXT),
        },
    ),
    "Batch": view(
        {"id": ID, "status": {"type": "string", "enum": [*BatchStatus]}}
        | _BATCH_ALWAYS
        | {"created_at": TIME, "finished_at": or_null(TIME)},
        {
            "name": or_null(TEXT),
            "external_id": or_null(TEXT),
            "rate_per_minute": or_null(NUMBER),
            "eta_s": or_null(NUMBER),
            "failures": or_null(many(_FAILURE) | {"description": "by cause, the most first; in lists null"}),
            "forecast": or_null(_FORECAST | {"description": "while it goes on by itself; in lists null"}),
            "waiting_because": or_null(run_schemas.WAITING),
            "source_format": TEXT,
            "max_failures": or_null(TEXT | {"description": "a count (5) or a share (10%)"}),
            "erased_at": or_null(TIME),
        },
    ),
    "SubmittedBatch": view(
        {"id": or_null(ID), "status": or_null(TEXT)}
        | _BATCH_ALWAYS
        | {
            "created": FLAG,
            "dry_run": FLAG,
            "warnings": many(TEXT),
            "plan": ANY_OBJECT,
            "refused_file": or_null(TEXT | {"contentEncoding": "base64", "description": "the refused rows, to mend"}),
        },
        {"preview": or_null(one("Preview") | {"description": "of a dry run, when it is answered first"})},
    ),
    "Erasure": view(
        {
            "kind": {"type": "string", "enum": ["run", "batch"]},
            "id": ID,
            "dry_run": FLAG,
            "erased_at": or_null(TIME),
            "erased_before": FLAG | {"description": "nothing was left to erase, and no event was written"},
        }
        | dict.fromkeys(_ERASED_COUNTS, WHOLE)
        | {
            "files_left": or_null(WHOLE | {"description": "still in the store; workers go on removing them"}),
            "warnings": many(TEXT),
        }
    ),
    "Workflow": view(
        {"id": TEXT, "name": or_null(TEXT), "connection": TEXT},
        {
            "description": or_null(TEXT),
            "input_schema": or_null(ANY_OBJECT),
            "on_doubt": TEXT,
            "poll": mapping(NUMBER),
            "created_at": or_null(TIME | {"description": "at the provider, as it says"}),
            "updated_at": or_null(TIME),
            "stale": FLAG,
        },
    ),
    "Doubt": view(
        {"id": ID, "kind": {"type": "string", "enum": ["run", "wave"]}, "count": WHOLE, "runs": many(ANY_OBJECT)},
        {
            "batch_id": or_null(ID),
            "workflow_id": TEXT,
            "connection": TEXT,
            "since": or_null(TIME),
            "reason": or_null(TEXT),
            "holds_slots_until": or_null(TIME),
            "seen": TEXT,
        },
    ),
    "Resolved": view({"resolved": WHOLE, "left": WHOLE}),
    "InboxItem": view(
        {"id": ID, "kind": TEXT, "title": TEXT, "opened_at": TIME},
        {"run_id": or_null(ID), "batch_id": or_null(ID), "wave_id": or_null(ID), "link": or_null(TEXT)},
    ),
    "Token": view(
        {"id": ID, "name": TEXT, "scopes": many(TEXT), "expires_at": or_null(TIME)},
        {"hint": TEXT, "created_at": TIME, "last_used_at": or_null(TIME), "revoked_at": or_null(TIME)}
        | {"connection": or_null(TEXT)},
    ),
    "CreatedToken": view(
        {"id": ID, "name": TEXT, "scopes": many(TEXT), "secret": or_null(TEXT)},
        {"expires_at": or_null(TIME), "connection": or_null(TEXT)},
    ),
    "Pagination": view({"next_cursor": or_null(TEXT), "has_more": FLAG}),
}

assert not BODIES.keys() & ANSWERS.keys(), "one name, one shape"
