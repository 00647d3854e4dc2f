"""Where and why a JSON text is wrong: the slow, exact second reading, made only once a text was refused."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

#: The interpreter refuses longer integers too; one rule for every number keeps the cost of reading bounded.
MAX_NUMBER_CHARS = 4_300
EXCERPT_CHARS = 80

_SPACE = re.compile(r"[ \t\n\r]*+")
_STRING_BODY = re.compile(r'[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+')
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)")
_NUMBER_LIKE = re.compile(r"[-+.]?[0-9][0-9.eE+-]*+|[-+](?:Infinity|NaN)")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(\.[0-9]++)?([eE][-+]?[0-9]++)?")
_WORD = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """The first thing that is wrong with a JSON text.

    Shape: `line` and `column` count from 1, columns in characters; `offset_bytes` counts from 0.
    """

    code: str
    message: str
    offset_bytes: int
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.message}, at line {self.line}, column {self.column} (byte {self.offset_bytes})"


def flaw_at(text: str, position: int, *, code: str, message: str) -> Flaw:
    """Return a flaw at a character of the text, with its line, column and byte."""
    line_start = text.rfind("\n", 0, position) + 1
    return Flaw(
        code=code,
        message=message,
        offset_bytes=len(text[:position].encode("utf-8", "surrogatepass")),
        line=text.count("\n", 0, position) + 1,
        column=position - line_start + 1,
    )


def find_flaw(text: str, *, max_depth: int) -> Flaw | None:
    """Read the text token by token and return the first flaw, None when there is none."""
    try:
        _Reading(text, max_depth).whole()
    except _Stop as stop:
        return flaw_at(text, min(stop.position, len(text)), code=stop.code, message=stop.message)
    return None


def number_flaw(spelling: str) -> str | None:
    """Return what is wrong with one number's spelling, None when it is a JSON number that we can hold."""
    match = _NUMBER.fullmatch(spelling)
    if match is None:
        return "not a JSON number" + _number_hint(spelling)
    if len(spelling.lstrip("-")) > MAX_NUMBER_CHARS:
        return f"a number of {len(spelling):,} characters, at most {MAX_NUMBER_CHARS:,}"
    if (match[1] or match[2]) and not math.isfinite(float(spelling)):
        return "too large for a number"
    return None


