"""Where the API can listen, found out before it is started, so that the refusal is ours to word; and if it answers."""

from __future__ import annotations

import errno
import socket
import urllib.error
import urllib.request

from orchestrator.errors import Conflict, Misconfigured

ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 -- only compared

ANSWER_TIMEOUT_S = 5.0
MAX_WORDS_BYTES = 2_000
#: Never through a proxy: the API is on this machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port(host: str, port: int) -> int:
    """Return the port if it is free; for 0 one that is.

    Raises:
        Conflict: another program listens there.
        Misconfigured: this machine has no such address, or the port needs rights that we lack.
    """
    family, kind, protocol, _, address = _resolve(host, port)
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            raise _refusal(error, host, port) from error
        return int(probe.getsockname()[1])


def url_of(host: str, port: int) -> str:
    """Return the URL by which programs on this machine reach a listener."""
    reachable = ANY_ADDRESS.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def answers(url: str) -> tuple[bool, str]:
    """Return whether a GET is answered with 200, and what was said where it is not."""
    try:
        with _OPENER.open(url, timeout=ANSWER_TIMEOUT_S) as answer:
            return answer.status == 200, ""
    except urllib.error.HTTPError as refused:
        with refused:
            return False, refused.read(MAX_WORDS_BYTES).decode(errors="replace")
    except OSError as error:
        return False, str(error)


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[object, ...]]:
    try:
        return socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise Misconfigured(
            f"ORCH_HOST names {host}, which is no address of this machine.", hint="Use 127.0.0.1."
        ) from error


def _refusal(error: OSError, host: str, port: int) -> Conflict | Misconfigured:
    if error.errno == errno.EADDRINUSE:
        return Conflict(
            f"Port {port} on {host} is taken by another program.",
            code="port_in_use",
            hint="Name another with ORCH_PORT=8701, or ORCH_PORT=0 for any free one.",
        )
    return Misconfigured(
        f"Cannot listen on {host} port {port}: {error.strerror or error}.",
        hint="Name another address with ORCH_HOST, or a port over 1023 with ORCH_PORT.",
    )
