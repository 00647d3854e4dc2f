"""What a file looks like before it is submitted: its columns beside the workflow's schema, its first rows, its faults.

It tells as much as can be told: of a file whose header does not fit, its columns; of one with bad rows, all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

from orchestrator.domain.intake import strict_json
from orchestrator.domain.intake.batch import MAX_COUNTED
from orchestrator.domain.intake.content import Content
from orchestrator.domain.intake.csv_cells import column_types
from orchestrator.domain.intake.csv_header import MAX_COLUMNS, MAX_HINTS, Header, Named
from orchestrator.domain.intake.csv_records import Sheet
from orchestrator.domain.intake.csv_table import notes_before, open_header
from orchestrator.domain.intake.json_flaws import excerpt
from orchestrator.domain.intake.refusal import MAX_LISTED
from orchestrator.domain.intake.rows import FileFormat, Intake, Refused, Row
from orchestrator.domain.intake.schema import InputSchema
from orchestrator.domain.intake.schema_words import nearest, shown
from orchestrator.errors import BadInput, Problem

SAMPLE_ROWS = 20
#: Values shown of a column.
EXAMPLES = 3
EXAMPLE_CHARS = 100
#: Of JSON rows, those whose names are gathered.
NAMED_ROWS = 200
#: An input that is longer is not shown among the first rows.
MAX_SHOWN_BYTES = 64 * 1024


class ColumnState(StrEnum):
    """What becomes of a column."""

    MATCHED = "matched"
    EXTRA = "extra"
    UNKNOWN = "unknown"
    EXTERNAL_ID = "external_id"
    LEFT_OUT = "left_out"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewColumn:
    """A column of a CSV, or a name of JSON inputs (which have no number)."""

    number: int | None
    name: str
    field: str | None
    state: ColumnState
    types: tuple[str, ...]
    is_required: bool
    did_you_mean: str | None
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AbsentField:
    """A field of the schema that no column fills."""

    field: str
    types: tuple[str, ...]
    is_required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewRow:
    """One of the first rows: its input as it would be stored, or, of a bad one, its beginning and its problems."""

    row: int
    line: int
    external_id: str | None
    input: Any
    excerpt: str | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A file, looked at. `rows` and `encoding` are None where they cannot be told."""

    format: FileFormat
    encoding: str | None
    delimiter: str | None
    rows: int | None
    rows_bad: int | None
    columns: tuple[PreviewColumn, ...]
    absent: tuple[AbsentField, ...]
    sample: tuple[PreviewRow, ...]
    problems: tuple[Problem, ...]
    problems_total: int


def preview(
    content: Content,
    read: Intake | BadInput,
    *,
    format: FileFormat,
    schema: InputSchema,
    external_id_column: str | None,
    mapping: Mapping[str, str],
) -> Preview:
    """Return what a file looks like.

    Args:
        read: what `read_batch` made of it.
    """
    intake = read if isinstance(read, Intake) else None
    first = _first(intake, NAMED_ROWS) if intake is not None else []
    delimiter, rows = None, intake.total if intake is not None else None
    if format is FileFormat.CSV:
        delimiter, rows, columns, filled = _table(content, schema, external_id_column, mapping, rows)
    else:
        columns = _names(first, schema)
        filled = {column.name for column in columns}
    every = [p for bad in intake.refused for p in bad.problems] if intake is not None else _problems(read)
    return Preview(
        format=format,
        encoding=_encoding(content, read),
        delimiter=delimiter,
        rows=rows,
        rows_bad=len(intake.refused) if intake is not None else None,
        columns=columns,
        absent=tuple(
            AbsentField(field=f, types=column_types(schema.definition, f), is_required=f in schema.required)
            for f in dict.fromkeys((*schema.field_names, *schema.required))
            if f not in filled and (columns or intake is not None)
        ),
        sample=tuple(_shown(row) for row in first[:SAMPLE_ROWS]),
        problems=tuple(every[:MAX_LISTED]),
        problems_total=len(every),
    )


def _problems(read: Intake | BadInput) -> list[Problem]:
    if isinstance(read, Intake):
        return []
    return [*read.problems] or [Problem(message=read.message, code=read.code)]


def _encoding(content: Content, read: Intake | BadInput) -> str | None:
    head = content.head(4)
    if strict_json.is_wide(head):
        return "utf-16"
    if isinstance(read, BadInput) and read.code.endswith(".encoding"):
        return None
    return "utf-8-sig" if head.startswith(strict_json.UTF8_BOM) else "utf-8"


def _first(intake: Intake, most: int) -> list[Row | Refused]:
    """Return the first rows of the file, good and bad."""
    together: list[Row | Refused] = [*intake.rows[:most], *intake.refused[:most]]
    return sorted(together, key=lambda row: row.row)[:most]


