"""Wrong tokens, limited for each address: guessing costs a guesser time and us nothing, and locks out nobody else."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field

#: So many wrong tokens of one address in a row, and this many more each minute.
BURST = 30
PER_MINUTE = 30.0
#: A token that was good lately is asked about even for a blocked address: many may stand behind one.
GOOD_FOR_S = 900.0
#: Addresses and good tokens that are remembered; the oldest are forgotten first.
MAX_ADDRESSES = 10_000
MAX_GOOD = 1_000


@dataclass(slots=True)
class _Bucket:
    wrong: float
    at_s: float


@dataclass(slots=True)
class Guesses:
    """Counts wrong tokens by address. Pure but for its memory: time is an argument, seconds of a steady clock."""

    _buckets: OrderedDict[str, _Bucket] = field(default_factory=OrderedDict)
    _good: OrderedDict[bytes, float] = field(default_factory=OrderedDict)

    def wait_s(self, address: str, token: str, *, now_s: float) -> float:
        """Return how long a token of this address is not even looked up, 0 when it is."""
        bucket = self._buckets.get(address)
        if bucket is None or self._is_good(token, now_s):
            return 0.0
        return max(0.0, (_left(bucket, now_s) - (BURST - 1)) * 60.0 / PER_MINUTE)

    def wrong(self, address: str, *, now_s: float) -> None:
        """Note that an address showed a token that is none."""
        bucket = self._buckets.pop(address, None) or _Bucket(0.0, now_s)
        self._buckets[address] = _Bucket(min(_left(bucket, now_s) + 1.0, float(BURST)), now_s)
        while len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)

    def right(self, token: str, *, now_s: float) -> None:
        """Note that a token was good."""
        digest = _digest(token)
        self._good[digest] = now_s
        self._good.move_to_end(digest)
        while len(self._good) > MAX_GOOD:
            self._good.popitem(last=False)

    def _is_good(self, token: str, now_s: float) -> bool:
        seen_s = self._good.get(_digest(token))
        return seen_s is not None and now_s - seen_s <= GOOD_FOR_S


def _left(bucket: _Bucket, now_s: float) -> float:
    """Return how many wrong tokens still count."""
    return max(0.0, bucket.wrong - (now_s - bucket.at_s) * PER_MINUTE / 60.0)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
