"""A file's preview as a page shows it: the fields to choose from, and the first rows as a table. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.intake.preview import ColumnState
from orchestrator.domain.redaction import hidden, is_secret

MAX_SHOWN_FIELDS = 12
MAX_CELL_CHARS = 80
HIDDEN = "(hidden)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The first rows. `more` fields are not shown; a row has its cells, or (a bad one) its beginning."""

    fields: tuple[str, ...]
    more: int
    rows: tuple[Mapping[str, Any], ...]


def fields(seen: Mapping[str, Any]) -> list[str]:
    """Return the schema's fields, as far as a preview names them."""
    matched = [c["field"] for c in seen.get("columns", ()) if c["state"] == ColumnState.MATCHED and c["field"]]
    return sorted({*matched, *(absent["field"] for absent in seen.get("absent", ()))})


def sample(seen: Mapping[str, Any]) -> Sample:
    """Return the first rows as a table; values whose names say that they are secret are left out."""
    rows = seen.get("sample", ())
    names = list(dict.fromkeys(name for row in rows if row["input"] for name in row["input"]))
    shown = tuple(names[:MAX_SHOWN_FIELDS])
    return Sample(fields=shown, more=len(names) - len(shown), rows=tuple(_row(row, shown) for row in rows))


def _row(row: Mapping[str, Any], shown: tuple[str, ...]) -> dict[str, Any]:
    given = row["input"]
    cells = None if given is None else [_cell(name, given[name]) if name in given else None for name in shown]
    return {
        "row": row["row"],
        "line": row["line"],
        "external_id": row["external_id"],
        "cells": cells,
        "excerpt": _excerpt(row["excerpt"]),
        "is_bad": bool(row["problems"]),
    }


def _excerpt(text: str | None) -> str | None:
    """Return a row that could not be read as it came; of one that is, or begins as, JSON without what is secret."""
    return hidden(text) if text is not None and text.lstrip()[:1] in ("{", "[") else text


def _cell(name: str, value: Any) -> str:
    if is_secret(name):
        return HIDDEN
    text = value if isinstance(value, str) else hidden(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= MAX_CELL_CHARS else f"{text[:MAX_CELL_CHARS]}…"
