"""One answer in HTTP/1.1, as its bytes come in: its head, its body, and whether another may follow on the connection.

The reading is llhttp's (httptools), in C: a reader in Python took a tenth of a worker's time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import httptools
import httpx

#: The heads of an answer and of all that came before it (1xx) together.
MAX_HEAD_BYTES = 128 * 1024

#: The one 1xx that no other answer follows.
_SWITCHING = 101


@dataclass(slots=True)
class AnswerReader:
    """What llhttp has made of the bytes so far; it calls the methods whose names begin with `on_`."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    is_headed: bool = False
    is_whole: bool = False
    parts: list[bytes] = field(default_factory=list)
    _head_bytes: int = 0
    _is_framed: bool = False
    _may_stay: bool = False
    _parser: httptools.HttpResponseParser = field(init=False)

    def __post_init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        # A host that names a length beside a chunked body ends it by its chunks: as every reader takes it.
        self._parser.set_dangerous_leniencies(lenient_chunked_length=True)

    @property
    def leaves_connection(self) -> bool:
        """The connection may take another request."""
        return self.is_whole and self._may_stay

    def feed(self, data: bytes) -> None:
        """Take bytes; b"" is the host's end.

        Raises:
            httpx.RemoteProtocolError: they are no HTTP, or they ended too early.
        """
        if not data:
            self._end()
            return
        if not self.is_headed:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise httpx.RemoteProtocolError("the host speaks another protocol") from None
        except httptools.HttpParserError as error:
            # What follows a whole answer is nobody's: it spoils the connection, not the answer.
            if not self.is_whole:
                raise httpx.RemoteProtocolError(str(error)) from None
            self._may_stay = False
        if self.is_headed and self.status < 200:
            raise httpx.RemoteProtocolError("the answer's status is none of an answer")
        if not self.is_headed and self._head_bytes > MAX_HEAD_BYTES:
            raise httpx.RemoteProtocolError("the answer's head is too large")

    def _end(self) -> None:
        if not self.is_headed:
            raise httpx.RemoteProtocolError("the host closed the connection without an answer")
        if self._is_framed:
            raise httpx.RemoteProtocolError("the host closed the connection in the middle of the answer")
        self.is_whole = True

    def on_message_begin(self) -> None:
        if self.is_whole:
            self._may_stay = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.is_headed:
            self.headers.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        if self.is_headed:
            return
        self.status = self._parser.get_status_code()
        if 100 <= self.status <= 199 and self.status != _SWITCHING:
            self.headers = []  # an interim answer: the one that counts follows
            return
        self.is_headed = True
        self._is_framed = any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self.headers)

    def on_body(self, part: bytes) -> None:
        if not self.is_whole:
            self.parts.append(part)

    def on_message_complete(self) -> None:
        if self.is_headed and not self.is_whole:
            self.is_whole = True
            self._may_stay = self._parser.should_keep_alive()
