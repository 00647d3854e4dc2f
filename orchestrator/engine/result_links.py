"""Links to stored results: who holds one may fetch that one file, for an hour, without a token.

Nothing is stored for them: a link says which file it opens and until when, and is signed with the installation's key.
It names the file's SHA-256, so that after a retry it never opens another attempt's file under the same number.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from orchestrator.engine import reading
from orchestrator.engine.deps import Deps
from orchestrator.engine.reading import OpenResult
from orchestrator.engine.who import Who
from orchestrator.errors import Forbidden, NotFound
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.sealing import Sealer

LIFE = timedelta(hours=1)
#: Below the server's address; the key goes into the query, which no log of ours repeats.
PATH = "/results"

_WORKSPACE, _EXPIRY, _DIGEST, _MAC = 16, 5, 8, 16
_KEY_BYTES = _WORKSPACE + _EXPIRY + _DIGEST + _MAC
_KEY_CHARS = _KEY_BYTES * 4 // 3
assert _KEY_BYTES % 3 == 0, "then its base64 has one spelling, without padding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A stored file and the path that opens it."""

    filename: str
    size_bytes: int
    sha256: str
    path: str


async def links(deps: Deps, who: Who, runs: Sequence[Mapping[str, Any]]) -> dict[str, list[Link]]:
    """Return links to every stored file of some runs, by the run's id, in the order of the files.

    Args:
        runs: their views. What was erased of them has no link.
    """
    if not any(run["results"] for run in runs):
        return {}
    expires_at = await deps.db.run(transaction_now) + LIFE
    return {
        run["id"]: [
            _link(deps.sealer, who.workspace_id, UUID(run["id"]), file, expires_at)
            for file in run["results"]
            if not file["erased"]
        ]
        for run in runs
    }


async def open_link(deps: Deps, run_id: UUID, n: int, key: str) -> OpenResult:
    """Open the file that a link leads to.

    Raises:
        Forbidden: the key was changed, or is of another file (`link.invalid`), or its hour is over (`link.expired`).
        NotFound: the file is not there any more.
    """
    raw = _read(key)
    if raw is None or not hmac.compare_digest(raw[-_MAC:], _mac(deps.sealer, run_id, n, raw[:-_MAC])):
        raise Forbidden("this URL is not one that was given out here", code="link.invalid", hint=_AGAIN)
    expires_at = datetime.fromtimestamp(int.from_bytes(raw[_WORKSPACE : _WORKSPACE + _EXPIRY]), UTC)
    if await deps.db.run(transaction_now) >= expires_at:
        raise Forbidden("this URL has expired", code="link.expired", hint=_AGAIN)
    holder = Who(workspace_id=UUID(bytes=raw[:_WORKSPACE]), actor="link", scopes=frozenset())
    opened = await reading.open_result(deps, holder, run_id, n)
    if bytes.fromhex(opened.sha256)[:_DIGEST] != raw[_WORKSPACE + _EXPIRY : -_MAC]:
        raise NotFound("the run was started again, and this file is its results' no more", code="result_not_found")
    return opened


_AGAIN = "Ask for the execution again: each answer has fresh URLs."


def _link(sealer: Sealer, workspace: UUID, run_id: UUID, file: Mapping[str, Any], expires_at: datetime) -> Link:
    said = workspace.bytes + int(expires_at.timestamp()).to_bytes(_EXPIRY) + bytes.fromhex(file["sha256"])[:_DIGEST]
    key = base64.urlsafe_b64encode(said + _mac(sealer, run_id, file["n"], said)).decode()
    return Link(
        filename=file["filename"],
        size_bytes=file["size_bytes"],
        sha256=file["sha256"],
        path=f"{PATH}/{run_id}/{file['n']}?key={key}",
    )


def _mac(sealer: Sealer, run_id: UUID, n: int, said: bytes) -> bytes:
    return bytes.fromhex(sealer.fingerprint("result link", str(run_id), str(n), said.hex()))[:_MAC]


def _read(key: str) -> bytes | None:
    if len(key) != _KEY_CHARS or not key.isascii():
        return None
    try:
        return base64.b64decode(key, altchars=b"-_", validate=True)
    except binascii.Error:
        return None
