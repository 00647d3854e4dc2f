"""The wire: a listener that can be shut for a while, and connections that can send what no server should."""

import asyncio
import contextlib
import itertools
import socket
import struct
from collections.abc import Callable, Iterator

from sandbox.http import (
    MAX_HEAD_BYTES,
    Answer,
    BadRequest,
    Ending,
    Request,
    body_length,
    head_bytes,
    json_answer,
    parse_head,
    take_chunked,
)

_connection_ids = itertools.count(1)
_REBIND_TRIES = 100
_DRIP_TICK_S = 0.05
_STREAM_CHUNK_BYTES = 65_536


class Listener:
    """Listen on one port and answer each request with what `answer` makes of it.

    Args:
        answer: called once per request, must not block.
        date: the value of the Date header.
        keep_alive_s: how long an idle connection stays open, asked anew each time.
    """

    def __init__(
        self,
        answer: Callable[[Request], Answer],
        *,
        date: Callable[[], str],
        keep_alive_s: Callable[[], float],
        host: str,
        port: int,
    ) -> None:
        self.answer = answer
        self.date = date
        self.host = host
        self.port = port
        self.connections: set[Connection] = set()
        self._keep_alive_s = keep_alive_s
        self._server: asyncio.Server | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._bind()
        self._sweeping = asyncio.create_task(self._close_idle())

    async def stop(self) -> None:
        for task in (self._reopening, self._sweeping):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self._shut()

    def close_for(self, seconds: float) -> None:
        """Refuse connections for so many real seconds, and cut those that are open."""
        if self._reopening is not None:
            self._reopening.cancel()
        self._shut()
        self._reopening = asyncio.create_task(self._reopen(seconds))

    def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in tuple(self.connections):
            connection.reset()

    async def _bind(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self, next(_connection_ids)), self.host, self.port, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _reopen(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        for left in reversed(range(_REBIND_TRIES)):
            try:
                await self._bind()
                return
            except OSError:  # somebody else holds the port just now; it is ours to get back
                if not left:
                    raise
                await asyncio.sleep(0.1)

    async def _close_idle(self) -> None:
        while True:
            keep_alive_s = self._keep_alive_s()
            await asyncio.sleep(min(1.0, keep_alive_s / 2))
            oldest = asyncio.get_running_loop().time() - keep_alive_s
            for connection in tuple(self.connections):
                connection.close_if_idle_since(oldest)


class Connection(asyncio.Protocol):
    """One connection: requests are answered in order, one at a time."""

    def __init__(self, listener: Listener, connection_id: int) -> None:
        self._listener = listener
        self._id = connection_id
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._request: Request | None = None
        self._length: int | None = None
        self._delivering: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._active_at = self._loop.time()

    # -- what asyncio calls ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._listener.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._active_at = self._loop.time()
        self._answer_all()

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.connections.discard(self)
        self._transport = None
        self._writable.set()
        if self._delivering is not None:
            self._delivering.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # -- endings -----------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """End the connection with RST."""
        if self._transport is None:
            return
        raw = self._transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def close_if_idle_since(self, moment: float) -> None:
        if self._delivering is None and self._active_at < moment and self._transport is not None:
            self._transport.close()

    # -- requests ----------------------------------------------------------------------------------------------

    def _answer_all(self) -> None:
        while self._delivering is None and self._transport is not None and not self._transport.is_closing():
            try:
                request = self._next_request()
            except BadRequest as error:
                answer = json_answer(400, {"error": f"Bad request: {error}"})
                self._transport.write(head_bytes(answer, date=self._listener.date(), closes=True) + answer.body)
                self._transport.close()
                return
            if request is None:
                return
            self._send(request, self._listener.answer(request))

    def _next_request(self) -> Request | None:
        """Take one whole request off the buffer, None while it is incomplete."""
        buffer = self._buffer
        if self._request is None:
            end = buffer.find(b"\r\n\r\n")
            if end > MAX_HEAD_BYTES or (end < 0 and len(buffer) > MAX_HEAD_BYTES):
                raise BadRequest("head too large")
            if end < 0:
                return None
            request = parse_head(bytes(buffer[:end]))
            del buffer[: end + 4]
            self._length = body_length(request)
            self._request = request
            if request.headers.get("expect", "").lower() == "100-continue" and self._transport is not None:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request = self._request
        if self._length is None:
            taken = take_chunked(buffer)
            if taken is None:
                return None
            request.body, used = taken
        elif len(buffer) < self._length:
            return None
        else:
            used = self._length
            request.body = bytes(buffer[:used]) if used else b""
        if used:
            del buffer[:used]
        self._request = None
        request.connection_id = self._id
        return request

    # -- answers -----------------------------------------------------------------------------------------------

    def _send(self, request: Request, answer: Answer) -> None:
        delivery = answer.delivery
        at_once = answer.stream is None and not delivery.hold_s and delivery.bytes_per_s is None
        if at_once and not delivery.is_chunked:
            self._send_at_once(request, answer)
        else:
            self._delivering = self._loop.create_task(self._deliver(request, answer))
            self._delivering.add_done_callback(self._delivered)

    def _send_at_once(self, request: Request, answer: Answer) -> None:
        transport, delivery = self._transport, answer.delivery
        assert transport is not None
        closes = not request.keeps_alive
        if not delivery.is_silent:
            body = answer.body if delivery.sent_bytes is None else answer.body[: delivery.sent_bytes]
            head = head_bytes(answer, date=self._listener.date(), closes=closes)
            transport.write(head if request.method == "HEAD" else head + body)
        self._end(Ending.FIN if closes and delivery.ending is Ending.KEEP else delivery.ending)

    async def _deliver(self, request: Request, answer: Answer) -> None:
        delivery = answer.delivery
        if delivery.hold_s:
            await asyncio.sleep(delivery.hold_s)
        closes = not request.keeps_alive
        if not delivery.is_silent:
            self._write(head_bytes(answer, date=self._listener.date(), closes=closes))
            for piece in _pieces(answer):
                self._write(b"%x\r\n%b\r\n" % (len(piece), piece) if delivery.is_chunked else piece)
                await self._writable.wait()
                if delivery.bytes_per_s is not None:
                    await asyncio.sleep(len(piece) / delivery.bytes_per_s)
            if delivery.is_chunked:
                self._write(b"0\r\n\r\n")
        self._end(Ending.FIN if closes and delivery.ending is Ending.KEEP else delivery.ending)

    def _write(self, piece: bytes) -> None:
        if self._transport is not None:  # the client may be gone; its loss also cancels this delivery
            self._transport.write(piece)

    def _delivered(self, task: "asyncio.Task[None]") -> None:
        self._delivering = None
        self._active_at = self._loop.time()
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._answer_all()
        else:
            self._loop.call_exception_handler({"message": "sandbox: an answer failed", "exception": error})
            self.reset()

    def _end(self, ending: Ending) -> None:
        if self._transport is None or ending is Ending.KEEP:
            return
        if ending is Ending.RST:
            self.reset()
        else:
            self._transport.close()


def _pieces(answer: Answer) -> Iterator[bytes]:
    """Cut a body into what goes onto the wire at a time, and cut it off where the delivery says so."""
    delivery = answer.delivery
    left = answer.size_bytes if delivery.sent_bytes is None else min(delivery.sent_bytes, answer.size_bytes)
    most = _STREAM_CHUNK_BYTES
    if delivery.bytes_per_s is not None:
        most = max(1, int(delivery.bytes_per_s * _DRIP_TICK_S))
    for chunk in answer.chunks():
        for at in range(0, len(chunk), most):
            piece = chunk[at : at + min(most, left)]
            if not piece:
                return
            left -= len(piece)
            yield piece
