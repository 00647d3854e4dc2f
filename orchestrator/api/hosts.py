"""Under which names this server answers: a page of elsewhere whose name was turned to our address must get nothing."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from orchestrator.settings import Settings

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Hosts:
    """The names that a request's `Host` may hold.

    An address as such cannot be turned elsewhere, so addresses are good wherever we listen beyond this machine; names
    are good when they are listed.
    """

    names: frozenset[str]
    takes_addresses: bool

    @classmethod
    def of(cls, settings: Settings) -> Hosts:
        """Return the names of the settings: of this machine, our address, the public one, those listed."""
        listed = {name.strip().lower() for name in settings.allowed_hosts.split(",") if name.strip()}
        listed |= {urlsplit(settings.public_url or "").hostname or settings.host.lower()}
        return cls(
            names=frozenset(LOOPBACK_NAMES | listed | {settings.host.lower()}),
            takes_addresses=not is_loopback(settings.host),
        )

    def know(self, headers: list[tuple[bytes, bytes]]) -> bool:
        """Tell whether the one `Host` of a request is a name of ours."""
        given = [value for name, value in headers if name == b"host"]
        if len(given) != 1:
            return False
        host = _without_port(given[0].decode("latin-1").strip().lower())
        return host in self.names or (self.takes_addresses and _is_address(host))


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address that we listen on."""
    if host == "localhost":
        return True
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
