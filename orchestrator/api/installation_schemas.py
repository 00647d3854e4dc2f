"""The shape of the installation: alarms, workers, queues, storage, history."""

from __future__ import annotations

from orchestrator.api.schema_words import ANY_OBJECT, FLAG, ID, NUMBER, TEXT, TIME, WHOLE, Schema, many, or_null, view

_ALARM = view(
    {
        "code": TEXT | {"description": "stable; `orchestrator explain CODE`"},
        "is_grave": FLAG,
        "message": TEXT,
        "cure": TEXT,
        "facts": ANY_OBJECT,
    }
)

_WORKER = view(
    {
        "id": ID,
        "place": TEXT,
        "pid": WHOLE,
        "version": TEXT,
        "state": {"type": "string", "enum": ["running", "draining", "silent", "stopped", "dead"]},
        "started_at": TIME,
        "heartbeat_at": TIME,
        "ended_at": or_null(TIME),
        "swept_at": or_null(TIME),
        "units_in_tasks": WHOLE | {"description": "done when the broker rang"},
        "units_in_ticker": WHOLE | {"description": "done by itself, while nobody rang"},
    }
)

_QUEUE = view(
    {
        "kind": TEXT,
        "what": TEXT,
        "due_at": or_null(TIME),
        "late_s": or_null(NUMBER | {"description": "for how long the oldest work is due and not done"}),
        "is_stalled": FLAG,
    }
)

_STORAGE = view(
    {
        "artifacts": TEXT | {"description": "where results are kept"},
        "disks": or_null(many(view({"folder": TEXT, "free_bytes": WHOLE, "total_bytes": WHOLE})))
        | {"description": "of the process that answers; null: one does not say in time how full it is"},
        "waiting": WHOLE | {"description": "runs whose results are being stored"},
        "at_risk": WHOLE | {"description": "of them, those of which a URL dies within 20 minutes"},
        "first_loss_at": or_null(TIME),
        "store_says": or_null(TEXT),
    }
)

_HISTORY = view(
    {
        "signed_ago_s": or_null(NUMBER),
        "anchors": or_null(TEXT),
        "keep_content_days": or_null(WHOLE),
        "keep_history_days": or_null(WHOLE),
        "retired_months": WHOLE,
        "retired_events": WHOLE,
        "unproven_months": many(TEXT),
    }
)

ANSWERS: Schema = {
    "System": view(
        {
            "version": TEXT,
            "server": view({"version": TEXT, "is_standby": FLAG, "synchronous_commit": TEXT, "started_at": TIME})
            | {"description": "Postgres"},
            "revision": or_null(TEXT | {"description": "of the schema"}),
            "alarms": many(_ALARM) | {"description": "what is wrong now; empty: nothing"},
            "workers": many(_WORKER) | {"description": "those that live, then those that ended within the hour"},
            "more_workers": FLAG | {"description": "there are more than these 50"},
            "other_versions": many(TEXT) | {"description": "of workers that live"},
            "queues": many(_QUEUE),
            "swept_ago_s": or_null(NUMBER),
            "clock_ahead_s": NUMBER | {"description": "how far the clock that answers is before the database's"},
            "storage": _STORAGE,
            "history": _HISTORY,
            "broker": TEXT,
        }
    ),
}
