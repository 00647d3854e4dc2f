"""One request to the API: the token, the idempotency key, bounded retries, and errors as classes.

httpx is imported only when a client is made: it costs 100 ms, and `orchestrator --help` needs none of it. For the
same reason a few modules of the standard library are imported where they are used.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from orchestrator.client.errors import ApiError, Interrupted, NotConfigured, Unreachable, class_for

if TYPE_CHECKING:
    import httpx

RETRIES = 2
FIRST_PAUSE_S = 0.5
#: Our own first try may still be at work there, after its answer was lost: waiting for it beats a second key.
BUSY_TRIES = 40
#: A server that asks for more patience gets a person's, not a loop's.
MAX_PAUSE_S = 15.0
API = "/api/v1"
NOT_MODIFIED = 304
#: How much longer than its wait an answer may take.
WAIT_MARGIN_S = 30.0
#: A download that has begun may be silent so long; whatever is longer, its server or the way to it is gone.
STALL_S = 60.0

#: Query parameters; None is left out, a list is joined by commas, a tuple becomes one parameter for each.
Query: TypeAlias = Mapping[str, "str | int | bool | list[str] | tuple[str, ...] | None"]
#: The body: bytes, or something that opens a fresh stream for each try.
Body: TypeAlias = "bytes | Callable[[], IO[bytes]]"


class Wire:
    """Sends requests. Safe to repeat: each POST has a key under which the server does it once."""

    def __init__(self, url: str, token: str | None, *, timeout_s: float) -> None:
        import httpx

        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise NotConfigured(f"{url!r} is no address of a server", hint="It looks like http://127.0.0.1:8700")
        self.url = url.rstrip("/").removesuffix(API)
        if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
            raise NotConfigured("the token has characters that no token has", hint="Was it copied whole, and alone?")
        headers = {"Accept": "application/json", "User-Agent": "orchestrator-client"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        is_near = parts.hostname in ("127.0.0.1", "::1", "localhost")
        # Loading the CA list costs 20 ms and serves nothing without TLS; redirects are not followed. A proxy
        # that the environment names must not see what stays on this machine.
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 10.0)),
            verify=parts.scheme == "https",
            trust_env=not is_near,
            limits=httpx.Limits(max_connections=10, max_keepalive_connections=4),
        )
        self._errors = (httpx.TransportError,)
        self._not_sent = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def get(self, path: str, query: Query | None = None) -> Any:
        """Read something."""
        return self.json("GET", path, query=query)

    def news(self, path: str, tag: str | None, *, wait_s: int = 0) -> tuple[Any, str | None]:
        """Read something that may be known already: None in its place when it is as `tag` says; and its tag.

        Args:
            wait_s: how long the server may wait for news before it says that there are none.
        """
        known = {} if tag is None else {"If-None-Match": tag}
        query = {"wait": f"{wait_s}s"} if wait_s else {}
        timeout_s = wait_s + WAIT_MARGIN_S if wait_s else None
        response = self._send(
            "GET", API + path, query=query, body=None, content_type="", timeout_s=timeout_s, extra=known
        )
        if response.status_code == NOT_MODIFIED:
            return None, tag
        try:
            return response.json(), response.headers.get("ETag")
        except ValueError:
            raise self._foreign(response) from None

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Do something, at most once however often it is sent."""
        return self.json("POST", path, body=json.dumps(body or {}, ensure_ascii=False).encode())

    def patch(self, path: str, body: Mapping[str, Any], query: Query | None = None) -> Any:
        """Change what the body names."""
        return self.json("PATCH", path, query=query, body=json.dumps(body, ensure_ascii=False).encode())

    def json(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Body | None = None,
        content_type: str = "application/json",
        timeout_s: float | None = None,
        prefix: str = API,
    ) -> Any:
        """Send a request and return what the JSON of its answer says, None for an empty one."""
        response = self._send(
            method, prefix + path, query=query, body=body, content_type=content_type, timeout_s=timeout_s
        )
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError:
            raise self._foreign(response) from None

    def probe(self, path: str) -> Any:
        """Return what a path outside the API says of the server, whatever the status; one try."""
        try:
            response = self._http.get(path)
        except self._errors as error:
            raise self._unreachable(error) from error
        try:
            return response.json()
        except ValueError:
            raise self._foreign(response) from None

    @contextmanager
    def stream(
        self, path: str, query: Query | None = None, *, timeout_s: float | None = None
    ) -> Iterator[httpx.Response]:
        """Open a body for reading piece by piece. A break in the middle is the caller's to see: no retry.

        Args:
            timeout_s: how long the server may be silent before the answer begins; after that, `STALL_S` at most.

        Raises:
            Interrupted: the answer began, and then broke off or stalled.
        """
        has_begun = False
        try:
            options: dict[str, Any] = {} if timeout_s is None else {"timeout": timeout_s}
            with self._http.stream("GET", API + path, params=_flat(query or {}), **options) as response:
                if response.status_code >= 300:
                    response.read()
                    raise self._error(response)
                # httpx has one limit for the first byte and for every other; this one is read when the body is.
                limits = response.request.extensions["timeout"]
                limits["read"] = min(limits["read"], STALL_S)
                has_begun = True
                yield response
        except self._errors as error:
            raise (self._interrupted(error) if has_begun else self._unreachable(error)) from error

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None,
        body: Body | None,
        content_type: str,
        timeout_s: float | None,
        extra: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        headers = {**(extra or {})} | ({"Content-Type": content_type} if body is not None else {})
        if method == "POST":
            headers["Idempotency-Key"] = os.urandom(16).hex()
        tries, patience = 0, BUSY_TRIES
        while True:
            try:
                response = self._try(method, path, query, body, headers, timeout_s)
            except self._errors as error:
                failure: ApiError = self._unreachable(error)
                may_pass = method in ("GET", "POST") or isinstance(error, self._not_sent)
            else:
                if response.status_code < 300 or (extra and response.status_code == NOT_MODIFIED):
                    return response
                failure = self._error(response)
                may_pass = _may_pass(failure)
            is_busy = failure.code == "idempotency.in_progress"
            tries, patience = (tries, patience - 1) if is_busy else (tries + 1, patience)
            if not may_pass or tries > RETRIES or patience < 0:
                raise failure
            time.sleep(_pause_s(failure, tries=max(tries - 1, 0)))

    def _try(
        self,
        method: str,
        path: str,
        query: Query | None,
        body: Body | None,
        headers: Mapping[str, str],
        timeout_s: float | None,
    ) -> httpx.Response:
        options: dict[str, Any] = {} if timeout_s is None else {"timeout": timeout_s}
        params = _flat(query or {})
        if callable(body):
            with body() as opened:
                return self._http.request(method, path, params=params, content=opened, headers={**headers}, **options)
        return self._http.request(method, path, params=params, content=body, headers={**headers}, **options)

    def _error(self, response: httpx.Response) -> ApiError:
        try:
            problem = response.json()
        except ValueError:
            problem = None
        if not isinstance(problem, dict) or "code" not in problem:
            return self._foreign(response)
        return class_for(response.status_code)(
            str(problem.get("detail") or problem.get("title")),
            status=response.status_code,
            code=str(problem["code"]),
            hint=problem.get("hint"),
            request_id=problem.get("request_id"),
            problems=problem.get("errors") or (),
            retry_after_s=_seconds(response.headers.get("Retry-After")),
            preview=problem.get("preview"),
        )

    def _foreign(self, response: httpx.Response) -> ApiError:
        status = response.status_code
        return class_for(status)(
            f"{self.url} answered {status}, but not as our API answers",
            status=status,
            code="foreign_answer",
            hint="Is ORCH_URL the address of an orchestrator, or of a proxy before it?",
            retry_after_s=_seconds(response.headers.get("Retry-After")),
        )

    def _unreachable(self, error: Exception) -> Unreachable:
        said = str(error) or type(error).__name__
        return Unreachable(
            f"no answer from {self.url}: {said}",
            status=0,
            code="unreachable",
            hint="Is it running? `orchestrator up` starts it on this machine.",
        )

    def _interrupted(self, error: Exception) -> Interrupted:
        import httpx

        is_silent = isinstance(error, httpx.ReadTimeout)
        what = "nothing more came" if is_silent else f"the connection broke ({error or type(error).__name__})"
        return Interrupted(
            f"{self.url} stopped in the middle of a download: {what}",
            status=0,
            code="download_interrupted",
            hint="What came is not whole. Fetch it again.",
        )


def _may_pass(failure: ApiError) -> bool:
    """Tell whether the same request, sent again, may succeed by itself soon."""
    if failure.retry_after_s is not None and failure.retry_after_s > MAX_PAUSE_S:
        return False
    return failure.status == 503 or failure.code == "idempotency.in_progress"


def _pause_s(failure: ApiError, *, tries: int) -> float:
    import random  # it loads OpenSSL, which nobody needs who only asks for --help

    asked: float = failure.retry_after_s or 0.0
    jittered: float = FIRST_PAUSE_S * 2**tries * random.uniform(0.5, 1.5)
    return min(max(asked, jittered), MAX_PAUSE_S)


def _seconds(header: str | None) -> float | None:
    return float(header) if header and header.isascii() and header.isdigit() else None


def _flat(query: Query) -> dict[str, str | list[str]]:
    flat: dict[str, str | list[str]] = {}
    for name, value in query.items():
        match value:
            case None | [] | ():
                continue
            case bool():
                flat[name] = "true" if value else "false"
            case list():
                flat[name] = ",".join(value)
            case tuple():
                flat[name] = [*value]
            case _:
                flat[name] = str(value)
    return flat
