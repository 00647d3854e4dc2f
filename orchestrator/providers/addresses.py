"""Which addresses and URLs we ever call: nothing that a tenant names may reach into the operator's own network."""

from __future__ import annotations

import ipaddress
import re
import socket

import httpx

from orchestrator.errors import BadInput

MAX_URL_CHARS = 8_192

#: Networks that Python's `is_global` lets through, or lets through in some versions, and that no result file and
#: no API is served from. The IPv6 ones can each carry an IPv4 address past a check that looks at the outside only.
_NEVER = tuple(
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # a cloud's host agent, on a public address
        "192.0.0.0/24",
        "192.88.99.0/24",
        "::/96",  # IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
        "fec0::/10",  # site-local
    )
)

#: Names that mean "this machine" or "this network" without asking anybody.
_LOCAL_NAMES = re.compile(r"(^|\.)(localhost|local|internal|home\.arpa|localdomain)$")


def is_public(address: str) -> bool:
    """Return whether an address, as a resolver gave it, belongs to the public internet."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if not ip.is_global or ip.is_multicast or ip.is_reserved or ip.is_unspecified:
        return False
    return not any(ip in network for network in _NEVER if network.version == ip.version)


def parse_url(url: str, *, allow_private_networks: bool) -> httpx.URL:
    """Return the URL as the client that will call it reads it, so that no two parsers can disagree.

    Only what the URL itself shows is checked here; where its name leads is checked when connecting.

    Raises:
        BadInput: not a URL that we call; the message never repeats the URL.
    """
    if len(url) > MAX_URL_CHARS or not url.isprintable() or " " in url or "\\" in url:
        raise BadInput("not a URL", code="url.syntax")
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        raise BadInput("not a URL", code="url.syntax") from None
    if parsed.scheme not in ("https", "http") or not parsed.raw_host:
        raise BadInput("the URL must start with https:// and name a host", code="url.scheme")
    if parsed.scheme == "http" and not allow_private_networks:
        raise BadInput("only https is called", code="url.scheme")
    if parsed.userinfo:
        raise BadInput("the URL must not hold a user name or a password", code="url.userinfo")
    if parsed.port is not None and not 1 <= parsed.port <= 65_535:
        raise BadInput("no such port", code="url.port")
    if not allow_private_networks and _is_plainly_local(parsed.raw_host.decode("ascii").strip("[]")):
        raise BadInput("the URL leads into a private network", code="url.private")
    return parsed


def check_base_url(url: str, *, allow_private_networks: bool) -> str:
    """Return a connection's base URL in the form in which it is stored: no slash at the end.

    Raises:
        BadInput: not a URL that we call, or with a query or a fragment, to which no path can be added.
    """
    parsed = parse_url(url.strip(), allow_private_networks=allow_private_networks)
    if "?" in url or "#" in url:
        raise BadInput("the base URL must not hold a query or a fragment", code="url.query")
    return str(parsed).rstrip("/")


def _is_plainly_local(host: str) -> bool:
    """Return whether a host needs no resolver to be known as private."""
    name = host.lower().rstrip(".")
    if _LOCAL_NAMES.search(name):
        return True
    try:
        return not is_public(str(ipaddress.ip_address(name)))
    except ValueError:
        pass
    try:
        # 127.1, 0x7f000001, 2130706433: `ipaddress` refuses these, resolvers take them.
        return not is_public(socket.inet_ntoa(socket.inet_aton(name)))
    except (OSError, ValueError):
        return False
