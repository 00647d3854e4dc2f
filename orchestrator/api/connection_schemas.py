"""The shapes of connections: what is given, and what is answered; the key only goes in."""

from __future__ import annotations

from orchestrator.api.schema_words import (
    ANY_OBJECT,
    FLAG,
    ID,
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
from orchestrator.domain.breaker import BreakerState
from orchestrator.domain.overview import CAP

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

_ALWAYS: Schema = {
    "id": ID,
    "name": TEXT,
    "provider": TEXT,
    "base_url": TEXT,
    "status": TEXT,
    "requests_per_minute": WHOLE,
    "max_concurrent": WHOLE,
    "created_at": TIME,
}
_SOMETIMES: Schema = {
    "key_hint": TEXT,
    "limit_group": or_null(TEXT),
    "console_url": or_null(TEXT),
    "told_limit": or_null(WHOLE | {"description": "the provider's own limit, where it tells a lower one"}),
    "api_version": or_null(TEXT),
    "api_version_ending": or_null(_ENDING | {"description": "the provider says that this version ends"}),
    "blocked_until": or_null(TIME | {"description": "until when the provider asked for a pause"}),
    "paused_at": or_null(TIME),
    "paused_by": or_null(TEXT),
    "checked_at": or_null(TIME | {"description": "when it was tested"}),
    "check_result": or_null(TEXT),
}

_HEALTH = view(
    {
        "tone": {"type": "string", "enum": ["good", "human", "bad"]},
        "word": TEXT,
        "sentence": TEXT,
        "cure": or_null(TEXT),
        "code": or_null(TEXT | {"description": "why launches wait, as runs say it; null: they do not"}),
        "until": or_null(TIME | {"description": "when it goes on by itself"}),
    }
)

_CAPABILITIES = view(
    {
        "requests_per_minute": WHOLE,
        "limit_scope": TEXT | {"description": "whose requests count together"},
        "concurrent_per_workflow": WHOLE,
        "wave_max_items": WHOLE | {"description": "items of one request; 0: one launch a request"},
        "wave_widths": mapping(WHOLE) | {"description": "how many of them run side by side, by level"},
        "launch_key": or_null(view({"life_s": NUMBER, "resent_for_s": NUMBER})),
        "cancel": FLAG,
        "progress": FLAG,
        "inline_results": FLAG,
        "bulk_observe": WHOLE | {"description": "executions on a page of its list; 0: there is none"},
        "human_step": FLAG,
        "version": or_null(TEXT),
        "max_body_bytes": WHOLE,
        "url_life_s": or_null(NUMBER),
        "execution_timeout_s": NUMBER,
    }
)

_STANDING: Schema = {
    "health": many(_HEALTH) | {"description": "the worst first; one line where nothing is wrong"},
    "limit": WHOLE | {"description": "requests in 60 s that are kept"},
    "used": WHOLE | {"description": "requests of the last 60 s, those on the wire among them"},
    "turned_away": WHOLE | {"description": "answers 429 within the hour"},
    "most_used": WHOLE | {"description": "in any 60 s of the hour"},
    "hour": many(view({"minute": TIME, "used": WHOLE, "turned_away": WHOLE})) | {"description": "the oldest first"},
    "queue": mapping(WHOLE) | {"description": f"live runs by status; {CAP + 1} means more than {CAP}"},
    "due": view({"looks": WHOLE, "launches": WHOLE}) | {"description": "on its lane now; capped as `queue`"},
    "shared_with": many(TEXT) | {"description": "connections that share its budget"},
    "breaker": {"type": "string", "enum": [*BreakerState]},
    "breaker_trips": WHOLE,
    "probe_at": or_null(TIME),
    "launches_stopped": or_null(TEXT),
    "launches_stopped_at": or_null(TIME),
    "capabilities": _CAPABILITIES | {"description": "what the provider can do"},
    "plan": many(TEXT) | {"description": "how the limits are kept"},
}

ANSWERS: Schema = {
    "Connection": view(_ALWAYS, _SOMETIMES | {"watch": or_null(one("Watch"))}),
    "ConnectionStanding": view(_ALWAYS | _STANDING, _SOMETIMES),
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
