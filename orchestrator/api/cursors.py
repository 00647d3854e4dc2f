"""Pages of a list. A cursor is opaque, signed, and good only for the list, the filters and the workspace it is from."""

from __future__ import annotations

import base64
import binascii
import hmac
from uuid import UUID

from orchestrator.api.problems import RequestRefused
from orchestrator.storage.sealing import Sealer

_MAC_BYTES = 12
MAX_CURSOR_CHARS = 200


def issue(sealer: Sealer, bound_to: tuple[str, ...], after: UUID | int) -> str:
    """Return the cursor for what follows a sort key.

    Args:
        bound_to: what the page depends on: the path, the workspace, each filter.
    """
    key = f"i{after}" if isinstance(after, int) else f"u{after.hex}"
    return _spelled(sealer, bound_to, key)


def redeem(sealer: Sealer, bound_to: tuple[str, ...], cursor: str) -> UUID | int:
    """Return the sort key of a cursor.

    Raises:
        RequestRefused: 400; changed, or from another list, filter or workspace. A wrong page is never shown.
    """
    key = _key(sealer, bound_to, cursor)
    if key is None:
        raise RequestRefused(
            400,
            "this cursor does not belong to this list with these filters",
            code="cursor.invalid",
            hint="Start again without a cursor; keep the filters the same from page to page.",
        )
    return int(key[1:]) if key[0] == "i" else UUID(hex=key[1:])


def _key(sealer: Sealer, bound_to: tuple[str, ...], cursor: str) -> str | None:
    if len(cursor) > MAX_CURSOR_CHARS or not cursor.isascii():
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        key = raw[_MAC_BYTES:].decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return key if key and hmac.compare_digest(cursor, _spelled(sealer, bound_to, key)) else None


def _spelled(sealer: Sealer, bound_to: tuple[str, ...], key: str) -> str:
    mac = bytes.fromhex(sealer.fingerprint("cursor", key, *bound_to))[:_MAC_BYTES]
    return base64.urlsafe_b64encode(mac + key.encode()).decode().rstrip("=")
