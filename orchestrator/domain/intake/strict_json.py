"""JSON read strictly: what one reader would read otherwise than another is refused, with its place.

Python's `json` keeps the last of two equal keys, takes NaN, turns 1e999 into infinity, accepts half surrogate
pairs and fails with RecursionError on deep nesting; Postgres differs in each of these. Here they are errors.
"""

from __future__ import annotations

import json
import math
import re
from itertools import accumulate
from typing import Any, NoReturn

from orchestrator.domain.intake.json_flaws import MAX_NUMBER_CHARS, Flaw, find_flaw
from orchestrator.errors import BadInput, Problem, TooLarge

MAX_DEPTH = 64
MAX_BYTES = 32 * 1024 * 1024

UTF8_BOM = b"\xef\xbb\xbf"
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_SPACE = " \t\n\r"
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_BRACKETS = re.compile(r"[^][{}]++")
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1}
#: an escape that may be NUL or half a pair; seldom there, so the exact check is made only then
_RISKY_ESCAPE = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")


def parse(data: bytes, *, max_depth: int = MAX_DEPTH, max_bytes: int = MAX_BYTES, allow_bom: bool = False) -> Any:
    """Return the value that the bytes spell.

    Args:
        allow_bom: take and drop a UTF-8 byte order mark; off, because two readers disagree on it.

    Raises:
        TooLarge: more than `max_bytes`.
        BadInput: not strict JSON; its one problem holds the line, its message the column and byte too.
    """
    if len(data) > max_bytes:
        raise TooLarge(f"{len(data):,} bytes of JSON, at most {max_bytes:,}")
    try:
        text = decode(data, allow_bom=allow_bom)
        return load(text, max_depth=max_depth)
    except FlawFound as found:
        flaw = found.flaw
    raise as_bad_input(flaw)


def check(data: bytes, *, max_depth: int = MAX_DEPTH, allow_bom: bool = False) -> Flaw | None:
    """Return the first flaw of the bytes, None when `parse` would take them (their size apart)."""
    try:
        load(decode(data, allow_bom=allow_bom), max_depth=max_depth)
    except FlawFound as found:
        return found.flaw
    return None


def as_bad_input(flaw: Flaw) -> BadInput:
    """Return the error that tells a caller of this flaw."""
    problem = Problem(message=f"{flaw.message} (column {flaw.column})", code=flaw.code, line=flaw.line)
    return BadInput(str(flaw), code=flaw.code, problems=(problem,))


def decode(data: bytes, *, allow_bom: bool) -> str:
    """Return the text of the bytes, which must be UTF-8."""
    if data.startswith(UTF8_BOM):
        if not allow_bom:
            raise FlawFound(_encoding("a byte order mark: send UTF-8 without one", 0))
        data = data[len(UTF8_BOM) :]
    if is_wide(data):
        raise FlawFound(_encoding("this looks like UTF-16 or UTF-32: send UTF-8", 0))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        message = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise FlawFound(_encoding(message, error.start, line=line, column=column)) from None


def is_wide(data: bytes) -> bool:
    """Return whether the bytes look like UTF-16 or UTF-32: its mark, or NUL bytes beside the first letters."""
    return data.startswith(_WIDE_BOMS) or (len(data) > 1 and (data[0] == 0) != (data[1] == 0))


def load(text: str, *, max_depth: int) -> Any:
    """Return the value that the text spells; the quick reading decides, the slow one explains."""
    if _is_too_deep(text, max_depth):
        _refuse(text, max_depth)
    try:
        value = _DECODER.decode(text)
    except ValueError:
        _refuse(text, max_depth)
    if _RISKY_ESCAPE.search(text) and not _is_plain_text(value):
        flaw = find_flaw(text, max_depth=max_depth)
        if flaw is not None:
            raise FlawFound(flaw)
    return value


def _refuse(text: str, max_depth: int) -> NoReturn:
    flaw = find_flaw(text, max_depth=max_depth)
    assert flaw is not None, "the two readings of JSON disagree"
    raise FlawFound(flaw)


def _encoding(message: str, offset: int, *, line: int = 1, column: int = 1) -> Flaw:
    return Flaw(code="json.encoding", message=message, offset_bytes=offset, line=line, column=column)


def _is_too_deep(text: str, max_depth: int) -> bool:
    """Return whether brackets outside strings nest too deeply; no recursion, and mostly just two counts."""
    if text.count("[") + text.count("{") <= max_depth:
        return False
    brackets = _BRACKETS.sub("", _STRINGS.sub("", text))
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > max_depth


def _is_plain_text(value: Any) -> bool:
    """Return whether no string in the value can hold half a surrogate pair or a NUL."""
    spelled = _ENCODER.encode(value)
    return "\\u0000" not in spelled and _is_utf8(spelled)


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


class FlawFound(Exception):
    """Carries a flaw to whoever turns it into a problem; it never leaves this room."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.message)
        self.flaw = flaw


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def _constant(word: str) -> NoReturn:
    raise ValueError(word)


def _finite(spelling: str) -> float:
    number = float(spelling)
    if not math.isfinite(number) or len(spelling.lstrip("-")) > MAX_NUMBER_CHARS:
        raise ValueError("number out of range")
    return number


# `int` itself refuses more than 4,300 digits with a ValueError.
_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant, parse_float=_finite)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
