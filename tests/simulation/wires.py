"""One connection in memory: bytes in order, each direction with its own delays, and what can befall them on the way.

The client's end is a stream for httpcore, the provider's end a transport for `sandbox.wire.Connection`. What a client
wrote before it died still arrives, as it would from a kernel's buffers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from enum import Enum
from typing import Any, Protocol

import httpcore

_PAUSE_BYTES = 1_048_576
_RESUME_BYTES = 262_144


class Turn(Enum):
    """Who speaks on a connection."""

    NOBODY = "nobody"
    CLIENT = "client"
    SERVER = "server"


class Journal(Protocol):
    """What a wire asks of its network: delays, faults, and a place to write down what went by."""

    context: Context

    def delay_s(self) -> float: ...
    def late_s(self) -> float: ...
    def strikes(self, boundary: str, wire: Wire) -> str | None: ...
    def began(self, wire: Wire, first: bytes) -> None: ...
    def went_on(self, wire: Wire, more: bytes) -> None: ...
    def answered(self, wire: Wire) -> None: ...
    def gone(self, wire: Wire) -> None: ...


class Pipe:
    """One direction: what is put in comes out later, in the same order, and what is put in together comes together."""

    def __init__(self, loop: asyncio.AbstractEventLoop, journal: Journal) -> None:
        self._loop = loop
        self._journal = journal
        self._queue: deque[Callable[[], None]] = deque()
        self._put_at = self._arrives_at = -1.0

    def carry(self, deliver: Callable[[], None], *, extra_s: float = 0.0) -> None:
        """Call `deliver` when this arrives at the other end."""
        now = self._loop.time()
        if now != self._put_at:
            self._arrives_at = max(self._arrives_at, now + self._journal.delay_s())
        self._put_at, self._arrives_at = now, self._arrives_at + extra_s
        self._queue.append(deliver)
        # Timers of one moment come in any order: so each takes the oldest that is under way. Nobody's context goes
        # along: a provider does not know whose request it was, and does not die with the one who sent it.
        self._loop.call_at(self._arrives_at, self._arrive, context=self._journal.context)

    def _arrive(self) -> None:
        self._queue.popleft()()


class Wire:
    """A connection between a client and the provider."""

    def __init__(self, protocol: asyncio.Protocol, *, connection_id: int, owner: str, journal: Journal) -> None:
        loop = asyncio.get_running_loop()
        self.id = connection_id
        self.owner = owner
        self.stream = SimStream(self)
        self.transport = SimTransport(self, protocol, loop, journal.context)
        self._journal = journal
        self._up, self._down = Pipe(loop, journal), Pipe(loop, journal)
        self._turn = Turn.NOBODY
        self._request_fault: str | None = None
        self._answer_fault: str | None = None
        self._is_broken = False
        protocol.connection_made(self.transport)

    # -- what the client does ----------------------------------------------------------------------------------

    def from_client(self, data: bytes) -> None:
        """Send the client's bytes up, or let a fault have them."""
        begins = self._turn is not Turn.CLIENT
        if begins:
            self._turn = Turn.CLIENT
            self._journal.began(self, data)
            if not self._is_broken:
                self._request_fault = self._journal.strikes("net.request", self)
        else:
            self._journal.went_on(self, data)
        if self._is_broken:
            return
        match self._request_fault:
            case "reset_before":
                self.break_off()
            case "cut" if begins and data.startswith(b"POST"):  # of a body, the head arrives whole
                self._up.carry(lambda: self.transport.receive(data))
            case "cut":
                self._up.carry(lambda: self.transport.receive(data[: len(data) // 2]))
                self.break_off()
            case _:
                self._up.carry(lambda: self.transport.receive(data))

    def hang_up(self) -> None:
        """Close the client's end; what it wrote before is still under way."""
        if not self._is_broken:
            self._up.carry(self.transport.receive_end)

    # -- what the provider does --------------------------------------------------------------------------------

    def from_server(self, data: bytes) -> None:
        """Send the provider's bytes down, or let a fault have them."""
        begins = self._turn is not Turn.SERVER
        if begins:
            self._turn = Turn.SERVER
            if not self._is_broken:
                done_but_reset = self._request_fault == "done_but_reset"
                self._answer_fault = "lost" if done_but_reset else self._journal.strikes("net.answer", self)
        if self._is_broken:
            return
        match self._answer_fault:
            case "lost":
                self.break_off()
            case "cut":
                self._down.carry(lambda: self._to_client(data[: len(data) // 2]))
                self.break_off()
            case "late" if begins:
                self._down.carry(lambda: self._to_client(data), extra_s=self._journal.late_s())
            case _:
                self._down.carry(lambda: self._to_client(data))

    def server_closed(self) -> None:
        """Tell the client, behind all that was written, that nothing more comes."""
        if not self._is_broken:
            self._down.carry(self.stream.receive_end)

    def server_aborted(self) -> None:
        """Tell the client that the connection is broken."""
        if not self._is_broken:
            self._down.carry(self.stream.receive_reset)

    def break_off(self) -> None:
        """Cut the wire: both ends are told, and whatever is sent from now on is lost."""
        if not self._is_broken:
            self._is_broken = True
            self._down.carry(self.stream.receive_reset)
            self._up.carry(self.transport.receive_reset)

    def _to_client(self, data: bytes) -> None:
        self._journal.answered(self)
        if self.stream.is_closed:  # a kernel answers bytes for a closed socket with a reset
            self._up.carry(self.transport.receive_reset)
        else:
            self.stream.receive(data)

    def is_over(self) -> None:
        """Note that the provider's end is gone."""
        self._journal.gone(self)


class SimStream(httpcore.AsyncNetworkStream):
    """The client's end. It raises what httpcore's own raises over real sockets."""

    def __init__(self, wire: Wire) -> None:
        self.is_closed = False
        self._wire = wire
        self._buffer = bytearray()
        self._has_ended = False
        self._is_reset = False
        self._arrived = asyncio.Event()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            async with asyncio.timeout(timeout):
                while not (self._buffer or self._has_ended or self._is_reset or self.is_closed):
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            raise httpcore.ReadTimeout("no answer in time") from None
        if self._is_reset or self.is_closed:
            raise httpcore.ReadError("connection reset" if self._is_reset else "closed")
        taken = bytes(self._buffer[:max_bytes])
        del self._buffer[:max_bytes]
        self._wire.transport.drained(len(taken))
        return taken

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        if self._is_reset or self.is_closed:
            raise httpcore.WriteError("connection reset" if self._is_reset else "closed")
        self._wire.from_client(bytes(buffer))

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        """Close this end, as a process does when it dies: what was written is still under way."""
        if not self.is_closed:
            self.is_closed = True
            self._arrived.set()
            self._wire.hang_up()

    def get_extra_info(self, info: str) -> Any:
        return bool(self._buffer or self._has_ended or self._is_reset) if info == "is_readable" else None

    # -- what arrives ------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        self._buffer += data
        self._arrived.set()

    def receive_end(self) -> None:
        self._has_ended = True
        self._arrived.set()

    def receive_reset(self) -> None:
        self._is_reset = True
        self._buffer.clear()
        self._arrived.set()


class SimTransport(asyncio.Transport):
    """The provider's end, as asyncio shows one to a protocol."""

    def __init__(
        self, wire: Wire, protocol: asyncio.Protocol, loop: asyncio.AbstractEventLoop, context: Context
    ) -> None:
        super().__init__()
        self._wire = wire
        self._protocol = protocol
        self._loop = loop
        self._context = context
        self._is_closing = False
        self._is_paused = False
        self._undelivered_bytes = 0

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._is_closing or not data:
            return
        self._undelivered_bytes += len(data)
        self._wire.from_server(bytes(data))
        if self._undelivered_bytes > _PAUSE_BYTES and not self._is_paused:
            self._is_paused = True
            self._protocol.pause_writing()

    def close(self) -> None:
        if not self._is_closing:
            self._wire.server_closed()
            self._lost(None)

    def abort(self) -> None:
        if not self._is_closing:
            self._wire.server_aborted()
            self._lost(None)

    def is_closing(self) -> bool:
        return self._is_closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def drained(self, size_bytes: int) -> None:
        """Let the protocol write on when the client has read enough."""
        self._undelivered_bytes -= size_bytes
        if self._is_paused and self._undelivered_bytes < _RESUME_BYTES:
            self._is_paused = False
            self._context.run(self._protocol.resume_writing)

    # -- what arrives ------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        if self._is_closing:
            self._wire.break_off()
        else:
            self._protocol.data_received(data)

    def receive_end(self) -> None:
        if not self._is_closing and not self._protocol.eof_received():
            self.close()

    def receive_reset(self) -> None:
        if not self._is_closing:
            self._lost(ConnectionResetError("reset by peer"))

    def _lost(self, error: Exception | None) -> None:
        self._is_closing = True
        self._wire.is_over()
        self._loop.call_soon(self._protocol.connection_lost, error, context=self._context)
