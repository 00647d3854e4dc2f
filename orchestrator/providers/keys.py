"""API keys: which can stand in a header at all."""

from __future__ import annotations

from orchestrator.domain.answers import Access
from orchestrator.errors import BadInput, NotSent

MAX_KEY_CHARS = 1_024


def check_api_key(key: str) -> None:
    """Refuse a key that cannot stand in a header: a newline in it would write headers of its own.

    Raises:
        BadInput: empty, too long, or with anything but printable ASCII. The message never repeats it.
    """
    if not 0 < len(key) <= MAX_KEY_CHARS or not all("!" <= char <= "~" for char in key):
        raise BadInput(
            "an API key is printable ASCII without spaces", code="bad_key", hint="Was it copied with a line's end?"
        )


def checked_key(access: Access) -> str:
    """Return the key of a call.

    Raises:
        NotSent: it cannot stand in a header, so nothing was sent.
    """
    try:
        check_api_key(access.api_key)
    except BadInput as flaw:
        raise NotSent(flaw.message, code=flaw.code, hint=flaw.hint) from None
    return access.api_key