def _shown(row: Row | Refused) -> PreviewRow:
    if isinstance(row, Refused):
        return PreviewRow(
            row=row.row, line=row.line, external_id=None, input=None, excerpt=row.excerpt, problems=row.problems
        )
    text = row.input
    is_long = len(text) > MAX_SHOWN_BYTES
    return PreviewRow(
        row=row.row,
        line=row.line,
        external_id=row.external_id,
        input=None if is_long else json.loads(text),
        excerpt=excerpt(text[:400].decode("utf-8", "replace"), 200) if is_long else None,
        problems=(),
    )


_Told = tuple[str | None, int | None, tuple[PreviewColumn, ...], set[str]]


def _table(
    content: Content, schema: InputSchema, external_id: str | None, mapping: Mapping[str, str], rows: int | None
) -> _Told:
    """Return the delimiter, the number of rows, the columns, and the fields that they fill."""
    try:
        sheet, head = open_header(content.whole(), schema, mapping)
    except BadInput:
        return None, rows, (), set()
    noted = notes_before(head.cells, schema)
    header = tuple(cell.strip() for cell in head.cells)[noted : noted + MAX_COLUMNS]
    judged = Header(header, head.line, schema, external_id=external_id, mapping=mapping)
    used = {column.number: column for column in judged.columns}
    examples = _examples(sheet, noted, len(header))
    columns = tuple(
        _column(name, used.get(number), judged, number=number, examples=examples[number - 1])
        for number, name in enumerate(header, start=1)
    )
    filled = {column.field for column in columns if column.state is ColumnState.MATCHED and column.field}
    return sheet.delimiter, _count(sheet) if rows is None else rows, columns, filled


def _column(name: str, used: Named | None, judged: Header, *, number: int, examples: tuple[str, ...]) -> PreviewColumn:
    schema = judged.schema
    if used is None:
        state = ColumnState.LEFT_OUT
    elif not used.is_input(schema):
        state = ColumnState.EXTERNAL_ID
    elif used.field in schema.field_names:
        state = ColumnState.MATCHED
    else:
        state = ColumnState.UNKNOWN if schema.is_closed else ColumnState.EXTRA
    is_in = used is not None and state is not ColumnState.EXTERNAL_ID
    is_strange = state in (ColumnState.UNKNOWN, ColumnState.EXTRA)
    return PreviewColumn(
        number=number,
        name=name,
        field=used.field if used is not None and is_in else None,
        state=state,
        types=column_types(schema.definition, used.field) if used is not None and is_in else (),
        is_required=used is not None and is_in and used.field in schema.required,
        did_you_mean=judged.near(used) if used is not None and is_strange else None,
        examples=examples,
    )


def _examples(sheet: Sheet, noted: int, width: int) -> list[tuple[str, ...]]:
    found: list[list[str]] = [[] for _ in range(width)]
    try:
        for record in islice(sheet.records(), 1, 1 + SAMPLE_ROWS):
            for seen, cell in zip(found, record.cells[noted:], strict=False):
                if cell and len(seen) < EXAMPLES:
                    seen.append(excerpt(cell, EXAMPLE_CHARS))
    except BadInput:
        pass  # a broken quote further down: what was seen before it is shown, and the quote is among the problems
    return [tuple(seen) for seen in found]


def _count(sheet: Sheet) -> int | None:
    try:
        return sum(1 for _ in islice(sheet.records(), MAX_COUNTED + 1)) - 1
    except BadInput:
        return None


def _names(rows: Sequence[Row | Refused], schema: InputSchema) -> tuple[PreviewColumn, ...]:
    """Return the names that the first rows have, in the order in which they were met."""
    met: dict[str, list[str]] = {}
    for value in _objects(rows):
        for name, member in islice(value.items(), MAX_COLUMNS):
            if name in met or len(met) < MAX_COLUMNS:
                examples = met.setdefault(name, [])
                if member is not None and len(examples) < EXAMPLES:
                    examples.append(excerpt(member if isinstance(member, str) else shown(member), EXAMPLE_CHARS))
    declared, absent = set(schema.field_names), [f for f in schema.field_names if f not in met]
    return tuple(_name(n, tuple(seen), schema, declared, absent if i < MAX_HINTS else ())
                 for i, (n, seen) in enumerate(met.items()))  # fmt: skip


def _name(
    name: str, examples: tuple[str, ...], schema: InputSchema, declared: set[str], absent: Iterable[str]
) -> PreviewColumn:
    is_known = name in declared
    strange = ColumnState.UNKNOWN if schema.is_closed else ColumnState.EXTRA
    return PreviewColumn(
        number=None,
        name=name,
        field=name,
        state=ColumnState.MATCHED if is_known else strange,
        types=column_types(schema.definition, name) if is_known else (),
        is_required=name in schema.required,
        did_you_mean=None if is_known else nearest(name, absent),
        examples=examples,
    )


def _objects(rows: Sequence[Row | Refused]) -> Iterator[dict[str, Any]]:
    for row in rows:
        try:
            value = strict_json.parse(row.raw if isinstance(row, Refused) else row.input)
        except BadInput:
            continue  # it is among the problems
        if isinstance(value, dict):
            yield value
