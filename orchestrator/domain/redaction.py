"""JSON as a page shows it: indented, its tokens as they were stored, the values of secret-looking keys left out.

It works on the text and not on parsed values, so that a large number or a doubled key is seen as it was sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

HIDDEN = '"(hidden)"'

# A string that the end of the text cuts off is one token all the same: of a secret no half must be seen.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[{}\[\],:]|[^\s{}\[\],:"]+')
_SECRET = re.compile(
    r"pass(word|wd|phrase)?$|secret|token$|api[_-]?key|private[_-]?key|authori[sz]ation|credential|cookie|iban$|cvv|ssn$",
    re.IGNORECASE,
)
MAX_DEPTH = 100


def is_secret(key: str) -> bool:
    """Tell whether a key's name says that its value is nobody's business."""
    return _SECRET.search(key) is not None


def pretty(text: str) -> tuple[str, int]:
    """Return the text indented and redacted, and how many values were left out.

    What is no JSON comes out with its tokens in order all the same: nothing is checked here.
    """
    tokens = _TOKEN.findall(text)
    kept, hidden = _redacted(tokens)
    return "".join(_laid_out(kept)), hidden


def hidden(text: str) -> str:
    """Return JSON, or what a cut left of it, in one line, without the values of secret-looking keys."""
    return "".join(f"{token} " if token in (":", ",") else token for token in _redacted(_TOKEN.findall(text))[0])


def _redacted(tokens: list[str]) -> tuple[list[str], int]:
    kept: list[str] = []
    hidden, at = 0, 0
    while at < len(tokens):
        token = tokens[at]
        kept.append(token)
        at += 1
        if token.startswith('"') and at < len(tokens) and tokens[at] == ":" and is_secret(token[1:-1]):
            kept += [":", HIDDEN]
            hidden += 1
            at = _after_value(tokens, at + 1)
    return kept, hidden


def _after_value(tokens: list[str], at: int) -> int:
    """Return where a value ends that begins at a place."""
    depth = 0
    while at < len(tokens):
        depth += (tokens[at] in "{[") - (tokens[at] in "}]")
        at += 1
        if depth <= 0:
            break
    return at


def _laid_out(tokens: list[str]) -> Iterator[str]:
    depth = 0
    before = ""
    for token in tokens:
        if token in ("}", "]"):
            depth = max(0, depth - 1)
            yield token if before in ("{", "[") else _line(depth) + token
        else:
            if before in ("{", "[", ","):
                yield _line(depth)
            yield f"{token} " if token == ":" else token  # noqa: S105 - a token of JSON
            depth += token in ("{", "[")
        before = token


def _line(depth: int) -> str:
    return "\n" + "  " * min(depth, MAX_DEPTH)
