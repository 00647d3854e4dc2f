"""JSONL: one input object a line, each kept as the bytes that came."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.domain.intake.content import Content
from orchestrator.domain.intake.rows import Element
from orchestrator.domain.intake.strict_json import MAX_DEPTH, UTF8_BOM, FlawFound, decode, is_wide, load
from orchestrator.errors import BadInput, Problem

#: What JSON calls white space; `bytes.strip()` would take more.
SPACE = b" \t\r\n"


def read(content: Content, *, max_row_bytes: int) -> Iterator[Element]:
    """Give each line that is not empty; empty lines count as lines, not as rows.

    Raises:
        BadInput: the file as a whole is not UTF-8 text with one object a line.
    """
    if is_wide(content.head(4)):
        raise BadInput("the file looks like UTF-16: save it as UTF-8", code="json.encoding")
    row = 0
    for number, line in enumerate(content.lines(), start=1):
        text = _text(line, number)
        if text:
            row += 1
            if row == 1:
                _refuse_an_array(text, number)
            yield element(text, row=row, line=number, max_row_bytes=max_row_bytes)


def count(content: Content) -> int:
    """Return how many rows the file has, without reading them."""
    return sum(1 for number, line in enumerate(content.lines(), start=1) if _text(line, number))


def element(text: bytes, *, row: int, line: int, max_row_bytes: int) -> Element:
    """Read one row's JSON text, which starts on `line` of the file."""
    if len(text) > max_row_bytes:
        return _bad(text, too_large(len(text), max_row_bytes, row=row, line=line))
    try:
        value = load(decode(text, allow_bom=False), max_depth=MAX_DEPTH)
    except FlawFound as found:
        flaw = found.flaw
        message = f"{flaw.message} (column {flaw.column})"
        problem = Problem(message=message, code=flaw.code, row=row, line=line + flaw.line - 1)
        return _bad(text, problem, line=line)
    if not isinstance(value, dict):
        message = f"expected an object, got {json_type(value)}"
        return _bad(text, Problem(message=message, code="body.not_object", row=row, line=line))
    return Element(row=row, line=line, raw=text, input=text, value=value)


def too_large(size_bytes: int, max_row_bytes: int, *, row: int | None, line: int | None) -> Problem:
    """Return the problem of a row that the provider would not take."""
    message = f"the input has {size_bytes:,} bytes, at most {max_row_bytes:,}"
    return Problem(message=message, code="row.too_large", row=row, line=line)


def json_type(value: object) -> str:
    """Return the JSON name of a value's type, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def _text(line: bytes, number: int) -> bytes:
    return (line.removeprefix(UTF8_BOM) if number == 1 else line).strip(SPACE)


def _bad(text: bytes, problem: Problem, *, line: int | None = None) -> Element:
    assert problem.row is not None and problem.line is not None, "a row's problem names its place"
    return Element(row=problem.row, line=line or problem.line, raw=text, problems=(problem,))


def _refuse_an_array(text: bytes, line: int) -> None:
    """Say it once when the file is plainly not JSONL, instead of once a line."""
    if text in (b"[", b"{") or text.startswith((b"[{", b"[ {")):
        message = "this is not one object a line"
        hint = "Give one object a line without line breaks in it, or name the file .json for one array of objects."
        problem = Problem(message=message, code="jsonl.not_lines", row=1, line=line)
        raise BadInput(message, code="jsonl.not_lines", hint=hint, problems=(problem,))
