"""The shapes of connections: what is given, and what is answered; the key only goes in."""

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
    one,
    or_null,
    view,
)

_LIMITS: Schema = {
    "requests_per_minute": WHOLE | {"minimum": 1},
    "max_concurrent": WHOLE | {"minimum": 1},
    "console_url": TEXT | {"description": "a template with {workflow_id} and {execution_id}"},
    "api_version": TEXT | {"format": "date", "description": "of the provider's API; only where it has versions"},
}

_ENDING = view({"version": or_null(TEXT), "sunset_at": or_null(TIME), "replacement": or_null(TEXT), "told_at": TIME})

BODIES: Schema = {
    "NewConnection": body(
        {
            "name": TEXT | {"pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"},
            "provider": SHORT,
            "base_url": TEXT | {"format": "uri"},
            "api_key": TEXT | {"writeOnly": True},
        },
        {"limit_group": SHORT} | _LIMITS,
    ),
    "ConnectionChanges": body({}, {"base_url": TEXT | {"format": "uri"}, "reason": REASON} | _LIMITS),
    "Watching": body(
        {},
        {
            "types": many(SHORT) | {"description": "only these workflows; absent or empty: all"},
            "since": TIME | {"description": "what was made before is left out; absent: from now on"},
            "stop": FLAG,
            "reason": REASON,
        },
    ),
    "NewKey": body({"api_key": TEXT | {"writeOnly": True}}, {"reason": REASON}),
}

ANSWERS: Schema = {
    "Connection": view(
        {
            "id": ID,
            "name": TEXT,
            "provider": TEXT,
            "base_url": TEXT,
            "status": TEXT,
            "requests_per_minute": WHOLE,
            "max_concurrent": WHOLE,
            "created_at": TIME,
        },
        {
            "key_hint": TEXT,
            "limit_group": or_null(TEXT),
            "console_url": or_null(TEXT),
            "told_limit": or_null(WHOLE | {"description": "the provider's own limit, where it tells a lower one"}),
            "api_version": or_null(TEXT),
            "api_version_ending": or_null(_ENDING | {"description": "the provider says that this version ends"}),
            "watch": or_null(one("Watch")),
        },
    ),
    "Watch": view(
        {"is_on": FLAG, "types": many(TEXT), "since": TIME, "seen_to": TIME, "held_back": WHOLE, "created_at": TIME},
        {"last_walk_at": or_null(TIME), "failure": or_null(TEXT), "created_by": TEXT},
    ),
    "ConnectionTest": view(
        {
            "ok": FLAG,
            "workflows": many(view({"id": TEXT, "name": or_null(TEXT)})),
            "limits": ANY_OBJECT,
            "plan": many(TEXT),
            "error": or_null(view({"code": TEXT, "message": TEXT, "hint": or_null(TEXT)})),
        }
    ),
}
