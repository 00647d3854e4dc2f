"""Connections to a host, kept for the next request: taken and given back in one step, however many wait.

httpcore's own pool looks through all its connections and all who wait with every request that comes or goes, and asks
each connection whether it still lives. Whoever calls here has a bound of its own on what goes out together, so what is
left of a pool is a stack.
"""

from __future__ import annotations

from collections.abc import Callable

import httpx

from orchestrator.providers.http11 import HttpConnection, Origin

Connect = Callable[[Origin], HttpConnection]


class Connections:
    """Makes connections, and keeps those that may be used again: the last one used is the first one taken.

    Args:
        connect: returns a connection to an origin; it opens itself with its first request.
        most_kept: idle ones that are kept; with 0 each request has a connection of its own.
    """

    def __init__(self, connect: Connect, *, most_kept: int) -> None:
        self._connect = connect
        self._most_kept = most_kept
        self._idle: list[HttpConnection] = []
        self._used: set[HttpConnection] = set()

    async def exchange(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its connection is free again once the response is closed.

        Raises:
            Exception: whatever the connection raises.
        """
        connection = await self._take(Origin.of(request.url))
        try:
            return await connection.exchange(request, ended=lambda: self._put_back(connection))
        except BaseException:
            await self._put_back(connection)
            raise

    async def aclose(self) -> None:
        """Close every connection, also those that are in use."""
        found = [*self._idle, *self._used]
        self._idle.clear()
        self._used.clear()
        for connection in found:
            await connection.aclose()

    async def _take(self, origin: Origin) -> HttpConnection:
        taken = None
        while self._idle and taken is None:
            connection = self._idle.pop()
            if connection.can_take(origin):
                taken = connection
            else:
                await connection.aclose()
        taken = taken or self._connect(origin)
        self._used.add(taken)
        return taken

    async def _put_back(self, connection: HttpConnection) -> None:
        if connection not in self._used:
            return
        self._used.discard(connection)
        if connection.is_kept and len(self._idle) < self._most_kept:
            self._idle.append(connection)
        else:
            await connection.aclose()
