"""The names of a table's columns: which field each fills, and what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from orchestrator.domain.intake.schema import InputSchema
from orchestrator.domain.intake.schema_words import did_you_mean, nearest, quoted
from orchestrator.errors import Problem

MAX_COLUMNS = 1_000
MAX_NAME_CHARS = 200
#: Comparing names is slow; so many columns of a strange header get a "did you mean".
MAX_HINTS = 50
NO_MAPPING: Mapping[str, str] = MappingProxyType({})

_DATA_LIKE = re.compile(r"[-+]?[0-9]+([.,][0-9]+)*|[a-z][a-z0-9+.-]*://.*|[^@\s]+@[^@\s]+\.[^@\s]+", re.I | re.S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A column that is used. `number` counts from 1; `column` is its name in the file, `field` what it fills."""

    number: int
    column: str
    field: str
    is_mapped: bool
    is_external_id: bool

    def is_input(self, schema: InputSchema) -> bool:
        """Tell whether it goes into the input; one that only names the row does not."""
        return not self.is_external_id or self.is_mapped or self.field in schema.field_names


def named(header: Iterable[str], mapping: Mapping[str, str], *, external_id: str | None) -> list[Named]:
    """Return the columns that are used: those that are mapped to no field are left out."""
    return [
        Named(
            number=number,
            column=column,
            field=mapping.get(column, column),
            is_mapped=column in mapping,
            is_external_id=column == external_id,
        )
        for number, column in enumerate(header, start=1)
        if mapping.get(column) != ""
    ]


class Header:
    """The names of a table's columns, to be judged.

    Args:
        header: all names of the file; some may be left out by the mapping.
    """

    def __init__(
        self,
        header: Sequence[str],
        line: int,
        schema: InputSchema,
        *,
        external_id: str | None,
        mapping: Mapping[str, str] = NO_MAPPING,
    ) -> None:
        self.header = header
        self.line = line
        self.schema = schema
        self.external_id = external_id
        self.mapping = mapping
        self.columns = named(header, mapping, external_id=external_id)
        self.names = tuple(column.field for column in self.columns)

    def faults(self) -> list[Problem]:
        """Return what is wrong with the header; what makes it no header at all stands alone."""
        if len(self.header) > MAX_COLUMNS:
            return [self._fault(f"{len(self.header):,} columns, at most {MAX_COLUMNS:,}", "csv.columns")]
        unmet = [*self._unmet()]
        if not unmet and (looks := self._looks_like_data()):
            return [looks]
        return [*unmet, *self._unnamed(), *self._doubled(), *self._unknown(), *self._missing()]

    def near(self, column: Named) -> str | None:
        """Return the field that a column may mean that no field is named like."""
        return nearest(column.field, self.absent()) if column.number <= MAX_HINTS else None

    def absent(self) -> list[str]:
        """Return the fields of the schema that no column fills."""
        present = set(self.names)
        return [field for field in self.schema.field_names if field not in present]

    def _fault(self, message: str, code: str, name: str | None = None) -> Problem:
        return Problem(message=message, code=code, line=self.line, field=name)

    def _unmet(self) -> Iterator[Problem]:
        """Tell of the mapping's columns that are not there."""
        present = set(self.header)
        for column in self.mapping:
            if column not in present:
                hint = did_you_mean(column, self.header)
                message = f"no column {quoted(column)}, which the mapping names{hint}"
                yield self._fault(message, "csv.column_missing", column[:MAX_NAME_CHARS])

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
        for column in self.columns:
            if not column.field:
                message = f"column {column.number} has no name"
                yield self._fault(message, "csv.column_unnamed", f"column {column.number}")
            elif "\x00" in column.field:
                yield self._fault(f"column {column.number} has a NUL character in its name", "text.nul")

    def _doubled(self) -> Iterator[Problem]:
        first: dict[str, int] = {}
        for column in self.columns:
            name = column.field
            if name and first.setdefault(name, column.number) != column.number:
                said = "mapped to" if column.is_mapped else "named"
                message = f"columns {first[name]} and {column.number} are both {said} {quoted(name)}"
                yield self._fault(message, "csv.column_doubled", name)

    def _unknown(self) -> Iterator[Problem]:
        if not self.schema.is_closed:
            return
        declared, absent = set(self.schema.field_names), self.absent()
        told: set[str] = set()
        for column in self.columns:
            name = column.field
            if name and name not in declared and name not in told and column.is_input(self.schema):
                hint = did_you_mean(name, absent) if len(told) < MAX_HINTS else ""
                told.add(name)
                yield self._fault(f"unknown column {quoted(name)}{hint}", "csv.column_unknown", name)

    def _missing(self) -> Iterator[Problem]:
        declared, present = set(self.schema.field_names), set(self.names)
        spare = [n for n in self.names if n not in declared]
        for position, name in enumerate(self.schema.required):
            if name not in present:
                near = did_you_mean(name, spare) if position < MAX_HINTS else ""
                hint = near.replace("did you mean", "is it")
                yield self._fault(f"no column {quoted(name)}, which is required{hint}", "csv.column_missing", name)
        if self.external_id is not None and self.external_id not in self.header:
            near = did_you_mean(self.external_id, self.header)
            message = f"no column {quoted(self.external_id)} for the external id{near}"
            yield self._fault(message, "csv.column_missing", self.external_id)
