"""What reading a user's file gives: the rows that may be stored, and those that may not, with their reasons."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.domain.intake.content import Text, bytes_of
from orchestrator.domain.intake.json_flaws import excerpt
from orchestrator.errors import Problem


class FileFormat(StrEnum):
    """How a batch's rows are written down."""

    CSV = "csv"
    JSONL = "jsonl"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One input, ready to be stored.

    Shape: `index` counts accepted rows from 0, `row` all data rows from 1, `line` lines of the file from 1;
    `held` is the input, wherever it is kept.
    """

    index: int
    row: int
    line: int
    held: Text
    external_id: str | None

    @property
    def input(self) -> bytes:
        """Return the text of a JSON object, as it came wherever it came as JSON."""
        return bytes_of(self.held)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """One row that cannot be taken. `raw` is the row as it stands in the file, without its line's end."""

    row: int
    line: int
    raw: bytes
    problems: tuple[Problem, ...]

    @property
    def excerpt(self) -> str:
        """Return the start of the row as it came, fit for one line of a terminal."""
        return excerpt(self.raw[:400].decode("utf-8", "replace"), 200)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """A whole file, read. `sha256` is the hex digest of its bytes; `header` and `delimiter` are CSV's only."""

    format: FileFormat
    rows: tuple[Row, ...]
    refused: tuple[Refused, ...]
    sha256: str
    header: tuple[str, ...] | None = None
    delimiter: str | None = None

    @property
    def total(self) -> int:
        """Return how many data rows the file holds, good and bad."""
        return len(self.rows) + len(self.refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One row of a file on its way in: where it stands, what it is, what is wrong with it so far.

    Shape: `value` is the object that `input` spells, without the fields that `problems` name; None when the
    row has no fields to speak of.
    """

    row: int
    line: int
    raw: Text
    input: Text = b""
    value: dict[str, object] | None = None
    external_id: str | None = None
    problems: tuple[Problem, ...] = ()
