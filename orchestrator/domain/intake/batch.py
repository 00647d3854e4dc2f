"""The doors of this room: a batch's file, one run's input. All checked, or refused with every reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any, Literal

from orchestrator.domain.intake import csv_table, json_array, json_lines, strict_json
from orchestrator.domain.intake.content import Content, InMemory, Keep, as_it_is, bytes_of
from orchestrator.domain.intake.csv_header import NO_MAPPING
from orchestrator.domain.intake.refusal import refusal, refused_file
from orchestrator.domain.intake.rows import Element, FileFormat, Intake, Refused, Row
from orchestrator.domain.intake.schema import InputSchema, check, compile_schema
from orchestrator.domain.intake.schema_words import quoted
from orchestrator.errors import BadInput, Problem, TooLarge

__all__ = ["detect_format", "joined", "read_batch", "read_single", "refusal", "refused_file"]

MAX_ROWS = 10_000
#: Rows are counted this far to say how many there are.
MAX_COUNTED = json_array.MAX_SLICES
MAX_FILE_BYTES = 64 * 1024 * 1024
#: The provider takes 4 MB a request; what stands around an input in it is far less than this.
ENVELOPE_BYTES = 1_024
MAX_ROW_BYTES = 4 * 1024 * 1024 - ENVELOPE_BYTES
MAX_EXTERNAL_ID_CHARS = 200

_BY_SUFFIX = {
    ".csv": FileFormat.CSV,
    ".tsv": FileFormat.CSV,
    ".jsonl": FileFormat.JSONL,
    ".ndjson": FileFormat.JSONL,
    ".json": FileFormat.JSON,
}
_BY_TYPE = {
    "text/csv": FileFormat.CSV,
    "text/tab-separated-values": FileFormat.CSV,
    "application/csv": FileFormat.CSV,
    "application/jsonl": FileFormat.JSONL,
    "application/json-lines": FileFormat.JSONL,
    "application/x-jsonlines": FileFormat.JSONL,
    "application/x-ndjson": FileFormat.JSONL,
    "application/ndjson": FileFormat.JSONL,
    "application/json": FileFormat.JSON,
}


def detect_format(filename: str | None, content_type: str | None, head: bytes) -> FileFormat:
    """Return how a file is written: by its name, else by its content type, else by how it begins."""
    by_name = _BY_SUFFIX.get(PurePath(filename).suffix.lower()) if filename else None
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if known := by_name or _BY_TYPE.get(media_type):
        return known
    start = head.removeprefix(strict_json.UTF8_BOM).lstrip(json_lines.SPACE)
    if start.startswith(b"{"):
        return FileFormat.JSONL
    # a CSV header may begin with "[", but hardly goes on like an array of objects
    if start.startswith(b"[") and start[1:].lstrip(json_lines.SPACE)[:1] in (b"{", b"]", b"", b"["):
        return FileFormat.JSON
    return FileFormat.CSV


def joined(chunks: Iterable[bytes], *, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Return the chunks in one piece, reading no further than the limit."""
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > max_bytes:
            raise TooLarge(f"more than {max_bytes:,} bytes", hint="Split the file.")
        parts.append(chunk)
    return b"".join(parts)


def read_batch(
    data: bytes | Iterable[bytes] | Content,
    *,
    format: Literal["csv", "jsonl", "json"] | FileFormat,
    schema: Mapping[str, Any] | InputSchema | None,
    external_id_column: str | None = None,
    mapping: Mapping[str, str] = NO_MAPPING,
    max_rows: int = MAX_ROWS,
    max_row_bytes: int = MAX_ROW_BYTES,
    max_bytes: int = MAX_FILE_BYTES,
    keep: Keep = as_it_is,
) -> Intake:
    """Return every row of the file: those that may be stored, and those refused with their problems.

    JSONL is read line by line; CSV and JSON are taken whole. Of a row that is good only its input is kept.

    Args:
        schema: the workflow's input schema; give it compiled when it serves more than one file.
        external_id_column: the column, or the field of each object, that holds the row's external id. A CSV
            column that is no field of the schema stays out of the input; JSON inputs are never changed.
        mapping: a CSV's column -> the field that it fills; an empty one: the column is left out.
        keep: puts the input of each good row aside.

    Raises:
        TooLarge: too many bytes or rows; the message says how many.
        BadInput: no rows, or the file as a whole cannot be read (encoding, header, quotes, brackets).
    """
    content = content_of(data, max_bytes=max_bytes)
    compiled = schema if isinstance(schema, InputSchema) else compile_schema(schema)
    kind = FileFormat(format)
    table = None
    if mapping and kind is not FileFormat.CSV:
        raise BadInput("only the columns of a CSV can be mapped: inputs in JSON are never changed", code="map.csv_only")
    if kind is FileFormat.CSV:
        table = csv_table.open_table(
            content.whole(), schema=compiled, external_id_column=external_id_column, mapping=mapping
        )
        _refuse_count(table.count(limit=MAX_COUNTED + 1), max_rows)
        elements = table.elements(max_row_bytes=max_row_bytes)
    elif kind is FileFormat.JSONL:
        _refuse_count(json_lines.count(content), max_rows)
        elements = json_lines.read(content, max_row_bytes=max_row_bytes)
    else:
        sliced = json_array.slices_of(content.whole())
        _refuse_count(len(sliced[1]), max_rows)
        elements = json_array.read(sliced, max_row_bytes=max_row_bytes)
    if table is None and external_id_column is not None:
        elements = (_with_external_id(element, external_id_column) for element in elements)
    checked = [_put_aside(_checked(e, compiled, external_id_column), keep) for e in elements]
    checked = _without_doubles(checked, external_id_column)
    return Intake(
        format=kind,
        rows=tuple(_rows(checked)),
        refused=tuple(_refused(e) for e in checked if e.problems),
        sha256=content.sha256,
        header=table.header if table else None,
        delimiter=table.sheet.delimiter if table else None,
    )


