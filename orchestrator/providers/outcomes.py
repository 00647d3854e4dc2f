"""What a failed call means, as data: one line per failure, one per status. Tested line by line on real sockets.

A launch and a look differ: after a launch, "I do not know" means that an execution may run and cost money, so
everything that is not proved to be unsent or refused is `OutcomeUnknown`. After a look it means: look again.
`docs/outcomes.md` is printed from here.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import httpx

from orchestrator.domain.resending import KEY_CONFLICT
from orchestrator.errors import (
    Gone,
    KeyRefused,
    Misbehaved,
    NotCancellable,
    NotSent,
    OutcomeUnknown,
    ProviderError,
    Refused,
    Throttled,
)

ErrorClass = type[ProviderError]


@dataclass(frozen=True, slots=True)
class Failure:
    """What an exception of the client means, and our own words for it: the client's may repeat what a host sent."""

    meaning: ErrorClass
    said: str


@dataclass(frozen=True, slots=True)
class StatusRule:
    """What the statuses `first` to `last` mean, by whether the body is in the provider's own error shape."""

    first: int
    last: int
    own_shape: ErrorClass
    foreign_shape: ErrorClass
    why: str


@dataclass(frozen=True, slots=True)
class CodeRule:
    """What a provider's own code means, whatever its status; `code` is our word for it."""

    meaning: ErrorClass
    code: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What can come of one kind of call.

    Args:
        failures: what an exception of the client means; the nearest class in its ancestry counts.
        statuses: what a status means; the first rule that holds it counts.
        wrong_shape: what a 2xx means that is cut, too large, or not what the page promises.
        codes: what the provider's own codes mean, in its own shape; they say more than the status.
    """

    failures: Mapping[type[Exception], Failure]
    statuses: tuple[StatusRule, ...]
    wrong_shape: ErrorClass
    codes: Mapping[str, CodeRule] = field(default_factory=dict)

    def of_code(self, code: str | None) -> CodeRule | None:
        """Return what a provider's own code means; None where its status says it."""
        return self.codes.get(code) if code is not None else None

    def of_failure(self, failure: Exception, *, was_written: bool) -> ErrorClass:
        """Return what a failure means. What was seen on the wire may only make it worse.

        Args:
            was_written: whether the first byte of the request may have left us. It also decides for our own limit
                on the whole call, which can strike at any moment.
        """
        if isinstance(failure, TimeoutError) and not was_written:
            return NotSent
        meaning = self._line(failure).meaning
        return OutcomeUnknown if meaning is NotSent and was_written else meaning

    def said(self, failure: Exception) -> str:
        """Return a failure in our own words."""
        return self._line(failure).said

    def of_status(self, status: int, *, is_own_shape: bool) -> ErrorClass:
        """Return what a status means that is no 2xx."""
        rule = next(rule for rule in self.statuses if rule.first <= status <= rule.last)
        return rule.own_shape if is_own_shape else rule.foreign_shape

    def _line(self, failure: Exception) -> Failure:
        return next(self.failures[kind] for kind in type(failure).__mro__ if kind in self.failures)


_LATER = "the connection failed"

#: What a call may raise is under `httpx.RequestError` or `OSError`; a house test walks httpx's tree for new classes.
FAILURES: Mapping[type[Exception], Failure] = MappingProxyType(
    {
        httpx.ConnectError: Failure(NotSent, "could not connect: no such name, refused, or TLS failed"),
        httpx.ConnectTimeout: Failure(NotSent, "no connection, or no TLS, in time"),
        httpx.PoolTimeout: Failure(NotSent, "no free connection in time"),
        httpx.UnsupportedProtocol: Failure(NotSent, "the URL is neither http nor https"),
        httpx.ReadTimeout: Failure(OutcomeUnknown, "no answer in time"),
        httpx.ReadError: Failure(OutcomeUnknown, "the connection broke while waiting for the answer"),
        httpx.WriteTimeout: Failure(OutcomeUnknown, "the request could not be written in time"),
        httpx.WriteError: Failure(OutcomeUnknown, "the connection broke while writing the request"),
        httpx.CloseError: Failure(OutcomeUnknown, "the connection could not be closed"),
        httpx.RemoteProtocolError: Failure(OutcomeUnknown, "closed without a whole answer, or the answer is not HTTP"),
        httpx.LocalProtocolError: Failure(OutcomeUnknown, "the request broke HTTP's rules, perhaps half way"),
        httpx.ProxyError: Failure(OutcomeUnknown, "a proxy failed, though none is used"),
        httpx.DecodingError: Failure(OutcomeUnknown, "the answer's encoding is broken"),
        httpx.TooManyRedirects: Failure(OutcomeUnknown, "redirected, though redirects are not followed"),
        # Whatever a later version adds, by its family.
        httpx.TimeoutException: Failure(OutcomeUnknown, _LATER),
        httpx.NetworkError: Failure(OutcomeUnknown, _LATER),
        httpx.ProtocolError: Failure(OutcomeUnknown, _LATER),
        httpx.TransportError: Failure(OutcomeUnknown, _LATER),
        httpx.RequestError: Failure(OutcomeUnknown, _LATER),
        # What the client lets through as it is.
        ssl.SSLError: Failure(OutcomeUnknown, "TLS broke after the connection stood"),
        OSError: Failure(OutcomeUnknown, _LATER),
        TimeoutError: Failure(OutcomeUnknown, "the call as a whole took too long"),
    }
)

