"""A network in memory for httpcore: names lead to the simulated provider, delays and faults follow from the seed.

One `Fabric` for a world; each simulated worker calls over its own `SimNetwork`, so that its connections can end with
it. Whatever arrives at the provider runs in a context of nobody's.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Callable, Iterable
from contextvars import Context
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

import httpcore

from tests.simulation.wires import Wire

#: After so long a kernel gives up on a host that says nothing.
_KERNEL_CONNECT_S = 130.0


class Faults(Protocol):
    """Where the faults come from; `tests.simulation.faults` draws them from the seed."""

    def at(self, boundary: str, /) -> str | None: ...


class Door(Protocol):
    """A port of the provider."""

    is_shut: bool

    def enter(self, connection_id: int, make: Callable[[asyncio.Protocol], Wire]) -> Wire: ...
    def left(self, connection_id: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long a message is under way: lognormal, within bounds. Seconds."""

    median_s: float = 0.08
    sigma: float = 0.9
    least_s: float = 0.02
    most_s: float = 3.0

    def draw(self, rng: Random) -> float:
        """Return one delay."""
        return min(max(rng.lognormvariate(math.log(self.median_s), self.sigma), self.least_s), self.most_s)


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request as the client's side of the wire saw it. Times are the loop's.

    Shape: `answered_at` is when the last bytes so far of its answer reached the client's side.
    """

    connection_id: int
    owner: str
    began_at: float
    method: str
    target: str
    fault: str | None = None
    answer_fault: str | None = None
    answered_at: float | None = None
    body: hashlib._Hash = field(default_factory=hashlib.sha256, repr=False)

    @property
    def body_sha256(self) -> bytes:
        """The hash of what was written after the head: of a part, when the client was cut short."""
        return self.body.digest()


class Fabric:
    """What all clients of one world share: the doors, the delays, the faults, and the record of what went by.

    Args:
        late_after_s: the client's longest patience; a late answer comes after it.
    """

    def __init__(
        self, *, rng: Random, faults: Faults, latency: Latency | None = None, late_after_s: float = 30.0
    ) -> None:
        self.context = Context()
        self.exchanges: list[Exchange] = []
        self._rng = rng
        self._faults = faults
        self._latency = latency or Latency()
        self._late_after_s = late_after_s
        self._doors: dict[int, Door] = {}
        self._current: dict[int, Exchange] = {}
        self._door_of: dict[int, Door] = {}
        self._connections = 0

    def open(self, port: int, door: Door) -> None:
        """Let a port lead to a door; every host name and address leads to the same ones."""
        self._doors[port] = door

    def network(self, owner: str) -> SimNetwork:
        """Return the network as one process sees it."""
        return SimNetwork(self, owner)

    async def connect(self, port: int, owner: str, timeout: float | None) -> Wire:
        """Make a connection, or raise what a socket would."""
        fault = self._faults.at("net.connect")
        delay_s = self.delay_s()
        if fault == "blackhole" or (timeout is not None and delay_s > timeout):
            await asyncio.sleep(_KERNEL_CONNECT_S if timeout is None else timeout)
            raise httpcore.ConnectTimeout("no answer (simulated)")
        await asyncio.sleep(delay_s)
        door = self._doors.get(port)
        if fault == "refused" or door is None or door.is_shut:
            raise httpcore.ConnectError("connection refused (simulated)")
        self._connections += 1
        number = self._connections
        self._door_of[number] = door

        def make(protocol: asyncio.Protocol) -> Wire:
            return Wire(protocol, connection_id=number, owner=owner, journal=self)

        return self.context.run(door.enter, number, make)

    # -- what a wire asks --------------------------------------------------------------------------------------

    def delay_s(self) -> float:
        """Return how long the next message is under way."""
        return self._latency.draw(self._rng)

    def late_s(self) -> float:
        """Return by how much an answer is late that its client no longer waits for."""
        return self._late_after_s * self._rng.uniform(1.05, 2.0)

    def strikes(self, boundary: str, wire: Wire) -> str | None:
        """Return the fault that befalls this message."""
        fault = self._faults.at(boundary)
        exchange = self._current[wire.id]
        if boundary == "net.request":
            exchange.fault = fault
        else:
            exchange.answer_fault = fault
        return fault

    def began(self, wire: Wire, first: bytes) -> None:
        """Write down a request at its first byte."""
        method, _, rest = first.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")
        now = asyncio.get_running_loop().time()
        target = rest.rpartition(" ")[0]
        exchange = Exchange(connection_id=wire.id, owner=wire.owner, began_at=now, method=method, target=target)
        self._current[wire.id] = exchange
        self.exchanges.append(exchange)

    def went_on(self, wire: Wire, more: bytes) -> None:
        """Write down the rest of a request."""
        self._current[wire.id].body.update(more)

    def answered(self, wire: Wire) -> None:
        """Write down that bytes of the answer reached the client's side."""
        self._current[wire.id].answered_at = asyncio.get_running_loop().time()

    def gone(self, wire: Wire) -> None:
        """Let the door forget a connection."""
        self._door_of[wire.id].left(wire.id)


class SimNetwork(httpcore.AsyncNetworkBackend):
    """The network of one simulated process; it fits `ScriptProvider(network=…)` and `HttpFileFetcher(network=…)`."""

    def __init__(self, fabric: Fabric, owner: str) -> None:
        self.owner = owner
        self._fabric = fabric
        self._wires: list[Wire] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        wire = await self._fabric.connect(port, self.owner, timeout)
        self._wires = [other for other in self._wires if not other.stream.is_closed]
        self._wires.append(wire)
        return wire.stream

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("there are no unix sockets here")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def die(self) -> None:
        """Close every connection at once, as the kernel does for a process that was killed."""
        for wire in self._wires:
            wire.stream.close()
        self._wires = []
