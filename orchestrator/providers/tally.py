"""Counts what a host sent, so that bytes beyond the length it announced do not vanish unseen.

An HTTP reader stops at `Content-Length`. A host that counts characters instead of bytes thus announces too little,
and a file that lacks its end would look whole.
"""

from __future__ import annotations

import ssl
from typing import Any

import httpcore

_HEAD_END = b"\r\n\r\n"
_MAX_HEAD_BYTES = 256 * 1024


class TalliedStream(httpcore.AsyncNetworkStream):
    """A network stream that knows how many bytes came after the answer's head."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner
        self._head: bytes | None = b""
        self._after_head = 0

    def received_body_bytes(self) -> int | None:
        """Return how many bytes followed the head; None when no head was recognised."""
        return None if self._head is not None else self._after_head

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        received = await self._inner.read(max_bytes, timeout)
        if self._head is None:
            self._after_head += len(received)
        elif len(self._head) <= _MAX_HEAD_BYTES:
            self._look_for_end(self._head + received)
        return received

    def _look_for_end(self, head: bytes) -> None:
        end = head.find(_HEAD_END)
        while end >= 0 and head[9:10] == b"1":  # an interim answer (1xx) has a head and nothing else
            head = head[end + len(_HEAD_END) :]
            end = head.find(_HEAD_END)
        self._head = head
        if end >= 0:
            self._after_head = len(head) - end - len(_HEAD_END)
            self._head = None

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return TalliedStream(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
