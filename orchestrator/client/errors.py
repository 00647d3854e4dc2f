"""What can go wrong for a caller of the API; each class answers "what should I do?".

ClientError
├── NotConfigured            no server is named                          -> `orchestrator up`, or set ORCH_URL
├── VerificationFailed       a file is not what the server said          -> fetch it again; tell a person
└── ApiError                 the server said no, or nothing
    ├── Invalid              400, 413, 415, 422; `problems` lists places -> mend it, send again
    ├── Unauthorized         401                                         -> get a token
    ├── Forbidden            403                                         -> get another token
    ├── NotFound             404                                         -> look at the list
    ├── Conflict             409                                         -> look at its state
    ├── RateLimited          429                                         -> wait `retry_after_s`
    ├── ServerError          500, 502 and the like                       -> read the message; tell a person
    └── ServerUnavailable    503, after the retries                      -> try again later
        └── Unreachable      refused, reset, no answer in time           -> is it running? is the URL right?
            └── Interrupted  a download stopped in its middle            -> fetch it again
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.client.shapes import Problem


class ClientError(Exception):
    """The root. `hint` says what a person can do."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NotConfigured(ClientError):
    """No server is named, or no token for it."""


class VerificationFailed(ClientError):
    """The bytes that came are not the bytes that the server vouched for; nothing was left in the folder."""


class ApiError(ClientError):
    """The server refused, or failed, or did not answer.

    Args:
        status: the HTTP status, 0 when there was no answer.
        code: stable, for programs.
        request_id: names this request in the server's log.
        problems: each place that is wrong.
        retry_after_s: how long the server asks to wait, None when it did not say.
        preview: of a dry run: what the file looks like.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str,
        hint: str | None = None,
        request_id: str | None = None,
        problems: Sequence[Problem] = (),
        retry_after_s: float | None = None,
        preview: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.preview = preview
        self.status = status
        self.code = code
        self.request_id = request_id
        self.problems = tuple(problems)
        self.retry_after_s = retry_after_s


class Invalid(ApiError):
    """What was sent is wrong or too large; nothing of it was stored."""


class Unauthorized(ApiError):
    """There is no token, or the server does not know it."""


class Forbidden(ApiError):
    """The token is good, but not for this."""


class NotFound(ApiError):
    """There is no such thing in this workspace."""


class Conflict(ApiError):
    """The thing's state does not allow what was asked."""


class RateLimited(ApiError):
    """Too many requests."""


class ServerError(ApiError):
    """The server, or the provider behind it, failed."""


class ServerUnavailable(ApiError):
    """Something that the server needs is away; nothing was stored, the same request may be sent again."""


class Unreachable(ServerUnavailable):
    """No answer came. A request with an Idempotency-Key may be sent again with the same key."""


class Interrupted(Unreachable):
    """An answer began and did not come to its end: the connection broke, or nothing more came. No file has its name."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: Invalid,
    408: ServerUnavailable,
    409: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: RateLimited,
    503: ServerUnavailable,
}


def class_for(status: int) -> type[ApiError]:
    """Return the class that tells what a status means."""
    if known := _BY_STATUS.get(status):
        return known
    return ServerError if status >= 500 else ApiError
