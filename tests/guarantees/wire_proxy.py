"""A man in the middle of Postgres' wire: passes everything on, until it is told to be an outage.

It reads the protocol just far enough to know which transaction a COMMIT belongs to, so that a test can lose the answer
of exactly the one that it means. It runs on a thread and a loop of its own: what it does to the product does not
depend on what the test waits for.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy.engine import make_url

T = TypeVar("T")

_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104


class Act(StrEnum):
    """What happens to a transaction that a fault was laid for."""

    DROP_BEFORE_COMMIT = "drop before commit"  # the server never hears of the COMMIT
    LOSE_COMMIT_REPLY = "lose commit reply"  # done, but reported as failed
    DROP_AT_MESSAGE = "drop at message"  # in the middle, at the n-th statement


@dataclass
class Fault:
    """One fault, laid for transactions whose statements hold some words, each in one of them."""

    act: Act
    of: tuple[str, ...]
    times: int = 1
    message: int = 1
    hits: int = 0


@dataclass(eq=False)
class _Session:
    """One client's connection, as far as the proxy understands it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    #: Texts of the transaction so far, and of the statements that were prepared on this connection.
    texts: list[str] = field(default_factory=list)
    prepared: dict[bytes, str] = field(default_factory=dict)
    is_deaf: bool = False
    is_refusing: bool = False

    def abort(self) -> None:
        """End it as a reset does: no goodbye in either direction."""
        for writer in (self.client, self.server):
            handle = writer.get_extra_info("socket")
            # One that the other side has closed just now has no socket any more.
            if handle is not None and handle.fileno() >= 0 and handle.family == socket.AF_INET:
                handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class WireProxy:
    """Use it as a context; `url` is where the product connects to.

    Args:
        database_url: the real server, as the product's settings name it.
    """

    def __init__(self, database_url: str) -> None:
        self._target = make_url(database_url)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire-proxy", daemon=True)
        self._sessions: set[_Session] = set()
        self._faults: list[Fault] = []
        self._refusal: tuple[str, str, tuple[str, ...]] | None = None
        self._at_the_door: bytes | None = None
        self._open = asyncio.Event()
        self.refused = 0
        self.url = ""

    def __enter__(self) -> WireProxy:
        self._thread.start()
        self._server = self._call(self._listen())
        host, port = self._server.sockets[0].getsockname()[:2]
        at_proxy = self._target.set(host=host, port=port, query={"sslmode": "disable"})
        self.url = at_proxy.render_as_string(hide_password=False)
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def lay(self, act: Act, *of: str, times: int = 1, message: int = 1) -> Fault:
        """Lay a fault for the next transactions that say all these words; the result counts its hits."""
        fault = Fault(act=act, of=of, times=times, message=message)
        self._faults.append(fault)
        return fault

    def pause(self) -> None:
        """Let nothing through in either direction; connections stay, new ones are taken and not answered."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def resume(self) -> None:
        """Let everything through again, what was held back first."""
        self._loop.call_soon_threadsafe(self._open.set)

    def reset(self) -> None:
        """Reset every connection."""
        self._loop.call_soon_threadsafe(self._reset_all)

    def refuse(self, sqlstate: str, message: str, *, words: tuple[str, ...]) -> None:
        """Answer statements that begin with one of the words with an error of this kind, as a full disk does."""
        self._refusal = (sqlstate, message, words)

    def refuse_at_the_door(self, sqlstate: str, message: str) -> None:
        """Refuse every new connection, as a server without room does."""
        self._at_the_door = _error("FATAL", sqlstate, message)

    def accept(self) -> None:
        """Refuse no more."""
        self._refusal = self._at_the_door = None

    def _reset_all(self) -> None:
        for session in tuple(self._sessions):
            session.abort()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> asyncio.Server:
        self._open.set()
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _close(self) -> None:
        self._open.set()
        self._server.close()
        self._reset_all()
        await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        await self._open.wait()
        try:
            path = f"{self._target.query['host']}/.s.PGSQL.{self._target.query['port']}"
            answers, server = await asyncio.open_unix_connection(path)
        except OSError:  # it is down, and refuses connections: so do we
            client.transport.abort()
            return
        session = _Session(client=client, server=server)
        self._sessions.add(session)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._up(reader, session))
                both.create_task(self._down(answers, session))
        except* (OSError, asyncio.IncompleteReadError):
            pass  # one end is gone: so is the other
        finally:
            self._sessions.discard(session)
            if not client.is_closing():
                session.abort()
            server.transport.abort()

    async def _up(self, reader: asyncio.StreamReader, session: _Session) -> None:
        """From the client to the server, message by message."""
        await self._greet(reader, session)
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
            await self._open.wait()
            text = _text(head[:1], body, session.prepared)
            if text is not None:
                session.texts = [] if text.startswith("BEGIN") else [*session.texts, text]
            if self._refuses(session, head[:1], text):
                continue
            fault = self._due(session, text)
            if fault is not None:
                fault.hits += 1
                if fault.act is not Act.LOSE_COMMIT_REPLY:
                    raise ConnectionResetError
                session.is_deaf = True
            session.server.write(head + body)
            await session.server.drain()

    async def _greet(self, reader: asyncio.StreamReader, session: _Session) -> None:
        """Pass on the first message, which has no type."""
        while True:
            length, code = struct.unpack("!II", await reader.readexactly(8))
            rest = await reader.readexactly(length - 8)
            if self._at_the_door is not None:
                session.client.write(self._at_the_door)
                await session.client.drain()
                session.client.close()
                raise ConnectionResetError
            if code not in {_SSL_REQUEST, _GSS_REQUEST}:
                session.server.write(struct.pack("!II", length, code) + rest)
                return
            session.client.write(b"N")

    async def _down(self, reader: asyncio.StreamReader, session: _Session) -> None:
        """From the server to the client. A deaf session ends instead: the answer was the COMMIT's."""
        while some := await reader.read(65536):
            await self._open.wait()
            if session.is_deaf:
                break
            session.client.write(some)
            await session.client.drain()
        raise ConnectionResetError

    def _due(self, session: _Session, text: str | None) -> Fault | None:
        """Return the fault that strikes at this message."""
        if text is None:
            return None
        is_commit = text.startswith("COMMIT")
        for fault in self._faults:
            if fault.hits >= fault.times or not _holds(session.texts, fault.of):
                continue
            at_message = fault.act is Act.DROP_AT_MESSAGE
            if len(session.texts) >= fault.message if at_message else is_commit:
                return fault
        return None

    def _refuses(self, session: _Session, kind: bytes, text: str | None) -> bool:
        """Answer in the server's place; what follows up to the next Sync is skipped, as a server does."""
        if session.is_refusing:
            if kind == b"S":
                session.is_refusing = False
                session.client.write(b"Z" + struct.pack("!I", 5) + b"E")
            return True
        if self._refusal is None or text is None or not text.lstrip().startswith(self._refusal[2]):
            return False
        sqlstate, message, _ = self._refusal
        self.refused += 1
        session.client.write(_error("ERROR", sqlstate, message))
        if kind == b"Q":
            session.client.write(b"Z" + struct.pack("!I", 5) + b"E")
        else:
            session.is_refusing = True
        return True


def _error(severity: str, sqlstate: str, message: str) -> bytes:
    fields = f"S{severity}\0V{severity}\0C{sqlstate}\0M{message}\0\0".encode()
    return b"E" + struct.pack("!I", 4 + len(fields)) + fields


def _holds(texts: list[str], words: tuple[str, ...]) -> bool:
    return all(any(word in text for text in texts) for word in words)


def _text(kind: bytes, body: bytes, prepared: dict[bytes, str]) -> str | None:
    """Return the SQL that a message brings or binds; None for all other messages."""
    if kind == b"Q":
        return body[:-1].decode()
    if kind == b"P":
        name, text, _ = body.split(b"\0", 2)
        prepared[name] = text.decode()
        return prepared[name]
    if kind == b"B":
        _, name, _ = body.split(b"\0", 2)
        return prepared.get(name) if name else None  # a nameless one was seen when it was parsed
    return None
