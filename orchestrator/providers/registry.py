"""A provider by its name."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.errors import BadInput
from orchestrator.providers.http import Timeouts
from orchestrator.providers.scripe import ScripeProvider
from orchestrator.providers.script import ScriptProvider

AnyProvider = ScriptProvider | ScripeProvider

PROVIDERS: Mapping[str, type[AnyProvider]] = {"script": ScriptProvider, "scripe": ScripeProvider}


def provider(name: str, *, allow_private_networks: bool = False, timeouts: Timeouts | None = None) -> AnyProvider:
    """Return a new adapter. One serves all connections to its provider; close it with `aclose`.

    Raises:
        BadInput: we know no such provider.
    """
    known = ", ".join(PROVIDERS)
    if name not in PROVIDERS:
        raise BadInput("there is no such provider", code="provider.unknown", hint=f"Known: {known}.")
    return PROVIDERS[name](allow_private_networks=allow_private_networks, timeouts=timeouts)