_NO_ANSWER = "neither a yes nor a no: nothing proves that nothing was started"
_PROXYS = "in foreign words it is a proxy's no, and never final"

#: The same for both kinds of call: a provider's no, in its own words, is final; in foreign words it is a proxy's.
_NOES = (
    StatusRule(400, 400, Refused, Misbehaved, f"the provider refuses the request; {_PROXYS}"),
    StatusRule(401, 401, KeyRefused, Misbehaved, f"the provider refuses the key; {_PROXYS}"),
    StatusRule(403, 403, KeyRefused, Misbehaved, f"the provider refuses the key; {_PROXYS}"),
    StatusRule(404, 404, Gone, Misbehaved, f"the provider knows no such thing; {_PROXYS}"),
    StatusRule(408, 408, OutcomeUnknown, OutcomeUnknown, "a proxy may say it of its own wait: it proves nothing"),
    StatusRule(413, 413, Refused, Misbehaved, f"the provider finds it too large; {_PROXYS}"),
    StatusRule(422, 422, Refused, Misbehaved, f"the provider refuses the input; {_PROXYS}"),
    StatusRule(429, 429, Throttled, Throttled, "too many, whoever says it: it was turned away"),
    StatusRule(400, 499, Misbehaved, Misbehaved, "a no that the page does not know: not acted upon, not final"),
)

LAUNCH = Outcomes(
    failures=FAILURES,
    statuses=(
        StatusRule(0, 399, OutcomeUnknown, OutcomeUnknown, _NO_ANSWER),
        *_NOES,
        StatusRule(500, 999, OutcomeUnknown, OutcomeUnknown, "it may have failed before or after it was accepted"),
    ),
    wrong_shape=OutcomeUnknown,
)

READ = Outcomes(
    failures=FAILURES,
    statuses=(
        StatusRule(0, 399, Misbehaved, Misbehaved, "redirects are not followed: the key would go along"),
        *_NOES,
        StatusRule(500, 599, OutcomeUnknown, OutcomeUnknown, "away for now: look again"),
        StatusRule(600, 999, Misbehaved, Misbehaved, "no such status"),
    ),
    wrong_shape=Misbehaved,
)

_VERSION = CodeRule(
    KeyRefused, "version_unsupported", "the version we ask for is none any more: all launches would fail"
)

SCRIPE_LAUNCH = Outcomes(
    failures=FAILURES,
    statuses=(
        StatusRule(404, 404, Refused, Misbehaved, "the request names what is not there, such as its project"),
        *LAUNCH.statuses,
    ),
    wrong_shape=OutcomeUnknown,
    codes=MappingProxyType(
        {
            "version_unsupported": _VERSION,
            KEY_CONFLICT: CodeRule(
                OutcomeUnknown, KEY_CONFLICT, "the key stands for another launch: what became of ours is unknown"
            ),
        }
    ),
)

SCRIPE_READ = Outcomes(
    failures=FAILURES,
    statuses=READ.statuses,
    wrong_shape=Misbehaved,
    codes=MappingProxyType({"version_unsupported": _VERSION}),
)

#: To cancel twice is harmless, so whatever is not known is asked again, as after a look.
SCRIPE_CANCEL = Outcomes(
    failures=FAILURES,
    statuses=READ.statuses,
    wrong_shape=Misbehaved,
    codes=MappingProxyType(
        {
            "version_unsupported": _VERSION,
            "not_cancellable": CodeRule(NotCancellable, "not_cancellable", "it does not wait any more: look again"),
        }
    ),
)

#: A result file's host is not the provider: its errors have no shape, and any no means "ask for a fresh URL".
FILE = Outcomes(
    failures=FAILURES,
    statuses=(
        StatusRule(0, 399, Misbehaved, Misbehaved, "redirects are not followed, and a part is not the file"),
        StatusRule(404, 404, Gone, Gone, "ask for a fresh URL"),
        StatusRule(408, 408, OutcomeUnknown, OutcomeUnknown, "read again"),
        StatusRule(410, 410, Gone, Gone, "ask for a fresh URL"),
        StatusRule(429, 429, Throttled, Throttled, "too many at once"),
        StatusRule(400, 499, Refused, Refused, "expired or refused: ask for a fresh URL"),
        StatusRule(500, 599, OutcomeUnknown, OutcomeUnknown, "away for now: read again"),
        StatusRule(600, 999, Misbehaved, Misbehaved, "no such status"),
    ),
    wrong_shape=Misbehaved,
)

#: provider -> kind of call -> what can come of it.
OUTCOMES: Mapping[str, Mapping[str, Outcomes]] = MappingProxyType(
    {
        "script": MappingProxyType({"launch": LAUNCH, "look": READ, "file": FILE}),
        "scripe": MappingProxyType(
            {"launch": SCRIPE_LAUNCH, "look": SCRIPE_READ, "cancel": SCRIPE_CANCEL, "file": FILE}
        ),
    }
)
