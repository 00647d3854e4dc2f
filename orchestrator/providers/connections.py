"""Connections to a host, kept for the next request: taken and given back in one step, however many wait.

httpcore's own pool looks through all its connections and all who wait with every request that comes or goes, and asks
each connection whether it still lives. Whoever calls here has a bound of its own on what goes out together, so what is
left of a pool is a stack.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, cast

import httpcore

Connect = Callable[[httpcore.Origin], httpcore.AsyncHTTPConnection]


class Connections:
    """Makes connections, and keeps those that may be used again: the last one used is the first one taken.

    Args:
        connect: returns a connection to an origin; it opens itself with its first request.
        most_kept: idle ones that are kept; with 0 each request has a connection of its own.
    """

    def __init__(self, connect: Connect, *, most_kept: int) -> None:
        self._connect = connect
        self._most_kept = most_kept
        self._idle: list[httpcore.AsyncHTTPConnection] = []
        self._used: set[httpcore.AsyncHTTPConnection] = set()

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request; its connection is free again once the response is closed.

        Raises:
            Exception: whatever httpcore's connection raises.
        """
        if request.url.scheme not in (b"http", b"https"):
            raise httpcore.UnsupportedProtocol("the URL is neither http nor https")
        connection = await self._take(request.url.origin)
        try:
            response = await connection.handle_async_request(request)
        except BaseException:
            await self._put_back(connection)
            raise
        return httpcore.Response(
            response.status,
            headers=response.headers,
            content=_Body(cast(Closable, response.stream), lambda: self._put_back(connection)),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close every connection, also those that are in use."""
        found = [*self._idle, *self._used]
        self._idle.clear()
        self._used.clear()
        for connection in found:
            await connection.aclose()

    async def _take(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        taken = None
        while self._idle and taken is None:
            connection = self._idle.pop()
            # Expired is also one that the server has closed meanwhile.
            if connection.can_handle_request(origin) and not connection.has_expired():
                taken = connection
            else:
                await connection.aclose()
        taken = taken or self._connect(origin)
        self._used.add(taken)
        return taken

    async def _put_back(self, connection: httpcore.AsyncHTTPConnection) -> None:
        if connection not in self._used:
            return
        self._used.discard(connection)
        if connection.is_available() and len(self._idle) < self._most_kept:
            self._idle.append(connection)
        else:
            await connection.aclose()


class Closable(Protocol):
    """A stream of bytes that is closed by whoever reads it."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def aclose(self) -> None: ...


class _Body:
    """A response's body. Its connection is given back when it is closed, or when it breaks."""

    def __init__(self, stream: Closable, ended: Callable[[], Awaitable[None]]) -> None:
        self._stream = stream
        self._ended = ended
        self._is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._stream:
                yield part
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        try:
            await self._stream.aclose()
        finally:
            await self._ended()
