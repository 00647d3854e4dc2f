"""Result files: their content, which follows from the execution and the number, and their presigned URLs."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from sandbox.clock import Clock, iso
from sandbox.executions import Execution, Status
from sandbox.http import Answer, Request
from sandbox.options import LiveOptions
from sandbox.world import World

_BLOCK_BYTES = 65_536
_STREAM_FROM_BYTES = 1_048_576


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a result file: a head, a block repeated as often as needed, a tail."""

    head: bytes
    block: bytes
    tail: bytes
    size_bytes: int

    def chunks(self) -> Iterator[bytes]:
        yield self.head
        left = self.size_bytes - len(self.head) - len(self.tail)
        while left > 0:
            yield self.block[:left]
            left -= len(self.block)
        yield self.tail

    def sha256(self) -> str:
        digest = hashlib.sha256()
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()


def content_of(execution_id: str, number: int, *, size_bytes: int | None, filename: str) -> Content:
    """Return the content of a result file; a `.json` one is a JSON document of exactly that size, if it fits."""
    document = json.dumps({"execution_id": execution_id, "file": number, "filler": ""}).encode()
    if size_bytes is None:
        return Content(document, b"", b"", len(document))
    seed = hashlib.sha256(f"{execution_id}/{number}".encode()).digest()
    block = hashlib.shake_256(seed).hexdigest(_BLOCK_BYTES // 2).encode()
    if filename.endswith(".json") and size_bytes >= len(document):
        return Content(document[:-2], block, document[-2:], size_bytes)
    return Content(b"", block, b"", size_bytes)


class ResultFiles:
    """Mint presigned URLs and serve what they lead to, until they expire."""

    def __init__(self, world: World, live: LiveOptions, clock: Clock, *, seed: int) -> None:
        self._world = world
        self._live = live
        self._clock = clock
        self._secret = hashlib.sha256(f"presign {seed}".encode()).digest()
        self._sha256: dict[tuple[str, int], str] = {}
        self.base_url = ""

    def results(self, execution: Execution) -> list[dict[str, str]] | None:
        """Return `results` as a look at the execution shows it: null until it finished."""
        if execution.status is not Status.FINISHED or execution.fate.results_are_null:
            return None
        return [
            {"filename": spec.filename, "url": self._url(execution, number)}
            for number, spec in enumerate(execution.fate.files)
        ]

    def truth(self, execution: Execution) -> list[dict[str, str | int]]:
        """Return what the files of an execution are, for the control plane."""
        if execution.status is not Status.FINISHED:
            return []
        return [
            {
                "filename": spec.filename,
                "size_bytes": content.size_bytes,
                "sha256": self._digest(execution, number, content),
            }
            for number, spec in enumerate(execution.fate.files)
            for content in (content_of(execution.id, number, size_bytes=spec.size_bytes, filename=spec.filename),)
        ]

    def find(self, request: Request) -> tuple[Execution, int] | None:
        """Return which file a request asks for, whether or not it may have it."""
        parts = request.path.split("/")
        if len(parts) != 4 or parts[1] != "results" or not parts[3].isascii() or not parts[3].isdigit():
            return None
        execution = self._world.executions.get(parts[2])
        number = int(parts[3])
        if execution is None or number >= len(execution.fate.files):
            return None
        return execution, number

    def answer(self, request: Request) -> Answer:
        """Serve a file, or refuse as an object store does."""
        found = self.find(request)
        if found is None or request.method != "GET":
            return s3_error(404, "NoSuchKey", "The specified key does not exist.", request.path)
        execution, number = found
        values = dict(pair.partition("=")[::2] for pair in request.query.split("&"))
        expires = values.get("expires", "")
        if not hmac.compare_digest(
            self._token(execution.id, number, expires).encode(), values.get("token", "").encode()
        ):
            return s3_error(403, "SignatureDoesNotMatch", "The signature does not match.", request.path)
        if self._clock.now() >= int(expires):
            return expired(request.path, expires_s=int(expires), now_s=self._clock.now())
        spec = execution.fate.files[number]
        content = content_of(execution.id, number, size_bytes=spec.size_bytes, filename=spec.filename)
        kind = "application/json" if spec.filename.endswith(".json") else "application/octet-stream"
        if content.size_bytes < _STREAM_FROM_BYTES:
            return Answer(status=200, body=b"".join(content.chunks()), content_type=kind)
        return Answer(status=200, content_type=kind, stream=content.chunks, stream_bytes=content.size_bytes)

    def _url(self, execution: Execution, number: int) -> str:
        from_s = self._clock.now()
        if self._live.current.url_hour == "end" and execution.ended_at is not None:
            from_s = execution.ended_at
        expires = str(int(from_s + self._live.current.url_lifetime_s))
        token = self._token(execution.id, number, expires)
        return f"{self.base_url}/results/{execution.id}/{number}?token={token}&expires={expires}"

    def _token(self, execution_id: str, number: int, expires: str) -> str:
        signed = f"{execution_id}/{number}?{expires}".encode()
        return hmac.new(self._secret, signed, hashlib.sha256).hexdigest()[:40]

    def _digest(self, execution: Execution, number: int, content: Content) -> str:
        key = (execution.id, number)
        if key not in self._sha256:
            self._sha256[key] = content.sha256()
        return self._sha256[key]


def expired(path: str, *, expires_s: float, now_s: float) -> Answer:
    """Refuse a presigned URL whose time is over, in the words of an object store."""
    times = f"<Expires>{iso(expires_s)}</Expires><ServerTime>{iso(now_s)}</ServerTime>"
    return s3_error(403, "AccessDenied", "Request has expired", path, more=times)


def s3_error(status: int, code: str, message: str, path: str, *, more: str = "") -> Answer:
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message>'
        f"<Resource>{escape(path)}</Resource>{more}</Error>"
    )
    return Answer(status=status, body=text.encode(), content_type="application/xml")
