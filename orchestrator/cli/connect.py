"""The client that the commands use: of the server that the environment names, or of the one that `up` runs here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.client import Client, discover


@contextmanager
def connected() -> Iterator[Client]:
    """Give a client for the length of a block.

    Raises:
        NotConfigured: no server is named and none was started here.
    """
    with discover() as client:
        yield client
