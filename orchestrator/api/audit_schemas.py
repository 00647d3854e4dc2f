"""The shapes of the audit: events, the chain, checkpoints, and the making of a report."""

from __future__ import annotations

from orchestrator.api.schema_words import (
    ANY_OBJECT,
    FLAG,
    SHA256,
    TEXT,
    TIME,
    WHOLE,
    Schema,
    many,
    or_null,
    view,
)

_TARGET = view({"kind": TEXT | {"description": "connection, token, schedule, …"}, "id": TEXT})

_ANCHORS = view(
    {
        "place": or_null(TEXT | {"description": "where checkpoints are kept outside the database"}),
        "can_be_read": FLAG | {"description": "false where they are only sent off, to a collector of logs"},
        "last": or_null(WHOLE | {"description": "the number of the last that is there; null where that is not known"}),
        "trouble": or_null(TEXT | {"description": "what is in the way of knowing it"}),
    }
)

_MADE: Schema = {
    "seq": WHOLE | {"description": "its number in the workspace's history"},
    "at": TIME,
    "actor": TEXT,
    "target": or_null(_TARGET),
    "data": ANY_OBJECT | {"description": "everything that was written down"},
    "hash": SHA256 | {"description": "chained: of this event and the hash before it"},
}

ANSWERS: Schema = {
    "AuditEvent": view(
        _MADE
        | {
            "type": TEXT | {"examples": ["connection_set"]},
            "changed": many(view({"name": TEXT, "was": {}, "now": {}})) | {"description": "before and after"},
            "reason": or_null(TEXT) | {"description": "why, as whoever did it said"},
        }
    ),
    "AuditChain": view(
        {
            "broken": or_null(TEXT | {"description": "the first bad place; null: all links up"}),
            "is_whole": FLAG | {"description": "all of the workspace's own history was looked at, not only its end"},
            "from_seq": WHOLE,
            "to_seq": WHOLE,
            "anchors": _ANCHORS,
        }
    ),
    "Checkpoint": view(
        {
            "number": WHOLE,
            "at": TIME,
            "key": TEXT | {"description": "the id of the key that signed it"},
            "heads": WHOLE | {"description": "streams that moved since the one before"},
            "events": WHOLE | {"description": "of the whole history, up to it"},
            "streams": WHOLE,
            "root": SHA256,
            "is_signed": FLAG | {"description": "the signature is that of its key"},
            "is_outside": or_null(FLAG | {"description": "it is kept outside; null where that is not known"}),
        }
    ),
    "ReportMade": view({"sha256": SHA256} | _MADE),
}
