"""A CSV table: its header read against the workflow's schema, its records turned into inputs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from orchestrator.domain.intake.csv_cells import Typed, column_types, typed
from orchestrator.domain.intake.csv_records import Record, Sheet, open_sheet
from orchestrator.domain.intake.json_lines import too_large
from orchestrator.domain.intake.rows import Element
from orchestrator.domain.intake.schema import InputSchema
from orchestrator.domain.intake.schema_words import did_you_mean, quoted
from orchestrator.errors import BadInput, Problem

MAX_COLUMNS = 1_000
MAX_NAME_CHARS = 200
#: Comparing names is slow; so many columns of a strange header get a "did you mean".
MAX_HINTS = 50
#: What the file of refused rows adds in front; a mended file that still has them is read without them.
NOTE_COLUMNS = ("_row", "_line", "_problem")

#: A cell that a spreadsheet may run as a formula, its guards (leading apostrophes) included.
FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_DATA_LIKE = re.compile(r"[-+]?[0-9]+([.,][0-9]+)*|[a-z][a-z0-9+.-]*://.*|[^@\s]+@[^@\s]+\.[^@\s]+", re.I | re.S)
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


def open_table(data: bytes, *, schema: InputSchema, external_id_column: str | None) -> Table:
    """Find the delimiter, read the header, and fit it to the schema.

    Raises:
        BadInput: the bytes are no CSV in UTF-8, or the header does not fit; all its problems are listed.
    """
    sheet = open_sheet(data, fields=schema.field_names)
    first = next(sheet.records(), None)
    if first is None:
        raise BadInput("the file is empty", code="batch.empty")
    noted = note_columns(first.cells) if not set(NOTE_COLUMNS) & set(schema.field_names) else 0
    header = tuple((_unguarded(c) if noted else c).strip() for c in first.cells)
    faults = _Header(header[noted:], first.line, schema, external_id_column).faults()
    if faults:
        raise BadInput(_summary(faults), code=faults[0].code, problems=faults, hint=_HINTS.get(faults[0].code))
    columns = tuple(
        Column(
            position=position,
            name=name,
            key=_ENCODE(name) + ":",
            types=column_types(schema.definition, name),
            is_input=name != external_id_column or name in schema.field_names,
        )
        for position, name in enumerate(header)
        if position >= noted
    )
    at = header.index(external_id_column) if external_id_column is not None else None
    return Table(sheet=sheet, header=header, columns=columns, external_id_position=at, noted=noted)


_HINTS = {
    "csv.no_header": "The first line must name the input's fields.",
    "csv.column_unknown": "The first line must name the input's fields as the workflow's schema does.",
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


class _Header:
    """The names of a table's columns, to be judged."""

    def __init__(self, names: tuple[str, ...], line: int, schema: InputSchema, external_id: str | None) -> None:
        self.names = names
        self.line = line
        self.schema = schema
        self.external_id = external_id

    def faults(self) -> list[Problem]:
        """Return what is wrong with the header; what makes it no header at all stands alone."""
        if len(self.names) > MAX_COLUMNS:
            return [self._fault(f"{len(self.names):,} columns, at most {MAX_COLUMNS:,}", "csv.columns")]
        if looks := self._looks_like_data():
            return [looks]
        return [*self._unnamed(), *self._doubled(), *self._unknown(), *self._missing()]

    def _fault(self, message: str, code: str, name: str | None = None) -> Problem:
        return Problem(message=message, code=code, line=self.line, field=name)

    def _looks_like_data(self) -> Problem | None:
        fields = self.schema.field_names
        given = [name for name in self.names if name]
        if fields and not self.schema.has_name_patterns and not set(given) & {*fields, self.external_id}:
            # near misses are names, and get their own "did you mean"
            if any(did_you_mean(name, fields) for name in given[:MAX_HINTS]):
                return None
            known = ", ".join(map(quoted, fields[:8]))
            message = f"none of its names is a field of the workflow ({known}): is the header missing?"
            return self._fault(message, "csv.no_header", given[0][:MAX_NAME_CHARS] if given else None)
        for name in given:
            if len(name) > MAX_NAME_CHARS or (name not in fields and _DATA_LIKE.fullmatch(name)):
                message = f"{quoted(name)} looks like data, not like a field's name: is the header missing?"
                return self._fault(message, "csv.no_header", name[:MAX_NAME_CHARS])
        return None

    def _unnamed(self) -> Iterator[Problem]:
        for position, name in enumerate(self.names, start=1):
            if not name:
                yield self._fault(f"column {position} has no name", "csv.column_unnamed", f"column {position}")
            elif "\x00" in name:
                yield self._fault(f"column {position} has a NUL character in its name", "text.nul")

    def _doubled(self) -> Iterator[Problem]:
        first: dict[str, int] = {}
        for position, name in enumerate(self.names, start=1):
            if name and first.setdefault(name, position) != position:
                message = f"columns {first[name]} and {position} are both named {quoted(name)}"
                yield self._fault(message, "csv.column_doubled", name)

    def _unknown(self) -> Iterator[Problem]:
        if not self.schema.is_closed:
            return
        declared, present = set(self.schema.field_names), set(self.names)
        absent = [f for f in self.schema.field_names if f not in present]
        for position, name in enumerate(dict.fromkeys(self.names)):
            if name and name not in declared and name != self.external_id:
                hint = did_you_mean(name, absent) if position < MAX_HINTS else ""
                yield self._fault(f"unknown column {quoted(name)}{hint}", "csv.column_unknown", name)

    def _missing(self) -> Iterator[Problem]:
        declared, present = set(self.schema.field_names), set(self.names)
        spare = [n for n in self.names if n not in declared]
        for position, name in enumerate(self.schema.required):
            if name not in present:
                near = did_you_mean(name, spare) if position < MAX_HINTS else ""
                hint = near.replace("did you mean", "is it")
                yield self._fault(f"no column {quoted(name)}, which is required{hint}", "csv.column_missing", name)
        if self.external_id is not None and self.external_id not in self.names:
            near = did_you_mean(self.external_id, self.names)
            message = f"no column {quoted(self.external_id)} for the external id{near}"
            yield self._fault(message, "csv.column_missing", self.external_id)
