"""The shapes of a run's answers: the run, its files, its history."""

from __future__ import annotations

from orchestrator.api.schema_words import (
    ANY_OBJECT,
    FLAG,
    ID,
    NUMBER,
    SHA256,
    TEXT,
    TIME,
    WHOLE,
    Schema,
    many,
    mapping,
    one,
    or_null,
    view,
)
from orchestrator.domain.statuses import ResultsState, RunStatus
from orchestrator.domain.watching import Origin

WAITING = view({"code": TEXT, "message": TEXT}, {"until": or_null(TIME)})

PROGRESS = view(
    {
        "fraction": or_null(NUMBER | {"minimum": 0, "maximum": 1, "description": "0 to 1, in whole hundredths"}),
        "message": or_null(TEXT | {"description": "the provider's words, one line"}),
        "estimated_completion_at": or_null(TIME),
    }
) | {"description": "while the provider works on it, and says how far it is"}

ANSWERS: Schema = {
    "Run": view(
        {
            "id": ID,
            "status": {"type": "string", "enum": [*RunStatus]},
            "origin": {"type": "string", "enum": [*Origin], "description": "observed: another program started it"},
            "event_seq": WHOLE | {"description": "the number of its last event"},
            "provider_status": or_null(TEXT),
            "results_state": {"type": "string", "enum": [*ResultsState]},
            "workflow_id": TEXT,
            "connection": TEXT,
            "provider": TEXT,
            "batch_id": or_null(ID),
            "index": or_null(WHOLE),
            "external_id": or_null(TEXT),
            "labels": mapping(TEXT),
            "created_at": TIME,
            "updated_at": TIME | {"description": "when its status last changed"},
            "launched_at": or_null(TIME),
            "finished_at": or_null(TIME),
            "erased_at": or_null(TIME | {"description": "since then its input, results and texts are gone"}),
            "attempts": WHOLE,
            "execution_id": or_null(TEXT),
            "waiting_because": or_null(WAITING),
            "results_expire_at": or_null(
                TIME | {"description": "while downloading: when the first URL of a file dies that is not stored yet"}
            ),
            "progress": or_null(PROGRESS),
            "error": or_null(view({"code": TEXT, "message": or_null(TEXT)})),
            "results": many(one("Result")),
        }
    ),
    "Result": view(
        {"n": WHOLE, "filename": TEXT, "size_bytes": WHOLE, "sha256": SHA256, "url": TEXT, "stored_at": or_null(TIME)},
        {"erased": FLAG | {"description": "the bytes and the name are gone; fetching answers 409"}},
    ),
    "Event": view(
        {"seq": WHOLE, "at": TIME, "type": TEXT, "actor": TEXT, "data": ANY_OBJECT, "hash": SHA256},
    ),
}
