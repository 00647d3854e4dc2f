"""One row for each run of a batch: how it stands, its input's fields, and those of a small JSON result.

A row is first a line of JSON, in which input and result stand as the bytes that came; a table of cells is made of such
lines once all of them are there, for only then its columns are known. Numbers keep their spelling all the way.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from orchestrator.domain import result_files
from orchestrator.domain.intake import strict_json
from orchestrator.errors import BadInput

#: An input or a result that is longer is left out of the table, and the row says so.
MAX_TAKEN_BYTES = 16 * 1024
#: Of the inputs, and of the results, so many fields become columns: the first that are met.
MAX_FIELDS = 200

FACTS = (
    *("index", "run_id", "external_id", "status", "error_code", "error_message", "attempts", "created_at"),
    *("launched_at", "finished_at", "files", "left_out"),
)
PARTS = ("input", "result")
_SPACE = b" \t\r\n"


class _Spelled(str):
    """A number, as it was spelled."""

    __slots__ = ()


def line(run: Mapping[str, Any], *, input: bytes | None, result: bytes | None, left_out: Iterable[str]) -> bytes:
    """Return a run's row as one line of JSON.

    Args:
        run: its view.
        input, result: JSON texts, checked; line ends between their tokens become spaces.
        left_out: why a part is not there.
    """
    error = run.get("error") or {}
    facts = {
        "index": run["index"],
        "run_id": run["id"],
        "external_id": run["external_id"],
        "status": run["status"],
        "error_code": error.get("code"),
        "error_message": error.get("message"),
        "attempts": run["attempts"],
        "created_at": run["created_at"],
        "launched_at": run["launched_at"],
        "finished_at": run["finished_at"],
        "files": len(run["results"]),
        "left_out": "; ".join(left_out) or None,
    }
    head = json.dumps(facts, ensure_ascii=False).encode()
    return head[:-1] + b', "input": ' + _one_line(input) + b', "result": ' + _one_line(result) + b"}\n"


def judged_result(data: bytes) -> tuple[bytes | None, str | None]:
    """Return a result as the JSON text that may stand in a line, or why it may not."""
    try:
        strict_json.parse(data, allow_bom=True)
    except BadInput as error:
        return None, f"the result is not JSON that can be read: {error.message}"
    return data.removeprefix(strict_json.UTF8_BOM), None


class Columns:
    """The columns of a table: what is known of every run, then the fields in the order in which they were met."""

    def __init__(self) -> None:
        self._fields: dict[str, dict[str, None]] = {part: {} for part in PARTS}
        self._is_bare = dict.fromkeys(PARTS, False)

    def note(self, line: bytes) -> None:
        """Take up the fields of one more row."""
        row = json.loads(line)
        for part in PARTS:
            value = row[part]
            if not isinstance(value, dict):
                self._is_bare[part] |= value is not None
                continue
            known = self._fields[part]
            for name in value:
                if name in known or len(known) < MAX_FIELDS:
                    known[name] = None

    def header(self) -> list[str]:
        """Return the names of the columns: `input.<field>`, `result.<field>`, and a bare one for what is no object."""
        names = [*FACTS]
        for part in PARTS:
            names += [part] if self._is_bare[part] else []
            names += [result_files.guarded(f"{part}.{name}") for name in self._fields[part]]
        return names

    def cells(self, line: bytes, *, raw: bool) -> Iterator[str]:
        """Give a row's cells under that header.

        Args:
            raw: leave text that a spreadsheet would run as a formula as it is.
        """
        row = json.loads(line, parse_int=_Spelled, parse_float=_Spelled)
        beyond = sum(len(set(row[p]) - self._fields[p].keys()) for p in PARTS if isinstance(row[p], dict))
        if beyond:
            said = f"{beyond} fields beyond the table's first {MAX_FIELDS}"
            row["left_out"] = f"{row['left_out']}; {said}" if row["left_out"] else said
        yield from (_cell(row[name], raw=raw) for name in FACTS)
        for part in PARTS:
            value = row[part]
            fields = value if isinstance(value, dict) else {}
            if self._is_bare[part]:
                yield "" if isinstance(value, dict) else _cell(value, raw=raw)
            for name in self._fields[part]:
                yield _cell(fields.get(name), raw=raw)


def _one_line(text: bytes | None) -> bytes:
    """Strict JSON holds line ends between its tokens only, so none of its strings changes."""
    return b"null" if text is None else text.strip(_SPACE).replace(b"\r", b" ").replace(b"\n", b" ")


def _cell(value: object, *, raw: bool) -> str:
    match value:
        case None:
            return ""
        case _Spelled():
            return str(value)
        case str():
            return value if raw else result_files.guarded(value)
        case _:
            return _text(value)


def _text(value: object) -> str:
    """Return a value as compact JSON, its numbers as they were spelled; it nests no deeper than strict JSON may."""
    match value:
        case _Spelled():
            return str(value)
        case dict():
            return "{" + ",".join(f"{_text(name)}:{_text(member)}" for name, member in value.items()) + "}"
        case list():
            return "[" + ",".join(map(_text, value)) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)
