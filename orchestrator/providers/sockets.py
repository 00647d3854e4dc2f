"""TCP and TLS for the connections to a provider: asyncio's own transports behind httpcore's seam for a network.

httpcore brings a network of its own on anyio, which asks every read and write for a cancel scope: half of what a small
request costs. What is raised here is what httpcore's own network raises.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import Iterable
from typing import Any, cast

import httpcore

#: So much may wait unread before the host is made to wait too.
_UNREAD_BYTES = 256 * 1024


class Sockets(httpcore.AsyncNetworkBackend):
    """The network of this machine."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to an address; asyncio itself sets TCP_NODELAY."""
        stream = SocketStream()
        try:
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().create_connection(lambda: stream.ears, host, port)
        except BaseException as error:
            await stream.aclose()  # it may have been made in the very moment in which it was given up
            if isinstance(error, TimeoutError):
                raise httpcore.ConnectTimeout("no connection in time") from None
            if isinstance(error, OSError | ValueError):
                raise httpcore.ConnectError(str(error)) from None
            raise
        return stream


class SocketStream(httpcore.AsyncNetworkStream):
    """One connection. Bytes are taken from the kernel as they come, and wait here until they are read."""

    def __init__(self) -> None:
        self.ears = _Ears()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what has come, at most so much; b"" at the end.

        Raises:
            httpcore.ReadTimeout, httpcore.ReadError, ssl.SSLError: TLS broke after its handshake.
        """
        ears = self.ears
        if not ears.has_news:
            try:
                await ears.until_news(timeout)
            except TimeoutError:
                raise httpcore.ReadTimeout("no answer in time") from None
        if not ears.unread and ears.failure is not None:
            if isinstance(ears.failure, ssl.SSLError):
                raise ears.failure
            raise httpcore.ReadError(str(ears.failure)) from None
        return ears.take(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Hand bytes to the kernel, and wait while it takes no more.

        Raises:
            httpcore.WriteTimeout, httpcore.WriteError: the connection is broken or closed.
        """
        ears = self.ears
        if ears.is_over or ears.transport is None or ears.transport.is_closing():
            raise httpcore.WriteError("the connection is closed")
        ears.transport.write(buffer)
        if ears.is_full:
            try:
                await ears.until_room(timeout)
            except TimeoutError:
                raise httpcore.WriteTimeout("the host takes no more") from None
            if ears.is_over:
                raise httpcore.WriteError("the connection broke")

    async def aclose(self) -> None:
        """Close at once; what the kernel has not taken yet is dropped."""
        if self.ears.transport is not None:
            self.ears.transport.abort()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Agree on TLS; the stream goes on under it.

        Raises:
            httpcore.ConnectTimeout, httpcore.ConnectError: no agreement, or a certificate that is not trusted.
        """
        assert self.ears.transport is not None, "TLS begins on a connection"
        try:
            async with asyncio.timeout(timeout):
                under_tls = await asyncio.get_running_loop().start_tls(
                    self.ears.transport, self.ears, ssl_context, server_hostname=server_hostname
                )
        except BaseException as error:
            await self.aclose()
            if isinstance(error, TimeoutError):
                raise httpcore.ConnectTimeout("no TLS in time") from None
            if isinstance(error, OSError | ValueError):  # an ssl.SSLError is an OSError
                raise httpcore.ConnectError(str(error)) from None
            raise
        if under_tls is None:
            raise httpcore.ConnectError("the connection was closed during the handshake")
        self.ears.transport = under_tls
        return self

    def get_extra_info(self, info: str) -> Any:
        """Return, for `is_readable`, whether bytes, an end or a failure stand there, seen by the loop or not."""
        if info != "is_readable":
            return None
        return self.ears.has_news or _is_readable(self.ears.transport)


class _Ears(asyncio.Protocol):
    """Hears what asyncio has to say of one connection."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.unread = bytearray()
        self.failure: Exception | None = None
        self.is_over = False
        self.is_full = False
        self._has_ended = False
        self._is_paused = False
        self._news: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None

    @property
    def has_news(self) -> bool:
        """Bytes, the end, or a failure."""
        return bool(self.unread) or self._has_ended or self.is_over

    async def until_news(self, timeout_s: float | None) -> None:
        """Wait for bytes, an end or a failure. Raises TimeoutError."""
        self._news = asyncio.get_running_loop().create_future()
        try:
            await _within(self._news, timeout_s)
        finally:
            self._news = None

    async def until_room(self, timeout_s: float | None) -> None:
        """Wait until the kernel takes bytes again, or the connection is over. Raises TimeoutError."""
        self._room = asyncio.get_running_loop().create_future()
        try:
            await _within(self._room, timeout_s)
        finally:
            self._room = None

    def take(self, most: int) -> bytes:
        taken = bytes(self.unread[:most])
        del self.unread[:most]
        if self._is_paused and self.transport is not None and not self.is_over:
            self._is_paused = False
            self.transport.resume_reading()
        return taken

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.unread += data
        if len(self.unread) > _UNREAD_BYTES and not self._is_paused and self.transport is not None:
            self._is_paused = True
            self.transport.pause_reading()
        _wake(self._news)

    def eof_received(self) -> bool:
        self._has_ended = True
        _wake(self._news)
        return False

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        _wake(self._room)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_over = True
        self.failure = error if error is not None else None if self._has_ended else ConnectionError("closed")
        _wake(self._news)
        _wake(self._room)


async def _within(future: asyncio.Future[None], timeout_s: float | None) -> None:
    """Wait for a future; a timer that ends it is much cheaper than a scope of its own around every read."""
    if timeout_s is None:
        await future
        return
    timer = asyncio.get_running_loop().call_later(timeout_s, _give_up, future)
    try:
        await future
    finally:
        timer.cancel()


def _give_up(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


def _is_readable(transport: asyncio.Transport | None) -> bool:
    """Tell whether the kernel has something for us that the loop has not read yet: most of all, the host's end."""
    sock = None if transport is None else transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))
