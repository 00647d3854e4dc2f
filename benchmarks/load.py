"""The load that all contenders carry: how much, how many keys, how long the provider takes, and when to look."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

#: The sandbox's workflow without a schema, the same in every account.
WORKFLOW = "Free form"

#: Every result file has so many bytes.
FILE_BYTES = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is to be done. The provider takes the same time for everything, so that only the client's work differs.

    Args:
        n: executions, shared evenly by the connections.
        connections: API keys, each of an account of its own.
        duration_s: how long the provider takes for each execution.
        first_look_s: everybody looks so long after a launch, then `factor` times as long, at most `cap_s`.
        workers: worker processes of the product.
        celery_pool, celery_concurrency: how plain Celery's worker runs its tasks.
        celery_broker: `redis`, `pgmq`, or `auto`: Redis where a server is found.
        in_flight: executions that the bare client has open per connection.
    """

    n: int = 5_000
    connections: int = 8
    duration_s: float = 0.2
    first_look_s: float = 0.3
    factor: float = 1.5
    cap_s: float = 2.0
    workers: int = 2
    celery_pool: str = "prefork"
    celery_concurrency: int = 8
    celery_broker: str = "auto"
    in_flight: int = 64
    warm_up: int = 25

    @property
    def keys(self) -> list[str]:
        """The API keys, one a connection."""
        return [f"sk-bench-{number}" for number in range(self.connections)]

    @property
    def total(self) -> int:
        """Executions that are measured."""
        return self.each * self.connections

    @property
    def each(self) -> int:
        """Executions of one connection."""
        return -(-self.n // self.connections)

    def delay_s(self, tries: int) -> float:
        """Return how long to wait after so many looks."""
        return min(self.first_look_s * self.factor**tries, self.cap_s)

    def inputs(self, count: int) -> list[bytes]:
        """Return the inputs of so many executions, as JSON."""
        return [json.dumps({"n": n, "sandbox": f"size_bytes={FILE_BYTES}"}).encode() for n in range(count)]

    def sandbox_options(self) -> dict[str, Any]:
        """Return a provider without limits, whose executions all take the same time."""
        return {
            "keys": {"sk-sandbox": None} | {key: key for key in self.keys},
            "requests_per_minute": 0,
            "max_concurrent": 1_000_000,
            "high_width": "exceeds",
            "duration_s": self.duration_s,
            "duration_sigma": 0,
            "log_entries": 1000,
        }

    def as_json(self) -> dict[str, Any]:
        """Return the load as a document that a child process reads."""
        return asdict(self)
