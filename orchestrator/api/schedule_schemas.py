"""The shapes of schedules, their ticks and previews."""

from __future__ import annotations

from orchestrator.api.schema_words import (
    ANY_OBJECT,
    FLAG,
    ID,
    LEVEL,
    REASON,
    SHA256,
    SHORT,
    TEXT,
    TIME,
    WHOLE,
    Schema,
    body,
    many,
    one,
    or_null,
    view,
)
from orchestrator.domain.fires import CatchUp, FireState, Overlap

_RHYTHM: Schema = {
    "cron": TEXT | {"description": "five fields, or @daily and the like"},
    "every": TEXT | {"description": "90m, 6h, 1d: instead of cron"},
    "tz": TEXT | {"description": "an IANA name", "default": "UTC", "examples": ["Europe/Zurich"]},
}

_SCHEDULED: Schema = {
    "input": ANY_OBJECT | {"description": "each tick submits one run with it; or"},
    "file": TEXT | {"description": "each tick submits this file as a batch", "examples": ["in/nightly-{date}.csv"]},
    "allow_same_content": FLAG | {"description": "also a file that is the same as at the tick before"},
    "overlap": {"type": "string", "enum": [*Overlap], "default": "skip"},
    "catch_up": {"type": "string", "enum": [*CatchUp], "default": "latest"},
    "max_catch_up": WHOLE | {"minimum": 1, "maximum": 1000, "default": 10},
    "deadline_s": WHOLE | {"minimum": 0, "default": 3600, "description": "how long a tick waits for its file"},
    "concurrency": LEVEL,
    "external_id_column": SHORT,
    "wave_size": WHOLE | {"minimum": 1},
    "max_failures": TEXT | {"description": "a count (5) or a share (10%)", "maxLength": 20},
    "skip_invalid": FLAG,
}

BODIES: Schema = {
    "NewSchedule": body(
        {"connection": SHORT, "workflow_id": SHORT} | {"name": TEXT | {"pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"}},
        _RHYTHM | _SCHEDULED,
    ),
    "ScheduleChanges": body({}, _RHYTHM | _SCHEDULED | {"reason": REASON}),
    "Note": body({"note": REASON}),
    "RunNow": body(
        {},
        {
            "reason": REASON,
            "nominal_at": TEXT
            | {
                "description": "of a tick that submitted nothing, to be carried out after all; without a zone it is the"
                " schedule's",
                "examples": ["2026-01-31T02:30"],
            },
        },
    ),
}

ANSWERS: Schema = {
    "Schedule": view(
        {
            "name": TEXT,
            "status": {"type": "string", "enum": ["active", "paused", "over"]},
            "when": TEXT | {"description": "in words"},
            "tz": TEXT,
            "next_at": or_null(TIME),
            "workflow_id": TEXT,
            "workflow_name": TEXT,
            "connection": TEXT,
            "overlap": TEXT,
            "catch_up": TEXT,
            "max_catch_up": WHOLE,
            "deadline_s": WHOLE,
            "last_fire": or_null(one("Fire")),
            "created_at": TIME,
        },
        {
            "cron": or_null(TEXT),
            "every_s": or_null(WHOLE),
            "input": or_null(ANY_OBJECT),
            "file": or_null(TEXT),
            "paused_at": or_null(TIME),
            "paused_by": or_null(TEXT),
            "paused_note": or_null(TEXT),
        },
    ),
    "Fire": view(
        {
            "nominal_at": TIME,
            "state": {"type": "string", "enum": [*FireState]},
            "why": or_null(TEXT),
            "batch_id": or_null(ID),
            "run_id": or_null(ID),
        },
        {
            "id": ID,
            "path": or_null(TEXT),
            "sha256": or_null(SHA256),
            "asked_by": or_null(TEXT),
            "reason": or_null(TEXT),
            "deadline_at": TIME,
            "decided_at": or_null(TIME),
            "late_s": or_null({"type": "number"}) | {"description": "how long after its nominal time a tick fired"},
        },
    ),
    "Preview": view(
        {
            "when": TEXT,
            "tz": TEXT,
            "ticks": many(view({"at": TIME, "local": TEXT, "jump": or_null(TEXT), "file": or_null(TEXT)})),
        }
    ),
}