def read_single(
    data: bytes,
    schema: Mapping[str, Any] | InputSchema | None,
    *,
    max_bytes: int = MAX_ROW_BYTES,
    allow_bom: bool = False,
) -> bytes:
    """Return one run's input as it came, white space around it taken off.

    Raises:
        TooLarge, BadInput: not one JSON object that meets the schema; all its problems are listed.
    """
    compiled = schema if isinstance(schema, InputSchema) else compile_schema(schema)
    value = strict_json.parse(data, max_bytes=max_bytes, allow_bom=allow_bom)
    if not isinstance(value, dict):
        message = f"expected an object, got {json_lines.json_type(value)}"
        problem = Problem(message=message, code="body.not_object")
        raise BadInput(message, code="body.not_object", problems=(problem,))
    refuse_problems(check(compiled, value))
    return data.removeprefix(strict_json.UTF8_BOM).strip(json_lines.SPACE)


def refuse_problems(problems: list[Problem]) -> None:
    """Raise `BadInput` that lists the problems of one input, if there are any."""
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise BadInput(f"{problems[0]}{more}", code="input.invalid", problems=problems)


def _refuse_count(found: int, max_rows: int) -> None:
    if found == 0:
        raise BadInput("the file has no rows", code="batch.empty")
    if found > max_rows:
        files = -(-found // max_rows)
        more = "more than " if found > MAX_COUNTED else ""
        raise TooLarge(
            f"the file has {more}{min(found, MAX_COUNTED):,} rows, a batch takes at most {max_rows:,}",
            code="batch.too_many_rows",
            hint=f"Split it into {more}{files:,} files of at most {max_rows:,} rows each.",
        )


def content_of(data: bytes | Iterable[bytes] | Content, *, max_bytes: int = MAX_FILE_BYTES) -> Content:
    """Return a file as the readers of this room take it."""
    if isinstance(data, Content):
        return data
    return InMemory(joined([data] if isinstance(data, bytes) else data, max_bytes=max_bytes))


def _put_aside(element: Element, keep: Keep) -> Element:
    """Return the element without what is wanted no more: its value, and of a good row all but its input."""
    if element.problems:
        return replace(element, value=None)
    text = keep(bytes_of(element.input))
    # A row with an external id may turn out to be a double, and is then given back as it came.
    raw = text if element.raw is element.input else keep(bytes_of(element.raw)) if element.external_id else b""
    return Element(row=element.row, line=element.line, raw=raw, input=text, external_id=element.external_id)


def _refused(element: Element) -> Refused:
    return Refused(row=element.row, line=element.line, raw=bytes_of(element.raw), problems=element.problems)


def _checked(element: Element, schema: InputSchema, id_field: str | None) -> Element:
    """Return the element with what its value does not meet in the schema."""
    if element.value is None:
        return element
    broken = check(schema, element.value)
    if not broken and element.external_id is None:
        return element
    told = {problem.field for problem in element.problems}
    found = [p for p in broken if p.field is None or p.field not in told]
    placed = tuple(replace(problem, row=element.row, line=element.line) for problem in found)
    outside = _external_id_problems(element, id_field)
    if not placed and not outside:
        return element
    return replace(element, problems=element.problems + placed + outside)


def _with_external_id(element: Element, name: str) -> Element:
    """Take the external id out of a JSON object's field: a string, or a whole number as it is spelled."""
    if element.value is None:
        return element
    found = element.value.get(name)
    if type(found) in (str, int):
        return replace(element, external_id=str(found))
    message = "required as the external id, but missing" if found is None else "expected a string or an integer"
    problem = Problem(message=message, code="external_id.invalid", row=element.row, line=element.line, field=name)
    return replace(element, problems=(problem,))


def _external_id_problems(element: Element, id_field: str | None) -> tuple[Problem, ...]:
    found = element.external_id
    if found is None or (0 < len(found) <= MAX_EXTERNAL_ID_CHARS and found.isprintable()):
        return ()
    if not found:
        message = "the external id is empty"
    elif len(found) > MAX_EXTERNAL_ID_CHARS:
        message = f"the external id has {len(found):,} characters, at most {MAX_EXTERNAL_ID_CHARS}"
    else:
        message = f"the external id has a control character: {quoted(found)}"
    return (Problem(message=message, code="external_id.invalid", row=element.row, line=element.line, field=id_field),)


def _without_doubles(elements: list[Element], id_field: str | None) -> list[Element]:
    """Add a problem to every row whose external id another row has too, each naming the other."""
    holders: defaultdict[str, list[Element]] = defaultdict(list)
    for element in elements:
        if element.external_id:
            holders[element.external_id].append(element)
    doubled = {key: found for key, found in holders.items() if len(found) > 1}
    if not doubled:
        return elements
    return [_doubled(e, doubled[e.external_id], id_field) if e.external_id in doubled else e for e in elements]


def _doubled(element: Element, holders: list[Element], id_field: str | None) -> Element:
    other = next(holder for holder in holders if holder.row != element.row)
    message = f"the external id {quoted(element.external_id or '')} is also that of row {other.row} (line {other.line})"
    problem = Problem(
        message=message, code="batch.duplicate_item_key", row=element.row, line=element.line, field=id_field
    )
    return replace(element, problems=(*element.problems, problem))


def _rows(elements: list[Element]) -> Iterator[Row]:
    index = 0
    for e in elements:
        if not e.problems:
            yield Row(index=index, row=e.row, line=e.line, held=e.input, external_id=e.external_id)
            index += 1
