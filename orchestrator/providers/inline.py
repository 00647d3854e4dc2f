"""Results that stand in the answer itself, offered as files all the same: their bytes are their URL.

So they go the way of every result: sealed, stored, hashed and verified, and their URL is cleared once they are stored.
"""

from __future__ import annotations

import base64
import binascii
import json

from orchestrator.domain.answers import OfferedFile

_HEAD = "data:application/json;base64,"


def inline_file(filename: str, value: object) -> OfferedFile:
    """Return a value as a file of JSON: UTF-8, without spaces, its members in the order in which they came."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return OfferedFile(filename=filename, url=_HEAD + base64.b64encode(body).decode("ascii"))


def inline_body(url: str) -> bytes | None:
    """Return the bytes of an inline file; None for a URL that is to be fetched."""
    if not url.startswith(_HEAD):
        return None
    try:
        return base64.b64decode(url[len(_HEAD) :], validate=True)
    except binascii.Error:
        return None
