"""A CSV table: its header read against the workflow's schema, its records turned into inputs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from orchestrator.domain.intake.csv_cells import Typed, column_types, typed
from orchestrator.domain.intake.csv_header import NO_MAPPING, Header
from orchestrator.domain.intake.csv_records import Record, Sheet, open_sheet
from orchestrator.domain.intake.json_lines import too_large
from orchestrator.domain.intake.rows import Element
from orchestrator.domain.intake.schema import InputSchema
from orchestrator.errors import BadInput, Problem

#: What the file of refused rows adds in front; a mended file that still has them is read without them.
NOTE_COLUMNS = ("_row", "_line", "_problem")

#: A cell that a spreadsheet may run as a formula, its guards (leading apostrophes) included.
FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_ENCODE = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: where it stands, what its cells may be, and whether it goes into the input."""

    position: int
    name: str
    key: str
    types: tuple[str, ...]
    is_input: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A CSV file whose header is understood."""

    sheet: Sheet
    header: tuple[str, ...]
    columns: tuple[Column, ...]
    external_id_position: int | None
    #: how many note columns stand in front, of a file of refused rows that was mended
    noted: int = 0

    def elements(self, *, max_row_bytes: int) -> Iterator[Element]:
        """Give each data row as an input, or with its problems; empty lines are neither."""
        records = self.sheet.records()
        next(records)
        for row, record in enumerate(records, start=1):
            yield self._element(record, row, max_row_bytes)

    def count(self, *, limit: int) -> int:
        """Return how many data rows there are, counting no further than `limit`; makes no inputs of them."""
        return sum(1 for _ in islice(self.sheet.records(), limit + 1)) - 1

    def _element(self, record: Record, row: int, max_row_bytes: int) -> Element:
        cells = [_unguarded(c) for c in record.cells] if self.noted else record.cells
        reading = _Reading(row=row, line=record.line)
        if len(cells) != len(self.header):
            reading.refuse(_ragged(len(cells), len(self.header), self.sheet.delimiter), "csv.ragged")
        elif not any(cells[self.noted :]):
            reading.refuse("every cell is empty", "csv.empty_row")
        else:
            reading.is_whole = True
            self._read(cells, reading)
        text = ("{" + ",".join(reading.members) + "}").encode()
        if len(text) > max_row_bytes:
            reading.problems.append(too_large(len(text), max_row_bytes, row=row, line=record.line))
        at = self.external_id_position
        return Element(
            row=row,
            line=record.line,
            raw=record.raw.encode(),
            input=text,
            value=reading.value if reading.is_whole else None,
            external_id=cells[at].strip() if at is not None and reading.is_whole else None,
            problems=tuple(reading.problems),
        )

    def _read(self, cells: list[str], reading: _Reading) -> None:
        for column in self.columns:
            cell = cells[column.position]
            if not cell or not column.is_input:
                continue
            fit = typed(cell, column.types)
            if isinstance(fit, Typed):
                reading.members.append(column.key + fit.text)
                reading.value[column.name] = fit.value
            else:
                reading.refuse(fit.message, fit.code, column.name)


@dataclass(slots=True)
class _Reading:
    """One row while it is read."""

    row: int
    line: int
    members: list[str] = field(default_factory=list)
    value: dict[str, object] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    is_whole: bool = False

    def refuse(self, message: str, code: str, name: str | None = None) -> None:
        self.problems.append(Problem(message=message, code=code, row=self.row, line=self.line, field=name))


def open_table(
    data: bytes, *, schema: InputSchema, external_id_column: str | None, mapping: Mapping[str, str] = NO_MAPPING
) -> Table:
    """Find the delimiter, read the header, and fit it to the schema.

    Args:
        mapping: a column's name -> the field that it fills; an empty one: it is left out.

    Raises:
        BadInput: the bytes are no CSV in UTF-8, or the header does not fit; all its problems are listed.
    """
    sheet, first = open_header(data, schema, mapping)
    noted = notes_before(first.cells, schema)
    header = tuple((_unguarded(c) if noted else c).strip() for c in first.cells)
    judged = Header(header[noted:], first.line, schema, external_id=external_id_column, mapping=mapping)
    if faults := judged.faults():
        raise BadInput(_summary(faults), code=faults[0].code, problems=faults, hint=_HINTS.get(faults[0].code))
    columns = tuple(
        Column(
            position=noted + one.number - 1,
            name=one.field,
            key=_ENCODE(one.field) + ":",
            types=column_types(schema.definition, one.field),
            is_input=one.is_input(schema),
        )
        for one in judged.columns
    )
    at = header.index(external_id_column) if external_id_column is not None else None
    return Table(sheet=sheet, header=header, columns=columns, external_id_position=at, noted=noted)


def open_header(data: bytes, schema: InputSchema, mapping: Mapping[str, str]) -> tuple[Sheet, Record]:
    """Return the sheet, and its first record.

    Raises:
        BadInput: the bytes are no CSV in UTF-8, or there is nothing in them.
    """
    sheet = open_sheet(data, fields=(*schema.field_names, *mapping))
    first = next(sheet.records(), None)
    if first is None:
        raise BadInput("the file is empty", code="batch.empty")
    return sheet, first


def notes_before(header: Sequence[str], schema: InputSchema) -> int:
    """Return how many columns in front are notes: none where the schema has fields of these names."""
    return note_columns(header) if not set(NOTE_COLUMNS) & set(schema.field_names) else 0


_HINTS = {
    "csv.no_header": "The first line must name the input's fields.",
    "csv.column_unknown": "The first line must name the input's fields as the workflow's schema does; "
    "or say which column is which: --map COLUMN=FIELD.",
}


def note_columns(header: Sequence[str]) -> int:
    """Return how many columns at the start of a header are those that a file of refused rows adds."""
    return len(NOTE_COLUMNS) if tuple(header[: len(NOTE_COLUMNS)]) == NOTE_COLUMNS else 0


def guarded(cell: str) -> str:
    """Return a cell that no spreadsheet runs as a formula; a plain number needs no guard."""
    is_number = re.fullmatch(r"[-+]?[0-9]+([.,][0-9]+)?", cell)
    return "'" + cell if FORMULA.match(cell) and not is_number else cell


def _unguarded(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def _ragged(found: int, wanted: int, delimiter: str) -> str:
    name = "tab" if delimiter == "\t" else f'"{delimiter}"'
    hint = f" (a cell that holds a {name} needs quotes)" if found > wanted else ""
    return f"{found:,} {'cell' if found == 1 else 'cells'}, the header has {wanted:,}{hint}"


def _summary(faults: list[Problem]) -> str:
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"the header: {faults[0].message}{more}"
