"""HTTP/1.1, as little as the sandbox needs: requests read from bytes, answers written to them, honest or not."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any

MAX_HEAD_BYTES = 65_536
#: More than the API's own limit, which is the API's to refuse; beyond this the connection is not worth the memory.
MAX_BODY_BYTES = 67_108_864
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class BadRequest(ValueError):
    """Bytes that are no HTTP request, or one beyond the bounds; the connection is answered 400 and closed."""


@dataclass(slots=True)
class Request:
    """A request; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = b""
    connection_id: int = 0
    keeps_alive: bool = True


class Ending(StrEnum):
    """What becomes of the connection after the answer."""

    KEEP = "keep"
    FIN = "fin"
    RST = "rst"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How an answer goes onto the wire, when it does not simply go.

    Args:
        hold_s: real seconds before the first byte.
        is_silent: nothing is sent at all; only the ending happens.
        declared_bytes: a Content-Length that is not the truth.
        sent_bytes: the body is cut after so many bytes.
        bytes_per_s: the body drips.
        is_chunked: no Content-Length; the body goes in chunks.
    """

    hold_s: float = 0.0
    is_silent: bool = False
    ending: Ending = Ending.KEEP
    declared_bytes: int | None = None
    sent_bytes: int | None = None
    bytes_per_s: float | None = None
    is_chunked: bool = False


PLAIN = Delivery()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer. A large body is a `stream` of `stream_bytes` bytes instead of `body`."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    stream: Callable[[], Iterator[bytes]] | None = None
    stream_bytes: int = 0
    delivery: Delivery = PLAIN
    #: What the body was made from, so that a fault can reshape it.
    document: Any = field(default=None, compare=False)

    @property
    def size_bytes(self) -> int:
        return len(self.body) if self.stream is None else self.stream_bytes

    def chunks(self) -> Iterator[bytes]:
        """Yield the body piece by piece."""
        if self.stream is None:
            yield self.body
        else:
            yield from self.stream()


def json_answer(status: int, document: Any, *, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    return Answer(status=status, body=json.dumps(document).encode(), headers=headers, document=document)


def text_answer(status: int, text: str, *, content_type: str = "text/html; charset=utf-8") -> Answer:
    return Answer(status=status, body=text.encode(), content_type=content_type)


def parse_head(head: bytes) -> Request:
    """Read a request line and its headers.

    Raises:
        BadRequest: they are none.
    """
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1.") or not parts[1].startswith("/"):
        raise BadRequest("not an HTTP/1.1 request line")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest("not a header line")
        headers[name.lower()] = value.strip()
    path, _, query = parts[1].partition("?")
    connection = headers.get("connection", "").lower()
    keeps_alive = connection != "close" if parts[2] == "HTTP/1.1" else connection == "keep-alive"
    return Request(parts[0], path, query, headers, keeps_alive=keeps_alive)


def body_length(request: Request) -> int | None:
    """Return how long the body is, None for a chunked one.

    Raises:
        BadRequest: the headers do not say it, or it is beyond the bound.
    """
    if "transfer-encoding" in request.headers:
        if request.headers["transfer-encoding"].lower() != "chunked":
            raise BadRequest("unknown transfer-encoding")
        return None
    text = request.headers.get("content-length", "0")
    if not text.isdigit():
        raise BadRequest("content-length is not a number")
    length = int(text)
    if length > MAX_BODY_BYTES:
        raise BadRequest("body too large")
    return length


def take_chunked(buffer: bytearray) -> tuple[bytes, int] | None:
    """Read a whole chunked body off the buffer's start; return it with the bytes it took, None while it is incomplete.

    Raises:
        BadRequest: these are no chunks, or too many bytes.
    """
    pieces: list[bytes] = []
    at = 0
    while True:
        line_end = buffer.find(b"\r\n", at)
        if line_end < 0:
            return None
        size_text = bytes(buffer[at:line_end]).split(b";")[0].strip()
        try:
            size = int(size_text, 16)
        except ValueError as error:
            raise BadRequest("not a chunk size") from error
        at = line_end + 2
        if at + size > MAX_BODY_BYTES:
            raise BadRequest("body too large")
        if len(buffer) < at + size + 2:
            return None
        if size == 0:  # trailers are not taken
            return b"".join(pieces), at + 2
        pieces.append(bytes(buffer[at : at + size]))
        at += size + 2


def head_bytes(answer: Answer, *, date: str, closes: bool) -> bytes:
    """Write the status line and the headers of an answer."""
    delivery = answer.delivery
    length = answer.size_bytes if delivery.declared_bytes is None else delivery.declared_bytes
    framing = "transfer-encoding: chunked" if delivery.is_chunked else f"content-length: {length}"
    head = (
        f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Unknown')}\r\n"
        f"date: {date}\r\ncontent-type: {answer.content_type}\r\n{framing}\r\n"
    )
    for name, value in answer.headers:
        head += f"{name}: {value}\r\n"
    if closes:
        head += "connection: close\r\n"
    return (head + "\r\n").encode("latin-1")
