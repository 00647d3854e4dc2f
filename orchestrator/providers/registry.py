"""A provider by its name."""

from __future__ import annotations

from orchestrator.errors import BadInput
from orchestrator.providers.http import Timeouts
from orchestrator.providers.script import ScriptProvider

PROVIDERS = {"script": ScriptProvider}
#: Named by our interfaces, but their room is not built yet.
_PLANNED = ("scripe",)


def provider(name: str, *, allow_private_networks: bool = False, timeouts: Timeouts | None = None) -> ScriptProvider:
    """Return a new adapter. One serves all connections to its provider; close it with `aclose`.

    Raises:
        BadInput: we know no such provider, or cannot speak with it yet.
    """
    known = ", ".join(PROVIDERS)
    if name in _PLANNED:
        raise BadInput(f"the provider {name!r} is not built yet", code="provider.planned", hint=f"Built: {known}.")
    if name not in PROVIDERS:
        raise BadInput("there is no such provider", code="provider.unknown", hint=f"Known: {known}.")
    return PROVIDERS[name](allow_private_networks=allow_private_networks, timeouts=timeouts)
