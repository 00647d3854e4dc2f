"""Each line of the outcome tables, against real sockets that really do it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest
import uvloop

from orchestrator.domain.answers import Accepted, Access
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
from orchestrator.providers.files import HttpFileFetcher, Pace
from orchestrator.providers.http import Timeouts
from orchestrator.providers.outcomes import FAILURES, FILE, LAUNCH, OUTCOMES, READ
from orchestrator.providers.registry import PROVIDERS
from orchestrator.providers.script import ScriptProvider
from orchestrator.runtime import since_boot_s
from tests.providers import wire_lines
from tests.providers.raw_server import Behaviour, Connection, RawServer, answer, json_answer, run, says
from tests.providers.wire_lines import LINES, OK, PATIENT, Site, WireLine

KEY = "canary-key-0123456789"
BODY = b'{"input":{"a":1}}'
KINDS = ("launch", "look", "file")


@pytest.fixture(params=["asyncio", "uvloop"], autouse=True)
def loops(request: pytest.FixtureRequest) -> Iterator[None]:
    """The workers' loop is another than Python's own: what it raises must mean the same."""
    if request.param == "uvloop":
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    yield
    asyncio.set_event_loop_policy(None)


async def launch(provider: ScriptProvider, url: str, body: bytes = BODY) -> Accepted:
    access = Access(connection_id="c", base_url=url, api_key=KEY)
    return await provider.launch(access, "w", body, send_by=since_boot_s() + 60)


async def look(provider: ScriptProvider, url: str) -> object:
    return await provider.observe(Access(connection_id="c", base_url=url, api_key=KEY), "w", "e")


async def fetch(site: Site, timeouts: Timeouts) -> None:
    pace = Pace(min_bytes_per_s=1_000, window_s=0.2)
    fetcher = HttpFileFetcher(timeouts=timeouts, pace=pace, allow_private_networks=True, ssl_context=site.ssl_context)
    async with fetcher.fetch(f"{site.url}/file") as found:
        async for _ in found.chunks:
            pass


async def call(kind: str, site: Site, body: bytes, timeouts: Timeouts = PATIENT) -> None:
    provider = ScriptProvider(timeouts=timeouts, allow_private_networks=True, ssl_context=site.ssl_context)
    try:
        match kind:
            case "launch":
                await launch(provider, site.url, body)
            case "look":
                await look(provider, site.url)
            case _:
                await fetch(site, timeouts)
    finally:
        await provider.aclose()


async def error_of(kind: str, site: Site, body: bytes = BODY, timeouts: Timeouts = PATIENT) -> ProviderError:
    try:
        await call(kind, site, body, timeouts)
    except ProviderError as error:
        assert KEY not in f"{error.message}{error.evidence}"
        assert error.__context__ is None, "the client's exception holds the request, and so the key"
        return error
    raise AssertionError("it came to an answer")


async def outcome(url: str, *, read: bool = False, body: bytes = BODY) -> ProviderError:
    return await error_of("look" if read else "launch", Site(url), body)


def each_line() -> Iterator[object]:
    """Yield each line with each kind of call that it can happen to; only launches have large bodies."""
    for line in LINES:
        for kind in KINDS if line.file is not None else ("launch", "look"):
            if kind == "launch" or line.body_bytes < wire_lines.LARGE:
                yield pytest.param(line, kind, id=f"{line.name}-{kind}")


@pytest.mark.parametrize(("line", "kind"), [*each_line()])
def test_what_happens_on_the_wire_means_what_its_line_says(line: WireLine, kind: str) -> None:
    """The client hides some write errors and reads on, so a reset then shows as a broken read: all the same."""
    body = b'{"input":"' + b"x" * line.body_bytes + b'"}'

    async def work() -> ProviderError:
        async with line.place() as site:
            return await error_of(kind, site, body, line.timeouts)

    error = run(work())
    assert type(error) is getattr(line, kind), error.message
    # A file that comes too slowly is given up by its pace, not by the limit on the whole call.
    assert line.said in error.message


#: Classes that no socket can make httpx raise through the way that we call it, and why not.
NEVER_RAISED = {
    httpx.ProxyError: "no proxy is used",
    httpx.LocalProtocolError: "URL, headers and body are checked before",
    httpx.DecodingError: "bodies are read raw",
    httpx.TooManyRedirects: "the transport follows none",
    httpx.CloseError: "httpcore closes without raising it",
    httpx.WriteError: "httpcore hides it and reads on, in case an answer stands there",
    httpx.PoolTimeout: "needs ten looks at once: see below",
}

#: Not about a call: raised by parts of httpx that we do not use, or before a request exists.
NOT_OF_A_CALL = {
    httpx.HTTPError,  # the root
    httpx.HTTPStatusError,  # raise_for_status
    httpx.InvalidURL,  # caught where the request is made: `bad_url`, nothing is sent
    httpx.CookieConflict,
    httpx.StreamError,  # reading a body twice, or after its end
    httpx.StreamConsumed,
    httpx.StreamClosed,
    httpx.ResponseNotRead,
    httpx.RequestNotRead,
}


def _tree(kind: type[Exception]) -> set[type[Exception]]:
    return {kind}.union(*(_tree(child) for child in kind.__subclasses__() if child.__module__.startswith("httpx")))


def test_every_exception_of_the_client_has_a_line() -> None:
    tree = {found for root in (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, httpx.CookieConflict)
            for found in _tree(root)}  # fmt: skip
    everything = {
        kind for kind in vars(httpx).values() if isinstance(kind, type) and issubclass(kind, Exception)
    }  # what is exported, too
    assert tree | everything == NOT_OF_A_CALL | {kind for kind in FAILURES if kind.__module__.startswith("httpx")}
    assert _tree(httpx.RequestError) <= FAILURES.keys()


def test_every_leaf_of_the_table_happens_on_a_real_socket_or_says_why_it_cannot() -> None:
    families = {httpx.TimeoutException, httpx.NetworkError, httpx.ProtocolError, httpx.TransportError}
    happens = {line.said for line in LINES}
    for kind in FAILURES.keys() - families - {httpx.RequestError, OSError}:
        assert (kind.__name__ in happens) != (kind in NEVER_RAISED), kind


def test_every_provider_has_its_table() -> None:
    assert OUTCOMES.keys() == PROVIDERS.keys()
    assert all(set(calls) - {"cancel"} == set(KINDS) for calls in OUTCOMES.values())


def test_a_class_that_a_later_version_adds_is_never_called_unsent() -> None:
    for family in (httpx.TimeoutException, httpx.NetworkError, httpx.ProtocolError, httpx.TransportError, OSError):
        new: type[Exception] = type("Brandnew", (family,), {})
        for outcomes in (LAUNCH, READ, FILE):
            assert outcomes.of_failure(new("x"), was_written=False) is OutcomeUnknown


def test_no_free_connection_means_that_nothing_was_sent() -> None:
    async def hang_after_request(connection: Connection) -> None:
        await connection.request()
        await connection.hang()

    async def work() -> None:
        async with RawServer(hang_after_request) as server:
            provider = ScriptProvider(timeouts=Timeouts(read_s=0.3, pool_s=0.05), allow_private_networks=True)
            looks = [asyncio.create_task(look(provider, server.url)) for _ in range(11)]
            errors = await asyncio.gather(*looks, return_exceptions=True)
            assert sorted(type(error).__name__ for error in errors) == ["NotSent"] + ["OutcomeUnknown"] * 10
            assert server.connections == 10
            await provider.aclose()

    run(work())


def test_a_large_launch_gets_more_time_to_be_written() -> None:
    stretched = Timeouts().for_launch(body_bytes=4_000_000, read_s=230)
    assert (stretched.write_s, stretched.read_s, stretched.connect_s) == (50, 230, 5)
    assert stretched.whole_s == 290


def test_what_was_written_is_never_called_unsent() -> None:
    """Some transports call a reset after the request a ConnectTimeout; the wire knows better."""
    for outcomes in (LAUNCH, READ):
        for kind, line in FAILURES.items():
            failure = kind("x")
            assert outcomes.of_failure(failure, was_written=True) is OutcomeUnknown
            unwritten = NotSent if kind is TimeoutError else line.meaning
            assert outcomes.of_failure(failure, was_written=False) is unwritten


def test_a_cancelled_launch_is_not_swallowed() -> None:
    """Nobody records it, so the sweep finds its intent: see `test_a_worker_that_dies_...` of the engine."""

    async def work() -> None:
        async with wire_lines.at(Connection.hang)() as site:
            sending = asyncio.create_task(call("launch", site, BODY))
            await asyncio.sleep(0.02)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending

    run(work())


async def _answer_and_reset(connection: Connection) -> None:
    await connection.request()
    await connection.say(answer(200, OK))
    connection.reset()


NOISE = b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 20

#: An id in hand is never thrown away, however oddly it came.
TAKEN = [
    pytest.param(says(answer(200, OK)), id="as the page says"),
    pytest.param(says(answer(201, OK)), id="another 2xx"),
    pytest.param(says(NOISE + answer(200, OK)), id="after 1xx noise"),
    pytest.param(says(b"HTTP/1.1 200 OK\r\n\r\n" + OK), id="without a length"),
    pytest.param(says(b"HTTP/1.0 200 OK\r\n\r\n" + OK), id="HTTP 1.0"),
    pytest.param(says(answer(200, OK) + b"surplus bytes"), id="with surplus bytes"),
    pytest.param(_answer_and_reset, id="and then a reset"),
    pytest.param(says(answer(200, OK, "Content-Type: text/html")), id="of a wrong type"),
    pytest.param(says(answer(200, OK, "Content-Encoding: br")), id="of a wrong encoding"),
]


@pytest.mark.parametrize("behave", TAKEN)
def test_a_2xx_with_an_id_is_taken_however_oddly_it_came(behave: Behaviour) -> None:
    async def work() -> Accepted:
        provider = ScriptProvider(timeouts=PATIENT, allow_private_networks=True)
        async with RawServer(behave) as server:
            return await launch(provider, server.url)

    assert run(work()) == Accepted(execution_id="e-1")


OWN = {"error": "no, because of a reason"}
PAGE = b"<html>no</html>"

#: status, then what it means: launch in own shape, launch in a foreign one, look in own shape, look in a foreign one
STATUSES = [
    (301, OutcomeUnknown, OutcomeUnknown, Misbehaved, Misbehaved),
    (302, OutcomeUnknown, OutcomeUnknown, Misbehaved, Misbehaved),
    (304, OutcomeUnknown, OutcomeUnknown, Misbehaved, Misbehaved),
    (307, OutcomeUnknown, OutcomeUnknown, Misbehaved, Misbehaved),
    (400, Refused, Misbehaved, Refused, Misbehaved),
    (401, KeyRefused, Misbehaved, KeyRefused, Misbehaved),
    (402, Misbehaved, Misbehaved, Misbehaved, Misbehaved),
    (403, KeyRefused, Misbehaved, KeyRefused, Misbehaved),
    (404, Gone, Misbehaved, Gone, Misbehaved),
    (405, Misbehaved, Misbehaved, Misbehaved, Misbehaved),
    (407, Misbehaved, Misbehaved, Misbehaved, Misbehaved),
    (408, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown),
    (409, Misbehaved, Misbehaved, Misbehaved, Misbehaved),
    (413, Refused, Misbehaved, Refused, Misbehaved),
    (422, Refused, Misbehaved, Refused, Misbehaved),
    (429, Throttled, Throttled, Throttled, Throttled),
    (500, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown),
    (502, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown),
    (503, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown),
    (504, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown),
    (599, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown),
    (777, OutcomeUnknown, OutcomeUnknown, Misbehaved, Misbehaved),
]


@pytest.mark.parametrize("line", STATUSES, ids=lambda line: str(line[0]))
def test_a_status_means_what_its_line_says(line: tuple[int, *tuple[type[ProviderError], ...]]) -> None:
    status, *expected = line
    location = "Location: http://127.0.0.1:1/"

    async def work() -> list[ProviderError]:
        found = []
        for read in (False, True):
            for said in (json_answer(status, OWN, location), answer(status, PAGE, location)):
                async with RawServer(says(said)) as server:
                    found.append(await outcome(server.url, read=read))
                    assert len(server.requests) == 1, "each call is one request"
        return found

    errors = run(work())
    assert [type(error) for error in errors] == expected
    assert [error.http_status for error in errors] == [status] * 4
    if status != 304:
        assert errors[1].evidence == PAGE.decode()


def test_every_line_of_the_status_tables_is_tried() -> None:
    for outcomes in (LAUNCH, READ, FILE):
        for status in range(1_000):
            if not 200 <= status <= 299:
                for is_own_shape in (False, True):
                    assert issubclass(outcomes.of_status(status, is_own_shape=is_own_shape), ProviderError)
    for outcomes in (LAUNCH, READ):
        for rule in outcomes.statuses:
            assert any(rule.first <= line[0] <= rule.last for line in STATUSES)


@pytest.mark.parametrize(
    "body",
    [
        *[b"", b"ok", b"[]", b"null", b'{"a":1,"a":2}', b'{"x":NaN}', b"[" * 10_000, b"\xff\xfe"],
        *[b'{"execution_id":""}', b'{"execution_id":7}', b'{"execution_id":null}', b'{"execution_id":"a/../b"}'],
        *[b'{"id":"e-1"}', b'{"execution_id":"%s"}' % (b"x" * 201), b'{"execution_id":"e\\u0000"}'],
        b'{"execution_id":"e-1","execution_id":"e-2"}',
    ],
)
def test_a_2xx_of_a_wrong_shape_puts_a_launch_in_doubt_and_a_look_off(body: bytes) -> None:
    async def work() -> None:
        async with RawServer(says(answer(200, body))) as server:
            assert type(await outcome(server.url)) is OutcomeUnknown
            assert type(await outcome(server.url, read=True)) is Misbehaved

    run(work())


def test_an_answer_larger_than_the_cap_is_cut_and_not_believed() -> None:
    body = b'{"execution_id":"e","status":"initial","x":"' + b"y" * 1_100_000 + b'"}'

    async def work() -> None:
        async with RawServer(says(answer(200, body))) as server:
            error = await outcome(server.url)
            assert type(error) is OutcomeUnknown
            assert len((error.evidence or "").encode()) <= 2_000
            assert type(await outcome(server.url, read=True)) is Misbehaved

    run(work())


@pytest.mark.parametrize("status", [429, 503])
def test_an_answer_whose_body_is_cut_carries_how_long_to_wait(status: int) -> None:
    async def work() -> None:
        async with RawServer(says(answer(status, b"slo", "Retry-After: 17", length=500))) as server:
            assert (await outcome(server.url)).retry_after_s == 17
            assert (await outcome(server.url, read=True)).retry_after_s == 17

    run(work())


def test_a_503_carries_how_long_to_wait() -> None:
    async def work() -> None:
        async with RawServer(says(answer(503, b"away", "Retry-After: 17"))) as server:
            assert (await outcome(server.url)).retry_after_s == 17
            assert (await outcome(server.url, read=True)).retry_after_s == 17

    run(work())


def test_a_429_carries_how_long_to_wait_by_the_answers_own_clock() -> None:
    headers = ("Date: Wed, 21 Oct 2015 07:28:00 GMT", "Retry-After: Wed, 21 Oct 2015 07:28:40 GMT")

    async def work() -> None:
        async with RawServer(says(json_answer(429, {"error": "slow down"}, *headers))) as server:
            error = await outcome(server.url)
            assert isinstance(error, Throttled)
            assert error.retry_after_s == 40

    run(work())
