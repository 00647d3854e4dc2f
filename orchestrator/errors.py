"""Every error this product raises on purpose; each class answers "what should the caller do?".

OrchestratorError
├── BadInput             what was given is wrong; `problems` says where        -> mend it, send again
├── Unauthorized         no token, or one we do not know                       -> get a token
├── Forbidden            the token may not do this                             -> get another token
├── NotFound             there is no such thing in this workspace              -> look at the list
├── Conflict             the thing is in a state that does not allow it        -> look at its state
├── Unavailable          something we need is away just now                    -> try again later
├── StoreFull            the artifact store takes nothing just now             -> free space; work resumes by itself
├── Misconfigured        a setting is missing or makes no sense                -> mend the setting
└── ProviderError        what a call to a remote API came to
    ├── NotSent          nothing reached the provider                          -> try again
    ├── Throttled        wait `retry_after_s`, the whole lane
    ├── Refused          the provider said no, in its own words                -> final
    │   ├── KeyRefused   it does not accept our key                            -> stop the lane's launches
    │   └── NotCancellable  the execution does not wait any more               -> look at it again
    ├── Gone             the provider does not know this thing (404)           -> the reader decides
    ├── Misbehaved       the answer breaks the provider's own page             -> look again, tell a person
    └── OutcomeUnknown   it may or may not have been done                      -> in doubt, never again by itself
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with what was given.

    Shape: `row` counts data rows from 1 (the header is not one), `line` counts lines of the file from 1,
    `field` is the input field or a JSON pointer. Each is None where it makes no sense.
    """

    message: str
    code: str = "invalid"
    row: int | None = None
    line: int | None = None
    field: str | None = None

    def __str__(self) -> str:
        place = [f"row {self.row}"] if self.row is not None else []
        place += [f"line {self.line}"] if self.line is not None else []
        place += [self.field] if self.field else []
        return f"{', '.join(place)}: {self.message}" if place else self.message


class OrchestratorError(Exception):
    """The root. `code` is stable and for programs, `hint` says what a person can do."""

    code = "internal"

    def __init__(self, message: str, *, code: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.hint = hint


class BadInput(OrchestratorError):
    """What was given is wrong, and nothing of it was stored. `problems` lists each place."""

    code = "bad_input"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        problems: Sequence[Problem] = (),
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.problems = tuple(problems)
        #: What else was found, for programs, by name; it is shown beside the problem.
        self.facts: dict[str, Any] = {}


class TooLarge(BadInput):
    """What was given is larger than we take."""

    code = "too_large"


class Unauthorized(OrchestratorError):
    """There is no token, or it is not one of ours."""

    code = "unauthorized"


class Forbidden(OrchestratorError):
    """The token is good, but not for this."""

    code = "forbidden"


class NotFound(OrchestratorError):
    """There is no such thing, or it belongs to another workspace."""

    code = "not_found"


class Conflict(OrchestratorError):
    """The thing exists, but its state does not allow what was asked."""

    code = "conflict"


class Unavailable(OrchestratorError):
    """Something we depend on is away; nothing was stored, the same request may be sent again."""

    code = "unavailable"

    def __init__(
        self, message: str, *, code: str | None = None, hint: str | None = None, retry_after_s: float = 5.0
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.retry_after_s = retry_after_s


class StoreFull(OrchestratorError):
    """The artifact store cannot take a file: no space, over a quota, or read-only. Nothing was left behind."""

    code = "store_full"


class Misconfigured(OrchestratorError):
    """A setting is missing, or its value makes no sense."""

    code = "misconfigured"


class ProviderError(OrchestratorError):
    """What a call to a remote API came to, when it was not an answer we can use.

    Args:
        http_status: the status of the answer, None when there was none.
        evidence: the start of the answer's body, at most 2 kB, for a person to read. Never holds a key or a URL query.
        retry_after_s: how long the provider asks us to wait (429, 503), at most an hour; None when it did not say.
    """

    code = "provider"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        http_status: int | None = None,
        evidence: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.http_status = http_status
        self.evidence = evidence
        self.retry_after_s = retry_after_s


class NotSent(ProviderError):
    """Nothing reached the provider: no address, refused, no connection in time, TLS failed, no free connection."""

    code = "not_sent"


class Throttled(ProviderError):
    """The provider asks us to slow down. `retry_after_s` is None when it did not say for how long."""

    code = "throttled"


class Refused(ProviderError):
    """The provider said no, in its own error shape. Sending the same again gives the same answer."""

    code = "refused"


class KeyRefused(Refused):
    """The provider does not accept our key (401, 403)."""

    code = "key_refused"


class NotCancellable(Refused):
    """The provider cancels only what has not begun, and this has. Asking again gives the same answer."""

    code = "not_cancellable"


class Gone(ProviderError):
    """The provider does not know this thing (404 in its own error shape)."""

    code = "gone"


class Misbehaved(ProviderError):
    """The answer breaks the provider's own page: wrong shape, foreign error page, too large, redirected."""

    code = "misbehaved"


class OutcomeUnknown(ProviderError):
    """The request may or may not have been acted upon."""

    code = "outcome_unknown"
