"""What the exit code says. Scripts rely on it, so `watch` and `wait` return what became of the work."""

from __future__ import annotations

from enum import IntEnum

from orchestrator import client as api
from orchestrator import errors


class Exit(IntEnum):
    """The exit codes, as in the README."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    AUTH = 3
    NOT_FOUND = 4
    REFUSED = 5
    UNREACHABLE = 6
    TIMED_OUT = 7
    UNVERIFIED = 8
    NEEDS_PERSON = 9
    INTERRUPTED = 130


#: The first class that fits decides, so a class stands before its parents.
_BY_CLASS: tuple[tuple[type[Exception], Exit], ...] = (
    (api.VerificationFailed, Exit.UNVERIFIED),
    (api.NotConfigured, Exit.UNREACHABLE),
    (api.Invalid, Exit.USAGE),
    (api.Unauthorized, Exit.AUTH),
    (api.Forbidden, Exit.AUTH),
    (api.NotFound, Exit.NOT_FOUND),
    (api.Conflict, Exit.REFUSED),
    (api.RateLimited, Exit.UNREACHABLE),
    (api.ServerUnavailable, Exit.UNREACHABLE),
    (api.ServerError, Exit.FAILED),
    (api.ApiError, Exit.REFUSED),
    (errors.BadInput, Exit.USAGE),
    (errors.Misconfigured, Exit.USAGE),
    (errors.Unauthorized, Exit.AUTH),
    (errors.Forbidden, Exit.AUTH),
    (errors.NotFound, Exit.NOT_FOUND),
    (errors.Conflict, Exit.REFUSED),
    (errors.Unavailable, Exit.UNREACHABLE),
)


def exit_for(error: Exception) -> Exit:
    """Return the exit code for an error."""
    if isinstance(error, api.NotConfigured) and "ORCH_TOKEN" in error.message:
        return Exit.AUTH  # a server is named, only the token is missing
    return next((code for kind, code in _BY_CLASS if isinstance(error, kind)), Exit.FAILED)
