"""Weak ETags: what a view says, and before it the state that a waiting reader asks about.

A tag is `W/"<state>.<digest of the view>"`. The whole of it says whether a view is as it was; its state alone whether
there is news to wait for: why a run waits, or when a batch will be done, is told anew with every look, and is no news.
"""

from __future__ import annotations

import hashlib

from starlette.datastructures import Headers

HEADER = "if-none-match"
MAX_TAGS = 20


def tag(text: str, *, state: str = "") -> str:
    """Return the tag of a view's JSON text. `state` is made of letters, digits and hyphens."""
    digest = hashlib.blake2b(text.encode(), digest_size=9).hexdigest()
    return f'W/"{state}.{digest}"'


def is_asked(headers: Headers) -> bool:
    """Tell whether the request names any tag."""
    return bool(_named(headers))


def is_named(tag: str, headers: Headers) -> bool:
    """Tell whether the request says that it has this very view; whether weak or not does not matter (RFC 9110)."""
    named = _named(headers)
    return "*" in named or _opaque(tag) in named


def state_is_named(state: str, headers: Headers) -> bool:
    """Tell whether the request says that it knows this state."""
    named = _named(headers)
    return "*" in named or any(name.startswith(f'"{state}.') for name in named)


def states_matched(headers: Headers) -> frozenset[str] | None:
    """Return the states of which a thing must be one to be changed (`If-Match`); None where that is not asked for."""
    named = _named(headers, "if-match")
    if not named or "*" in named:
        return None
    return frozenset(name.removeprefix('"').partition(".")[0] for name in named)


def _named(headers: Headers, header: str = HEADER) -> frozenset[str]:
    given = ",".join(headers.getlist(header)).split(",")[:MAX_TAGS]
    return frozenset(_opaque(name.strip()) for name in given if name.strip())


def _opaque(tag: str) -> str:
    return tag.removeprefix("W/")
