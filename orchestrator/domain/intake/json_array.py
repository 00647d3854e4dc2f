"""One JSON array of input objects; each element is kept as the bytes that came."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.domain.intake.json_flaws import find_flaw, flaw_at
from orchestrator.domain.intake.json_lines import element
from orchestrator.domain.intake.rows import Element
from orchestrator.domain.intake.strict_json import MAX_DEPTH, FlawFound, as_bad_input, decode
from orchestrator.errors import BadInput

#: More elements are not looked for, and deeper ones are not told apart: the array is refused as a whole.
MAX_SLICES = 1_000_000
MAX_SLICE_DEPTH = 1_000

_SPACE = " \t\n\r"
_FIRST = re.compile(r"[ \t\n\r]*+")
#: Everything that can move a boundary: a whole string, a bracket, a comma. The rest is passed over unread.
_MARK = re.compile(r'[^"\[\]{},]*+(?:("(?:[^"\\]|\\.)*+")|([\[{])|([\]}])|(,))', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Slice:
    """Where one element of the array stands in the text, white space around it left out."""

    start: int
    end: int


def read(sliced: tuple[str, list[Slice]], *, max_row_bytes: int) -> Iterator[Element]:
    """Give each element that `slices_of` found; one that is wrong inside does not hide the others."""
    text, slices = sliced
    line, counted = 1, 0
    for row, piece in enumerate(slices, start=1):
        line += text.count("\n", counted, piece.start)
        counted = piece.start
        raw = text[piece.start : piece.end].encode()
        yield element(raw, row=row, line=line, max_row_bytes=max_row_bytes)


def slices_of(data: bytes) -> tuple[str, list[Slice]]:
    """Return the text and where each element stands in it, at most one element more than MAX_SLICES.

    What is between two boundaries is not judged here. Brackets are only counted: should kinds be mixed, the
    slice is no JSON and its own reading says so.

    Raises:
        BadInput: the bytes are not one JSON array, so that elements cannot be told apart.
    """
    try:
        text = decode(data, allow_bom=True)
    except FlawFound as found:
        raise as_bad_input(found.flaw) from None
    first = _FIRST.match(text)
    start = first.end() if first else 0
    if text[start : start + 1] != "[":
        raise _not_an_array(text, start)
    slices, end = _boundaries(text, start + 1)
    if len(slices) > MAX_SLICES:
        return text, slices
    broken = end < 0 or text[end:].strip(_SPACE) or any(s.start == s.end for s in slices)
    if broken:
        flaw = find_flaw(text, max_depth=MAX_DEPTH + 1)
        assert flaw is not None, "the boundaries and the reading of the array disagree"
        raise as_bad_input(flaw)
    return text, slices


def _boundaries(text: str, position: int) -> tuple[list[Slice], int]:
    """Return the elements from `position` on and where the array ends, -1 when it does not."""
    slices: list[Slice] = []
    depth, start, mark = 1, position, _MARK.match
    while depth <= MAX_SLICE_DEPTH and len(slices) <= MAX_SLICES and (match := mark(text, position)):
        position = match.end()
        kind = match.lastindex
        if kind == 2:
            depth += 1
        elif kind == 3:
            depth -= 1
            if depth == 0:
                piece = _trimmed(text, start, position - 1)
                if slices or piece.start < piece.end:
                    slices.append(piece)
                return slices, position
        elif kind == 4 and depth == 1:
            slices.append(_trimmed(text, start, position - 1))
            start = position
    return slices, -1


def _trimmed(text: str, start: int, end: int) -> Slice:
    while start < end and text[start] in _SPACE:
        start += 1
    while end > start and text[end - 1] in _SPACE:
        end -= 1
    return Slice(start, end)


def _not_an_array(text: str, start: int) -> BadInput:
    char = text[start : start + 1]
    if char == "{":
        flaw = flaw_at(text, start, code="json.not_array", message="expected an array of objects, found an object")
        error = as_bad_input(flaw)
        error.hint = "Put [ and ] around it, or use JSONL: one object a line."
        return error
    flaw = find_flaw(text, max_depth=MAX_DEPTH) or flaw_at(
        text, start, code="json.not_array", message="expected an array of objects"
    )
    return as_bad_input(flaw)
