"""Wrong tokens, counted for each address: who sends many is told to wait. A good one is never asked to.

Many may stand behind one address, a proxy's, so an address is never refused for what its neighbours send. What keeps a
token from being guessed is its length; this tells a client that goes on with a wrong one to stop.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

#: So many wrong tokens of one address in a row, and this many more each minute.
BURST = 30
PER_MINUTE = 30.0
#: Addresses that are remembered; the oldest are forgotten first.
MAX_ADDRESSES = 10_000


@dataclass(slots=True)
class _Bucket:
    wrong: float
    at_s: float


@dataclass(slots=True)
class Guesses:
    """Counts wrong tokens by address. Pure but for its memory: time is an argument, seconds of a steady clock."""

    _buckets: OrderedDict[str, _Bucket] = field(default_factory=OrderedDict)

    def wrong(self, address: str, *, now_s: float) -> float:
        """Note that an address showed a token that is none; return how long it is to wait, 0 while it need not."""
        left = self._left(address, now_s)
        wait_s = max(0.0, (left - (BURST - 1)) * 60.0 / PER_MINUTE)
        # One that came too early does not count: else whoever goes on would never be told more than to wait.
        self._buckets[address] = _Bucket(left if wait_s else left + 1.0, now_s)
        self._buckets.move_to_end(address)
        while len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        return wait_s

    def _left(self, address: str, now_s: float) -> float:
        """Return how many wrong tokens of an address still count."""
        bucket = self._buckets.get(address)
        return 0.0 if bucket is None else max(0.0, bucket.wrong - (now_s - bucket.at_s) * PER_MINUTE / 60.0)
