"""The shapes of webhooks: what is given, and what is answered."""

from __future__ import annotations

from orchestrator.api.schema_words import (
    ANY_OBJECT,
    FLAG,
    ID,
    NUMBER,
    REASON,
    TEXT,
    TIME,
    WHOLE,
    Schema,
    body,
    many,
    or_null,
    view,
)
from orchestrator.domain.webhooks import PATTERNS, DeliveryState

_EVENTS: Schema = many({"type": "string", "enum": [*PATTERNS]})
_URL: Schema = TEXT | {"format": "uri"}

BODIES: Schema = {
    "NewWebhook": body(
        {"name": TEXT | {"pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"}, "url": _URL},
        {"events": _EVENTS, "reason": REASON},
    ),
    "WebhookChanges": body({}, {"url": _URL, "events": _EVENTS, "enabled": FLAG, "reason": REASON}),
    "RotateWebhook": body(
        {}, {"overlap_hours": WHOLE | {"minimum": 0, "maximum": 168, "default": 24}, "reason": REASON}
    ),
}

_ALWAYS: Schema = {
    "id": ID,
    "name": TEXT,
    "url": TEXT,
    "events": _EVENTS,
    "status": {"type": "string", "enum": ["ok", "failing", "disabled"]},
    "created_by": TEXT,
    "created_at": TIME,
}
_SOMETIMES: Schema = {
    "failing_since": or_null(TIME),
    "rests_until": or_null(TIME),
    "disabled_at": or_null(TIME),
    "disabled_because": or_null(TEXT),
    "delivered_at": or_null(TIME),
    "old_secret_until": or_null(TIME),
}
_ANSWER: Schema = {
    "status": or_null(WHOLE),
    "error": or_null(TEXT),
    "response": or_null(TEXT),
    "took_s": NUMBER,
}

ANSWERS: Schema = {
    "Webhook": view(_ALWAYS, _SOMETIMES),
    "WebhookWithSecret": view(_ALWAYS | {"secret": or_null(TEXT)}, _SOMETIMES),
    "WebhookTest": view({"ok": FLAG, "delivery": ID, **_ANSWER}),
    "WebhookDelivery": view(
        {
            "id": ID,
            "webhook_id": TEXT | {"description": "as it stands in the header of that name"},
            "type": TEXT,
            "created_at": TIME,
            "state": {"type": "string", "enum": [*DeliveryState]},
            "tries": WHOLE,
            "payload": ANY_OBJECT,
            "log": many(view({"at": TIME, **_ANSWER})) | {"description": "the latest 20 tries, the oldest first"},
        },
        {
            "next_at": or_null(TIME),
            "delivered_at": or_null(TIME),
            "last_status": or_null(WHOLE),
            "last_error": or_null(TEXT),
        },
    ),
}
