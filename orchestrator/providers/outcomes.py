"""What a failed call means, as data: one line per failure, one per status. Tested line by line on real sockets.

A launch and a look differ: after a launch, "I do not know" means that an execution may run and cost money, so
everything that is not proved to be unsent or refused is `OutcomeUnknown`. After a look it means: look again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import httpx

from orchestrator.errors import (
    Gone,
    KeyRefused,
    Misbehaved,
    NotSent,
    OutcomeUnknown,
    ProviderError,
    Refused,
    Throttled,
)

ErrorClass = type[ProviderError]


@dataclass(frozen=True, slots=True)
class StatusRule:
    """What the statuses `first` to `last` mean, by whether the body is in the provider's own error shape."""

    first: int
    last: int
    own_shape: ErrorClass
    foreign_shape: ErrorClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What can come of one kind of call.

    Args:
        failures: what an exception of the client means; the nearest class in its ancestry counts.
        statuses: what a status means; the first rule that holds it counts.
        wrong_shape: what a 2xx means that is cut, too large, or not what the page promises.
    """

    failures: Mapping[type[Exception], ErrorClass]
    statuses: tuple[StatusRule, ...]
    wrong_shape: ErrorClass

    def of_failure(self, failure: Exception, *, was_written: bool) -> ErrorClass:
        """Return what a failure means. What was seen on the wire may only make it worse.

        Args:
            was_written: whether the first byte of the request may have left us. It also decides for our own limit
                on the whole call, which can strike at any moment.
        """
        if isinstance(failure, TimeoutError) and not was_written:
            return NotSent
        meaning = next(self.failures[kind] for kind in type(failure).__mro__ if kind in self.failures)
        return OutcomeUnknown if meaning is NotSent and was_written else meaning

    def of_status(self, status: int, *, is_own_shape: bool) -> ErrorClass:
        rule = next(rule for rule in self.statuses if rule.first <= status <= rule.last)
        return rule.own_shape if is_own_shape else rule.foreign_shape


_FAILURES: Mapping[type[Exception], ErrorClass] = MappingProxyType(
    {
        httpx.ConnectError: NotSent,  # no such name, refused, unreachable, TLS failed
        httpx.ConnectTimeout: NotSent,  # no connection, or no TLS, in time
        httpx.PoolTimeout: NotSent,  # no free connection of ours
        httpx.UnsupportedProtocol: NotSent,
        httpx.ReadTimeout: OutcomeUnknown,
        httpx.ReadError: OutcomeUnknown,  # reset
        httpx.WriteTimeout: OutcomeUnknown,
        httpx.WriteError: OutcomeUnknown,
        httpx.RemoteProtocolError: OutcomeUnknown,  # disconnected, or not HTTP
        httpx.TransportError: OutcomeUnknown,  # whatever a later version adds
        TimeoutError: OutcomeUnknown,  # our own limit on the whole call
    }
)

#: The same for both kinds of call: a provider's no, in its own words, is final; in foreign words it is a proxy's.
_NOES = (
    StatusRule(400, 400, Refused, Misbehaved),
    StatusRule(401, 401, KeyRefused, Misbehaved),
    StatusRule(403, 403, KeyRefused, Misbehaved),
    StatusRule(404, 404, Gone, Misbehaved),
    # A proxy may say 408 of its own wait for the provider, so it proves nothing.
    StatusRule(408, 408, OutcomeUnknown, OutcomeUnknown),
    StatusRule(413, 413, Refused, Misbehaved),
    StatusRule(422, 422, Refused, Misbehaved),
    StatusRule(429, 429, Throttled, Throttled),
    StatusRule(400, 499, Misbehaved, Misbehaved),
)

LAUNCH = Outcomes(
    failures=_FAILURES,
    statuses=(
        StatusRule(100, 399, OutcomeUnknown, OutcomeUnknown),
        *_NOES,
        StatusRule(500, 999, OutcomeUnknown, OutcomeUnknown),
    ),
    wrong_shape=OutcomeUnknown,
)

READ = Outcomes(
    failures=_FAILURES,
    statuses=(
        StatusRule(100, 399, Misbehaved, Misbehaved),
        *_NOES,
        StatusRule(500, 599, OutcomeUnknown, OutcomeUnknown),
        StatusRule(600, 999, Misbehaved, Misbehaved),
    ),
    wrong_shape=Misbehaved,
)

#: A result file's host is not the provider: its errors have no shape, and any no means "ask for a fresh URL".
FILE = Outcomes(
    failures=_FAILURES,
    statuses=(
        StatusRule(100, 399, Misbehaved, Misbehaved),
        StatusRule(404, 404, Gone, Gone),
        StatusRule(408, 408, OutcomeUnknown, OutcomeUnknown),
        StatusRule(410, 410, Gone, Gone),
        StatusRule(429, 429, Throttled, Throttled),
        StatusRule(400, 499, Refused, Refused),
        StatusRule(500, 599, OutcomeUnknown, OutcomeUnknown),
        StatusRule(600, 999, Misbehaved, Misbehaved),
    ),
    wrong_shape=Misbehaved,
)
