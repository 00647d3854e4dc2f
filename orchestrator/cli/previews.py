"""What a dry run tells of a file, for people: its columns beside the schema, and its first rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from orchestrator import client as api
from orchestrator.cli import output

SHOWN_ROWS = 5
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}


@contextmanager
def of_refusal() -> Iterator[None]:
    """Show what a file looks like that a dry run refuses, before it is said what is wrong with it."""
    try:
        yield
    except api.ApiError as error:
        if error.preview is not None:
            show(error.preview)
        raise


def tell(batch: api.SubmittedBatch) -> None:
    """Print what a dry run found."""
    seen = batch.get("preview")
    if seen is not None:
        show(seen)
    told = batch if output.is_for_programs() else {**batch, "preview": None}
    output.one(told, ("total", "refused", "plan"))
    output.say("Nothing was stored. Submit it without --dry-run.")


def show(seen: Mapping[str, Any]) -> None:
    """Print a preview; programs have it in the answer."""
    if output.is_for_programs():
        return
    parts = [str(seen["format"]), seen["encoding"] or "an encoding that is not UTF-8"]
    parts += [f"by {_DELIMITERS[seen['delimiter']]}"] if seen["delimiter"] else []
    parts += [output.counted(seen["rows"], "row")] if seen["rows"] is not None else []
    parts += [f"{seen['rows_bad']:,} of them bad"] if seen["rows_bad"] else []
    output.say(", ".join(parts))
    for column in seen["columns"]:
        output.say(f"  {output.cell(column['name'])}: {_said(column)}")
    for field in seen["absent"]:
        needed = "required, but no column fills it" if field["is_required"] else "no column fills it"
        output.say(f"  - {output.cell(field['field'])}: {needed}")
    for row in seen["sample"][:SHOWN_ROWS]:
        content = json.dumps(row["input"], ensure_ascii=False) if row["input"] is not None else row["excerpt"]
        output.say(f"  row {row['row']}: {output.cell(content)[:200]}{' (bad)' if row['problems'] else ''}")


def _said(column: Mapping[str, Any]) -> str:
    near = f'; did you mean "{output.cell(column["did_you_mean"])}"?' if column["did_you_mean"] else ""
    match column["state"]:
        case "matched":
            fills = "" if column["field"] == column["name"] else f"{output.cell(column['field'])}, "
            return f"{fills}{' or '.join(column['types'])}{', required' if column['is_required'] else ''}"
        case "external_id":
            return "names the row"
        case "left_out":
            return "left out"
        case "extra":
            return f"is in no schema, and taken as it is{near}"
        case _:
            return f"unknown{near}"
