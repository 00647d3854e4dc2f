"""Webhooks out: one signed POST to a receiver that a tenant names and that we do not trust.

Signed as Standard Webhooks says. Nothing else of ours goes along, redirects are not followed, and the address that was
checked is the one that is called.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import httpcore
import httpx
from standardwebhooks import Webhook

from orchestrator.domain.webhooks import WebhookAnswer
from orchestrator.errors import BadInput, NotSent
from orchestrator.providers.addresses import parse_url
from orchestrator.providers.evidence import evidence
from orchestrator.providers.http import USER_AGENT, read_up_to
from orchestrator.providers.outcomes import FILE
from orchestrator.providers.retry_after import retry_after_s
from orchestrator.providers.transport import CheckedTransport, shared_ssl_context
from orchestrator.runtime import since_boot_s, transaction_open

#: The receiver has so long for all of it: name, connection, answer.
WHOLE_S = 15.0
CONNECT_S = 5.0

#: So much of an answer is read, and kept for people, redacted.
ANSWER_BYTES = 2_000

_ASKS_TO_WAIT = (429, 503)


class HttpWebhookSender:
    """Sends to https at public addresses; with `allow_private_networks` also to http, and to any."""

    def __init__(
        self,
        *,
        allow_private_networks: bool = False,
        whole_s: float = WHOLE_S,
        ssl_context: ssl.SSLContext | None = None,
        utc_now: Callable[[], datetime] = lambda: datetime.now(UTC),
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._allow_private_networks = allow_private_networks
        self._whole_s = whole_s
        self._ssl_context = ssl_context
        self._utc_now = utc_now
        self._network = network

    def check(self, url: str) -> str:
        """Return a URL in the form in which it is stored, or raise `BadInput`."""
        parsed = parse_url(url.strip(), allow_private_networks=self._allow_private_networks)
        if parsed.fragment:
            raise BadInput("the URL must not hold a fragment: no receiver would see it", code="url.fragment")
        return str(parsed)

    async def send(self, url: str, *, id: str, body: str, secrets: Sequence[str]) -> WebhookAnswer:
        """Send once, and return what came of it; nothing of it is raised.

        Args:
            secrets: each signs: the current one, and while it still counts the one before.
        """
        assert not transaction_open.get(), "no call goes out while a database transaction is open"
        began = since_boot_s()
        status, error, response, wait_s = await self._sent(url, id=id, body=body, secrets=secrets)
        return WebhookAnswer(
            status=status, error=error, response=response, retry_after_s=wait_s, took_s=since_boot_s() - began
        )

    async def _sent(
        self, url: str, *, id: str, body: str, secrets: Sequence[str]
    ) -> tuple[int | None, str | None, str | None, float | None]:
        transport = CheckedTransport(
            ssl_context=self._ssl_context or shared_ssl_context(),
            allow_private_networks=self._allow_private_networks,
            max_keepalive=0,
            network=self._network,
        )
        try:
            async with asyncio.timeout(self._whole_s):
                request = self._request(url, id=id, body=body, secrets=secrets)
                response = await transport.handle_async_request(request)
                try:
                    return await self._read(response, secrets)
                finally:
                    await response.aclose()
        except (NotSent, BadInput) as refused:
            return None, f"never called: {refused.message}", None, None
        except (httpx.RequestError, OSError) as failure:
            return None, f"{FILE.said(failure)} ({type(failure).__name__})", None, None
        finally:
            await transport.aclose()

    def _request(self, url: str, *, id: str, body: str, secrets: Sequence[str]) -> httpx.Request:
        parsed = parse_url(url, allow_private_networks=self._allow_private_networks)
        moment = self._utc_now()
        headers = {
            "User-Agent": USER_AGENT,
            "Content-Type": "application/json",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
            "webhook-id": id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": " ".join(Webhook(secret).sign(id, moment, body) for secret in secrets),
        }
        limits = {"connect": CONNECT_S, "read": self._whole_s, "write": self._whole_s, "pool": CONNECT_S}
        return httpx.Request("POST", parsed, headers=headers, content=body.encode(), extensions={"timeout": limits})

    async def _read(
        self, response: httpx.Response, secrets: Sequence[str]
    ) -> tuple[int, str | None, str | None, float | None]:
        status = response.status_code
        try:
            found, is_cut = await read_up_to(response, ANSWER_BYTES)
        except (httpx.RequestError, OSError):
            found = b""  # the status has said it; the body is for people only
        said = evidence(found, secrets=secrets, is_cut=is_cut)
        if 200 <= status <= 299:
            return status, None, said, None
        wait_s = None
        if status in _ASKS_TO_WAIT:
            headers = response.headers
            wait_s = retry_after_s(headers.get("retry-after"), date=headers.get("date"), now=self._utc_now())
        return status, _meaning(status), said, wait_s


def _meaning(status: int) -> str:
    if 300 <= status <= 399:
        return f"it answered {status}: redirects are not followed"
    return "it answered 410 Gone: it wants nothing more" if status == 410 else f"it answered {status}"
