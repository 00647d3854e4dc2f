"""CSV text taken apart into records of cells, each with the line it starts on and its own text.

Why not the `csv` module: it takes broken quotes without a word, knows no start lines and no raw text, and its
cell limit is one setting for the whole process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from orchestrator.domain.intake.schema_words import quoted
from orchestrator.domain.intake.strict_json import UTF8_BOM, is_wide
from orchestrator.errors import BadInput, Problem

DELIMITERS = (",", ";", "\t")
#: How many records are looked at to find the delimiter.
SAMPLE_RECORDS = 20

_SEP_LINE = re.compile(r'"?sep=([,;\t])"?\r?\n', re.IGNORECASE)
_BLANK_LINES = re.compile(r"(?:[ \r]*+\n)++")
_SAVE_AS = 'Save it as "CSV UTF-8" (in a spreadsheet), or convert it: iconv -f {0} -t UTF-8 FILE'


@dataclass(frozen=True, slots=True)
class Record:
    """One record. `line` counts from 1; `raw` is its text without the line's end."""

    line: int
    cells: list[str]
    raw: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """A CSV text whose delimiter is known; `first_line` is the line of the file that `text` starts on."""

    text: str
    delimiter: str
    first_line: int

    def records(self) -> Iterator[Record]:
        """Give the records that are not empty lines, the header first."""
        return _records(self.text, self.delimiter, self.first_line)


def open_sheet(data: bytes, *, fields: Sequence[str] = ()) -> Sheet:
    """Decode the bytes and find the delimiter.

    Args:
        fields: names that the header is likely to hold; they decide between delimiters that split alike.

    Raises:
        BadInput: not UTF-8, or broken quotes in the first records; the message says how to mend it.
    """
    text = _decoded(data)
    if "\n" not in text:
        text = text.replace("\r", "\n")
    if named := _SEP_LINE.match(text):
        return Sheet(text[named.end() :], named[1], 2)
    return Sheet(text, _delimiter(text, frozenset(fields)), 1)


def _decoded(data: bytes) -> str:
    if data.startswith(b"PK\x03\x04"):
        raise _not_text("this is a spreadsheet workbook (or another zip file), not CSV", "Save it as CSV UTF-8.")
    if is_wide(data):
        raise _not_text("the file is UTF-16, not UTF-8", _SAVE_AS.format("UTF-16"))
    try:
        return data.removeprefix(UTF8_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        bad = error.object[error.start]
        line = error.object.count(b"\n", 0, error.start) + 1
        letter = bytes([bad]).decode("cp1252", "replace")
        guess = f' (in Windows-1252 it would be "{letter}")' if letter.isprintable() else ""
        message = f"byte 0x{bad:02x} is not UTF-8{guess}"
        raise _not_text(message, _SAVE_AS.format("WINDOWS-1252"), line=line) from None


def _not_text(message: str, hint: str, *, line: int | None = None) -> BadInput:
    problem = Problem(message=message, code="csv.encoding", line=line)
    return BadInput(str(problem), code="csv.encoding", hint=hint, problems=(problem,))


def _delimiter(text: str, fields: frozenset[str]) -> str:
    """Return the delimiter under which the first records agree best; a comma when none splits the header."""
    best, best_score = DELIMITERS[0], (0, 0.0, 0)
    for delimiter in DELIMITERS:
        try:
            sample = list(islice(_records(text, delimiter, 1), SAMPLE_RECORDS))
        except BadInput:
            continue
        width = len(sample[0].cells) if sample else 0
        if width < 2:
            continue
        known = sum(cell.strip() in fields for cell in sample[0].cells)
        score = (known, sum(len(r.cells) == width for r in sample) / len(sample), width)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _records(text: str, delimiter: str, first_line: int) -> Iterator[Record]:
    """Split the text: lines without a quote by `split`, the others cell by cell."""
    reader = _Quoted(text, delimiter)
    position, line, end = 0, first_line, len(text)
    row = 0
    while position < end:
        if blank := _BLANK_LINES.match(text, position):
            line += blank[0].count("\n")
            position = blank.end()
            continue
        stop = text.find("\n", position)
        stop = end if stop < 0 else stop
        raw = text[position:stop]
        if '"' in raw:
            cells, stop = reader.cells(position, line, row)
            raw = text[position:stop]
        else:
            cells = raw.removesuffix("\r").split(delimiter)
        if len(cells) > 1 or '"' in raw or cells[0].strip():
            row += 1
            yield Record(line, cells, raw.removesuffix("\r"))
        line += raw.count("\n") + 1
        position = stop + 1


class _Quoted:
    """Reads records that hold quotes. White space before an opening and after a closing quote is dropped."""

    def __init__(self, text: str, delimiter: str) -> None:
        d = re.escape(delimiter)
        self.text = text
        self.delimiter = delimiter
        # the second group is there when the cell is closed and followed by what may follow a cell
        self._quoted = re.compile(rf' *+"([^"]*+(?:""[^"]*+)*+)(" *+(?={d}|\r?(?:\n|\Z)))?')
        self._plain = re.compile(rf"[^{d}\n]*+")

    def cells(self, position: int, line: int, row: int) -> tuple[list[str], int]:
        """Return the cells of the record that starts at `position`, and where its line's end stands."""
        cells: list[str] = []
        text, start = self.text, position
        while True:
            if match := self._quoted.match(text, position):
                position = match.end()
                if match[2] is None:
                    raise self._broken(start, match, line, row, len(cells))
                cells.append(match[1].replace('""', '"'))
                position += text.startswith("\r", position)
            else:
                plain = self._plain.match(text, position)
                assert plain is not None, "the pattern matches the empty text"
                position = plain.end()
                at_line_end = not text.startswith(self.delimiter, position)
                cells.append(plain[0].removesuffix("\r") if at_line_end else plain[0])
            if not text.startswith(self.delimiter, position):
                return cells, position
            position += 1

    def _broken(self, start: int, match: re.Match[str], line: int, row: int, column: int) -> BadInput:
        opened = line + self.text.count("\n", start, match.start())
        fault = "is never closed"
        after = self.text[match.end() + 1 : match.end() + 20]
        if self.text.startswith('"', match.end()):
            closed = line + self.text.count("\n", start, match.end())
            there = f" in line {closed}" if closed != opened else ""
            fault = f"goes on after its closing quote{there}: {quoted(after.partition(chr(10))[0])}"
        message = f'the quoted cell {column + 1} {fault}; a quote inside a quoted cell is written twice ("")'
        problem = Problem(message=message, code="csv.quote", row=row or None, line=opened)
        return BadInput(str(problem), code="csv.quote", problems=(problem,))
