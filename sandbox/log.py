"""The request log: every request to the API and to the files, what became of it, and what was done to it."""

import hashlib
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from sandbox.clock import iso_exact
from sandbox.http import Request

_CREDENTIALS = ("x-api-key", "authorization", "cookie")


@dataclass(slots=True)
class Entry:
    """One request. `status` is None when nothing was answered."""

    seq: int
    at: float
    port: str
    kind: str
    key: str | None
    method: str
    path: str
    connection_id: int
    carries_credentials: bool
    body_sha256: str | None
    size_bytes: int
    api_version: str | None = None
    status: int | None = None
    fault: str | None = None
    execution_ids: list[str] = field(default_factory=list)

    def as_document(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "at": iso_exact(self.at),
            "at_s": self.at,
            "port": self.port,
            "kind": self.kind,
            "key": self.key,
            "method": self.method,
            "path": self.path,
            "body_sha256": self.body_sha256,
            "bytes": self.size_bytes,
            "status": self.status,
            "fault": self.fault,
            "connection_id": self.connection_id,
            "api_version": self.api_version,
            "execution_ids": self.execution_ids,
            "key_sent_to_files": self.port == "files" and self.carries_credentials,
        }


class RequestLog:
    """Keep the last requests, numbered from 1 without gaps."""

    def __init__(self, *, entries: int) -> None:
        self._entries: deque[Entry] = deque(maxlen=entries)
        self._last = 0

    def add(self, request: Request, *, at: float, port: str, kind: str, key: str | None) -> Entry:
        """Write down a request as it arrives; of its body only the hash is kept."""
        self._last += 1
        body = request.body
        digest = hashlib.sha256(body).hexdigest() if body else None
        entry = Entry(
            seq=self._last,
            at=at,
            port=port,
            kind=kind,
            key=key,
            method=request.method,
            path=f"{request.path}?{request.query}" if request.query else request.path,
            connection_id=request.connection_id,
            carries_credentials=any(name in request.headers for name in _CREDENTIALS),
            body_sha256=digest,
            size_bytes=len(body),
            api_version=request.headers.get("scripe-api-version"),
        )
        self._entries.append(entry)
        return entry

    def since(self, seq: int, *, limit: int) -> list[Entry]:
        """Return the entries after `seq`, oldest first."""
        if not self._entries:
            return []
        skip = max(0, seq - self._entries[0].seq + 1)
        return list(islice(self._entries, skip, skip + limit))

    @property
    def last_seq(self) -> int:
        return self._last

    def clear(self) -> None:
        """Drop the entries; the numbers go on."""
        self._entries.clear()
