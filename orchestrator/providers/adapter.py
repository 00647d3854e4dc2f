"""What every adapter stands on: one client for its requests, and one reader of what comes back."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime

import httpcore

from orchestrator.domain.heard import Heard
from orchestrator.providers.hearing import Hearing
from orchestrator.providers.http import ApiClient, Timeouts
from orchestrator.providers.reading import OwnError, Reader
from orchestrator.runtime import since_boot_s


def _now() -> datetime:
    return datetime.now(UTC)


class Adapter:
    """Holds what an adapter sends and reads with.

    Args:
        own_error: returns what a body says if it is in the provider's own error shape, else None.
        allow_private_networks: also call http URLs and private addresses (a stand-in on this machine).
        utc_now: the clock for a `Retry-After` date in an answer that has no date of its own.
    """

    #: Given with the class: `class Mine(Adapter, own_error=…)`.
    _own_error: Callable[[bytes], OwnError | None]

    def __init_subclass__(cls, *, own_error: Callable[[bytes], OwnError | None]) -> None:
        super().__init_subclass__()
        cls._own_error = staticmethod(own_error)

    def __init__(
        self,
        *,
        allow_private_networks: bool = False,
        timeouts: Timeouts | None = None,
        ssl_context: ssl.SSLContext | None = None,
        monotonic: Callable[[], float] = since_boot_s,
        utc_now: Callable[[], datetime] = _now,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._http = ApiClient(
            timeouts=timeouts,
            allow_private_networks=allow_private_networks,
            ssl_context=ssl_context,
            monotonic=monotonic,
            network=network,
        )
        self._reader = Reader(own_error=self._own_error, utc_now=utc_now)
        self._hearing = Hearing(monotonic=monotonic, utc_now=utc_now)

    def heard(self, connection_id: str) -> Heard:
        """Hand over what headers told on a connection; nothing where the adapter lets nothing be heard."""
        return self._hearing.heard(connection_id)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()
