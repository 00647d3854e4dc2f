"""The shape of a dry run's preview, as JSON Schema."""

from __future__ import annotations

from orchestrator.api.schema_words import ANY_OBJECT, FLAG, TEXT, WHOLE, Schema, many, one, or_null, view
from orchestrator.domain.intake.preview import ColumnState
from orchestrator.domain.intake.rows import FileFormat

ANSWERS: Schema = {
    "Preview": view(
        {
            "format": {"type": "string", "enum": [*FileFormat]},
            "encoding": or_null(TEXT | {"description": "utf-8, utf-8-sig (begins with a mark), utf-16; null: none"}),
            "delimiter": or_null(TEXT),
            "rows": or_null(WHOLE | {"description": "data rows, good and bad; null: they cannot be counted"}),
            "rows_bad": or_null(WHOLE | {"description": "null: the file as a whole is refused"}),
            "columns": many(one("PreviewColumn")),
            "absent": many(
                view({"field": TEXT, "types": many(TEXT), "is_required": FLAG})
                | {"description": "a field of the workflow's schema that no column fills"}
            ),
            "sample": many(one("PreviewRow")),
            "problems": many(one("Place")) | {"maxItems": 1000},
            "problems_total": WHOLE,
        }
    ),
    "PreviewColumn": view(
        {
            "number": or_null(WHOLE | {"description": "of a CSV, from 1"}),
            "name": TEXT,
            "field": or_null(TEXT | {"description": "the input's field that it fills"}),
            "state": {
                "type": "string",
                "enum": [*ColumnState],
                "description": "extra: taken, though the schema does not name it; unknown: refused",
            },
            "types": many(TEXT),
            "is_required": FLAG,
            "did_you_mean": or_null(TEXT),
            "examples": many(TEXT),
        }
    ),
    "PreviewRow": view(
        {
            "row": WHOLE,
            "line": WHOLE,
            "external_id": or_null(TEXT),
            "input": or_null(ANY_OBJECT | {"description": "typed by the schema; null: refused, or long"}),
            "excerpt": or_null(TEXT | {"description": "of a row that is refused, or long"}),
            "problems": many(one("Place")),
        }
    ),
}