def excerpt(text: str, limit: int = EXCERPT_CHARS) -> str:
    """Return the text in one line, cut at `limit` characters, control characters made visible."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)


def _number_hint(spelling: str) -> str:
    if re.match(r"[-+]?0[0-9]", spelling):
        return " (no leading zeros)"
    if spelling.startswith("+"):
        return " (no plus sign)"
    if spelling.startswith(".") or spelling.endswith("."):
        return " (digits are needed on both sides of the point)"
    return ""


class _Stop(Exception):
    """Carries the first flaw out of the reading; it never leaves this module."""

    def __init__(self, position: int, message: str, code: str = "json.syntax") -> None:
        super().__init__(message)
        self.position = position
        self.message = message
        self.code = code


class _Reading:
    """One walk over a text. The stack is a list, so that depth costs no recursion."""

    def __init__(self, text: str, max_depth: int) -> None:
        self.text = text
        self.max_depth = max_depth
        self.position = 0
        #: one entry per open container: the keys seen in an object, None for an array
        self.open: list[set[str] | None] = []

    def whole(self) -> None:
        if self._peek() == "":
            raise _Stop(0, "there is nothing here", "json.empty")
        wants_value = True
        while wants_value or self.open:
            wants_value = self._value() if wants_value else self._after_value()
        if self._peek():
            raise _Stop(self.position, f"{self._found()} after the end of the value")

    def _peek(self) -> str:
        match = _SPACE.match(self.text, self.position)
        self.position = match.end() if match else self.position
        return self.text[self.position : self.position + 1]

    def _found(self) -> str:
        char = self._peek()
        return f'"{excerpt(char)}"' if char else "the end of the text"

    def _value(self) -> bool:
        """Read a scalar, or open a container; return whether a value must follow."""
        char = self._peek()
        if char in ("{", "["):
            return self._opened(char)
        if char == '"':
            self._string()
        elif match := _NUMBER_LIKE.match(self.text, self.position):
            self._number(match[0])
        elif match := _WORD.match(self.text, self.position):
            self._word(match[0])
        else:
            hint = " (strings need double quotes)" if char == "'" else ""
            raise _Stop(self.position, f"expected a value, found {self._found()}{hint}")
        return False

    def _opened(self, char: str) -> bool:
        if len(self.open) >= self.max_depth:
            raise _Stop(self.position, f"nested deeper than {self.max_depth} levels", "json.depth")
        self.position += 1
        self.open.append(set() if char == "{" else None)
        if self._peek() == ("}" if char == "{" else "]"):
            return False
        if char == "{":
            self._key()
        return True

    def _after_value(self) -> bool:
        """Close the innermost container, or go on in it; return whether a value must follow."""
        keys = self.open[-1]
        closer = "]" if keys is None else "}"
        char = self._peek()
        if char == closer:
            self.position += 1
            self.open.pop()
            return False
        if char != ",":
            raise _Stop(self.position, f'expected "," or "{closer}", found {self._found()}')
        comma = self.position
        self.position += 1
        if self._peek() == closer:
            raise _Stop(comma, f'a comma before "{closer}"')
        if keys is not None:
            self._key()
        return True

    def _key(self) -> None:
        char, start = self._peek(), self.position
        if char != '"':
            raise _Stop(start, f"expected a key in double quotes, found {self._found()}")
        key = self._string()
        keys = self.open[-1]
        if keys is None or key in keys:
            raise _Stop(start, f'the key "{excerpt(key)}" is there twice', "json.duplicate_key")
        keys.add(key)
        if self._peek() != ":":
            raise _Stop(self.position, f'expected ":" after the key, found {self._found()}')
        self.position += 1

    def _string(self) -> str:
        start = self.position + 1
        match = _STRING_BODY.match(self.text, start)
        end = match.end() if match else start
        char = self.text[end : end + 1]
        if char == "\x00":
            raise _Stop(end, "a NUL character in a string", "text.nul")
        if char == "\\":
            raise _Stop(end, f"no such escape: {excerpt(self.text[end : end + 2])}")
        if char and char < " ":
            raise _Stop(end, f"a control character ({excerpt(char)}) in a string, write it as an escape")
        if char != '"':
            raise _Stop(start - 1, "a string that never ends")
        self.position = end + 1
        return self._decoded(start, end)

    def _decoded(self, start: int, end: int) -> str:
        """Return the value of the string's body, whose escapes must make whole characters."""
        done, high = start, -1
        for match in _ESCAPE.finditer(self.text, start, end):
            at = match.start()
            unit = int(match[1], 16) if match[1] else 0x20
            if match[1] and unit == 0:
                raise _Stop(at, "a NUL character (\\u0000) in a string", "text.nul")
            is_low = 0xDC00 <= unit <= 0xDFFF
            if high >= 0 and not (is_low and at == done):
                raise _Stop(high, "half of a surrogate pair", "json.unicode")
            if is_low and high < 0:
                raise _Stop(at, "half of a surrogate pair", "json.unicode")
            high = at if 0xD800 <= unit <= 0xDBFF else -1
            done = match.end()
        if high >= 0:
            raise _Stop(high, "half of a surrogate pair", "json.unicode")
        return _resolved(self.text[start:end])

    def _number(self, spelling: str) -> None:
        wrong = number_flaw(spelling)
        if wrong:
            is_syntax = wrong.startswith("not a") and spelling.lstrip("+-") not in ("Infinity", "NaN")
            code = "json.syntax" if is_syntax else "json.number"
            raise _Stop(self.position, f"{wrong}: {excerpt(spelling, 40)}", code)
        self.position += len(spelling)

    def _word(self, word: str) -> None:
        if word in ("NaN", "Infinity"):
            raise _Stop(self.position, f"{word} is not a JSON number", "json.number")
        if word not in ("true", "false", "null"):
            hint = f" (write {word.lower()})" if word in ("True", "False", "NULL", "Null", "TRUE", "FALSE") else ""
            raise _Stop(self.position, f'expected a value, found "{excerpt(word, 40)}"{hint}')
        self.position += len(word)


_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_UNIT = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})|\\(.)")


def _resolved(body: str) -> str:
    """Return the text of a string body whose escapes are known to be well formed."""

    def one(match: re.Match[str]) -> str:
        if match[1]:
            return chr(0x10000 + ((int(match[1], 16) - 0xD800) << 10) + (int(match[2], 16) - 0xDC00))
        return chr(int(match[3], 16)) if match[3] else _SHORT.get(match[4], match[4])

    return _UNIT.sub(one, body) if "\\" in body else body
