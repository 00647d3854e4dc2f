"""What of a hostile answer may be kept for a person to read: short, printable, and without secrets."""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_EVIDENCE_BYTES = 2_000
#: Redacted first and cut afterwards, so that no cut can leave half a secret that no pattern knows.
_READ_BYTES = 8_000
_MAX_SECRET_CHARS = 1_024
_GONE = "[redacted]"

_NAMES = (
    r"api[-_ ]?key|x-api-key|access[-_]?key\w{0,16}|secret\w{0,16}|token|password|passwd|signature"
    r"|credential\w{0,16}|authorization|cookie|session\w{0,16}"
)

#: Every repeat that something must follow is bounded: a hostile body must not make a search quadratic.
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # a URL's user and password, and its query: presigned URLs carry their signature there
    (re.compile(r"://[^\s/\"'<>@]{1,512}@"), f"://{_GONE}@"),
    (re.compile(r"\?[\w.~%+$\-\[\]]{1,128}(=|%3D|\\u003d)[^\s\"'<>]*", re.IGNORECASE), f"?{_GONE}"),
    # a value in quotes may have spaces
    (re.compile(rf"((?:{_NAMES})\"\s{{0,4}}:\s{{0,4}}\")(?:[^\"\\]|\\.){{1,1024}}", re.IGNORECASE), rf"\1{_GONE}"),
    # what a page calls a key; the value may stand in JSON, in a header or in a sentence
    (
        re.compile(
            rf"((?:{_NAMES})"
            r"[\"'\\]{0,4}\s{0,4}[:=]\s{0,4}[\"'\\]{0,4}"
            r"(?:(?:bearer|basic)\s{1,4})?)[^\s\"'<>,;&\\]+",
            re.IGNORECASE,
        ),
        rf"\1{_GONE}",
    ),
    (re.compile(r"(bearer\s{1,4})[\w.~+/=\-]{6,}", re.IGNORECASE), rf"\1{_GONE}"),
    # what looks like a key wherever it stands
    (re.compile(r"\b[a-z]{1,16}_?[a-z]{0,8}_(?:live|test|sk|pk)_[\w\-]{4,}", re.IGNORECASE), _GONE),
    (re.compile(r"\beyJ[\w\-]{8,512}\.[\w\-]+(?:\.[\w\-]*)?"), _GONE),
    (re.compile(r"[A-Za-z0-9+/_=]{40,}"), _GONE),
)
_CONTROLS = re.compile(
    r"[^\S\n ]|[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def evidence(body: bytes, *, secrets: Sequence[str] = (), is_cut: bool = False) -> str | None:
    """Return the start of an answer's body, at most 2 kB, redacted; None for an empty one.

    Args:
        secrets: texts that must not be kept wherever they stand, e.g. the key that was sent.
        is_cut: there was more of it, which was not read: what it ends with may be the half of a secret.
    """
    if not body:
        return None
    text = body[:_READ_BYTES].decode("utf-8", "replace")
    if is_cut or len(body) > _READ_BYTES:
        text = text[: max(text.rfind(" "), text.rfind("\n"), len(text) - _MAX_SECRET_CHARS, 0)]
    for secret in secrets:
        text = text.replace(secret, _GONE) if secret else text
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return _CONTROLS.sub(" ", text).encode()[:MAX_EVIDENCE_BYTES].decode("utf-8", "ignore")


def one_line(text: str, *, max_chars: int, secrets: Sequence[str] = ()) -> str:
    """Return a provider's own words fit for a message: one line, printable, without secrets, cut."""
    kept = evidence(text.encode("utf-8", "replace"), secrets=secrets) or ""
    return " ".join(kept.split())[:max_chars]


def plain_word(text: str, *, max_chars: int) -> str:
    """Return a short word from outside without control characters, cut."""
    return _CONTROLS.sub("", text).replace("\n", "")[:max_chars]
