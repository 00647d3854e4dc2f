"""The provider of a world: the project's own sandbox, in this process, without sockets.

Its clock is the loop's; whoever checks a world reads the truth from `service` and what was said from `waits`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from sandbox.clock import Clock
from sandbox.http import Answer, Request
from sandbox.options import Options
from sandbox.service import Service
from sandbox.wire import Connection, Listener
from tests.simulation.network import Fabric
from tests.simulation.wires import Wire

HOST = "provider.test"
API_PORT = 8080
FILES_PORT = 8081
#: Less than any delay; a connection that is idle for exactly its time is idle.
_MOMENT_S = 0.001

Twist = Callable[[Request, Answer], Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A Retry-After that the provider said. Times are the provider's, in seconds since the epoch.

    Args:
        seq: the log entry of the request that was answered so.
        said_at: when the answer left the provider.
        until: when the next request is welcome.
    """

    seq: int
    connection_id: int
    key: str | None
    said_at: float
    until: float


class SimListener(Listener):
    """A port of the provider without a socket: it can be shut, and closes what is idle, on the loop's time."""

    def __init__(self, answer: Callable[[Request], Answer], *, like: Listener, service: Service, port: int) -> None:
        super().__init__(
            answer,
            date=like.date,
            keep_alive_s=lambda: service.live.current.keep_alive_s,
            host=HOST,
            port=port,
        )
        self.is_shut = False
        self._service = service
        self._open: dict[int, tuple[Wire, Connection]] = {}
        self._times_shut = 0

    def close_for(self, seconds: float) -> None:
        """Refuse connections for so many seconds, and reset those that are open."""
        self.is_shut = True
        self._times_shut += 1
        for wire, _ in tuple(self._open.values()):
            wire.break_off()
        asyncio.get_running_loop().call_later(seconds, self._open_again, self._times_shut)

    def enter(self, connection_id: int, make: Callable[[asyncio.Protocol], Wire]) -> Wire:
        """Take a new connection, and look after a while whether it is idle."""
        connection = Connection(self, connection_id)
        wire = make(connection)
        self._open[connection_id] = (wire, connection)
        self._look_again(connection_id)
        return wire

    def left(self, connection_id: int) -> None:
        """Forget a connection."""
        self._open.pop(connection_id, None)

    def _open_again(self, number: int) -> None:
        if number == self._times_shut:  # else it was shut once more meanwhile
            self.is_shut = False

    def _look_again(self, connection_id: int) -> None:
        keep_alive_s = self._service.live.current.keep_alive_s
        asyncio.get_running_loop().call_later(keep_alive_s, self._close_if_idle, connection_id, keep_alive_s)

    def _close_if_idle(self, connection_id: int, keep_alive_s: float) -> None:
        if connection_id not in self._open:
            return
        _, connection = self._open[connection_id]
        connection.close_if_idle_since(asyncio.get_running_loop().time() - keep_alive_s + _MOMENT_S)
        if connection_id in self._open:
            self._look_again(connection_id)


class SimProvider:
    """The provider, reachable over a fabric at `api_url`.

    Args:
        start_s: the provider's time when the loop's is now, in seconds since the epoch.
    """

    def __init__(self, fabric: Fabric, *, options: Options, seed: int, start_s: float, host: str = HOST) -> None:
        loop = asyncio.get_running_loop()
        self.clock = Clock(start_s=start_s, real_s=loop.time)
        self.service = Service(options, seed=seed, clock=self.clock, host=host, port=API_PORT, files_port=FILES_PORT)
        self.waits: list[Wait] = []
        #: Changes answers on their way out; `ProviderFaults` sets it.
        self.twist: Twist = lambda request, answer: answer
        #: Hears of each request before the provider acts on it; the checker sets it.
        self.before_answer: Callable[[Request], None] = lambda request: None
        self._to_epoch_s = start_s - loop.time()
        for name, port in (("api", API_PORT), ("files", FILES_PORT)):
            plain = self.service.listeners[name]
            listener = SimListener(self._answering(plain), like=plain, service=self.service, port=port)
            self.service.listeners[name] = listener
            fabric.open(port, listener)
        self.service.files.base_url = self.service.url("files")

    @property
    def api_url(self) -> str:
        """What a connection has as its base URL."""
        return f"{self.service.url('api')}/api/v1"

    @property
    def key(self) -> str:
        """A key that the provider takes."""
        return self.service.live.current.keys[0].secret

    @property
    def workflows(self) -> dict[str, str]:
        """The ids of its workflows by name."""
        return {spec.name: spec.id for spec in self.service.world.specs()}

    @property
    def console_url(self) -> str:
        """The template of its console's pages."""
        return f"{self.service.url('api')}/console/workflows/{{workflow_id}}/executions/{{execution_id}}"

    def epoch_s(self, loop_s: float) -> float:
        """Return the provider's time at a time of the loop."""
        return loop_s + self._to_epoch_s

    def _answering(self, plain: Listener) -> Callable[[Request], Answer]:
        def answer(request: Request) -> Answer:
            self.before_answer(request)
            given = self.twist(request, plain.answer(request))
            self._note_wait(request, given)
            return given

        return answer

    def _note_wait(self, request: Request, answer: Answer) -> None:
        said = dict(answer.headers).get("retry-after")
        if said is None:
            return
        now = self.clock.now()
        until = now + float(said) if said.isdigit() else parsedate_to_datetime(said).timestamp()
        log = self.service.log
        entry = log.since(log.last_seq - 1, limit=1)[0]
        self.waits.append(
            Wait(seq=entry.seq, connection_id=request.connection_id, key=entry.key, said_at=now, until=until)
        )
