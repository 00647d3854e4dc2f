"""Named faults: everything a remote API was ever seen to do instead of answering.

Each is a row of FAULTS: when it strikes (before the request is acted on, or after), which requests it is at home with,
and the answer it makes. A rule may turn `when` around with `"when": "before" | "after"`.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sandbox.api import error, with_retry_after
from sandbox.calls import Kind
from sandbox.clock import Clock
from sandbox.files import expired
from sandbox.hints import FAULT_NAMES
from sandbox.http import Answer, Delivery, Ending, json_answer, text_answer

_HUGE_CHUNK = b"x" * 65_536
_PROXY_PAGE = "<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center></body></html>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a fault has at hand when it strikes."""

    kind: Kind
    path: str
    parameters: Mapping[str, Any]
    clock: Clock
    files_url: str
    lose: Callable[[], None]
    close_listener: Callable[[float], None]
    #: An error in the shape of the API that is asked.
    error: Callable[[int, str], Answer] = error

    def number(self, name: str, default: float) -> float:
        return float(self.parameters.get(name, default))


Act = Callable[[Scene, Answer], Answer]


@dataclass(frozen=True, slots=True)
class Fault:
    """A row of the table. `home` is where a hint's fault strikes when it does not say."""

    when: str
    home: Kind
    act: Act
    says: str


def _canned(make: Callable[[Scene], Answer]) -> Act:
    """Make an answer that ignores the genuine one; `body` in the rule replaces its body."""

    def act(scene: Scene, genuine: Answer) -> Answer:
        answer = make(scene)
        body = scene.parameters.get("body")
        if body is None:
            return answer
        return replace(answer, body=(body if isinstance(body, str) else json.dumps(body)).encode())

    return act


def _too_many(scene: Scene) -> Answer:
    wait_s = scene.number("retry_after_s", 30.0)
    style = str(scene.parameters.get("retry_after_as", "seconds" if "retry_after_s" in scene.parameters else "none"))
    if style == "seconds":  # exactly the number asked for, whatever the clock's scale
        return replace(scene.error(429, "Rate limit exceeded"), headers=(("retry-after", str(math.ceil(wait_s))),))
    return with_retry_after(scene.error(429, "Rate limit exceeded"), style=style, wait_s=wait_s, clock=scene.clock)


def _proxy(status: int, title: str) -> Act:
    return _canned(lambda scene: text_answer(status, _PROXY_PAGE.format(title=title)))


def _refusal(status: int, message: str) -> Act:
    return _canned(lambda scene: scene.error(status, message))


def _delivered(**delivery: Any) -> Act:
    return lambda scene, genuine: replace(genuine, delivery=Delivery(**delivery))


def _hang(scene: Scene, genuine: Answer) -> Answer:
    hold_s = scene.number("seconds", 30.0)
    if scene.parameters.get("when", "before") == "before":  # nothing was accepted and nothing is ever said
        return replace(genuine, delivery=Delivery(hold_s=hold_s, is_silent=True, ending=Ending.FIN))
    return replace(genuine, delivery=Delivery(hold_s=hold_s))


def _close_listener(scene: Scene, genuine: Answer) -> Answer:
    scene.close_listener(scene.number("seconds", 1.0))
    return replace(genuine, delivery=Delivery(is_silent=True, ending=Ending.RST))


def _cut_body(scene: Scene, genuine: Answer) -> Answer:
    sent = int(scene.number("bytes", genuine.size_bytes // 2))
    ending = Ending(str(scene.parameters.get("ending", "fin")))
    return replace(genuine, delivery=Delivery(sent_bytes=sent, ending=ending))


def _wrong_length(scene: Scene, genuine: Answer) -> Answer:
    declared = max(0, genuine.size_bytes + int(scene.number("delta_bytes", 10)))
    return replace(genuine, delivery=Delivery(declared_bytes=declared, ending=Ending.FIN))


def _slow_drip(scene: Scene, genuine: Answer) -> Answer:
    return replace(genuine, delivery=Delivery(bytes_per_s=max(scene.number("bytes_per_s", 10.0), 0.1)))


def _bad_json(scene: Scene, genuine: Answer) -> Answer:
    body = b"".join(genuine.chunks()) if genuine.size_bytes <= 1_048_576 else b"{}"
    return replace(genuine, body=body[: max(1, len(body) - 3)], stream=None)


def _wrong_shape(scene: Scene, genuine: Answer) -> Answer:
    return json_answer(200, scene.parameters.get("body", {"ok": True, "data": "yes", "id": 7, "status": ["finished"]}))


def _unknown_status(scene: Scene, genuine: Answer) -> Answer:
    return json_answer(genuine.status, _with_word(genuine.document, str(scene.parameters.get("status", "archived"))))


def _with_word(document: Any, word: str) -> Any:
    """Return an answer with another status word, wherever it has one: one thing, a thing in `data`, or a list."""
    if isinstance(document, list):
        return [_with_word(entry, word) for entry in document]
    if not isinstance(document, dict):
        return document
    changed = {"status": word} if "status" in document else {}
    return {**document, **changed, **({"data": _with_word(document["data"], word)} if "data" in document else {})}


def _partial_batch(scene: Scene, genuine: Answer) -> Answer:
    if not isinstance(genuine.document, dict) or "executions" not in genuine.document:
        return genuine
    listed = genuine.document["executions"]
    kept = listed[: int(scene.number("keep", len(listed) // 2))]
    return json_answer(genuine.status, {**genuine.document, "executions": kept})


def _duplicate_keys(scene: Scene, genuine: Answer) -> Answer:
    """Say every key twice, first with another value: parsers differ on which one counts."""
    if not isinstance(genuine.document, dict):
        return genuine
    other = json.dumps({key: _another(value) for key, value in genuine.document.items()})
    return replace(genuine, body=f"{other[:-1]}, {json.dumps(genuine.document)[1:]}".encode())


def _another(value: Any) -> Any:
    if isinstance(value, str):
        return value[::-1]
    return None if value else ["other"]


def _redirect(scene: Scene) -> Answer:
    location = str(scene.parameters.get("location", f"{scene.files_url}/elsewhere{scene.path}"))
    return Answer(status=int(scene.number("status", 302)), headers=(("location", location),))


def _huge_body(scene: Scene, genuine: Answer) -> Answer:
    size = int(scene.number("size_bytes", 67_108_864))
    head, tail = b'{"padding": "', b'"}'

    def stream() -> Iterator[bytes]:
        yield head
        left = size - len(head) - len(tail)
        while left > 0:
            yield _HUGE_CHUNK[:left]
            left -= len(_HUGE_CHUNK)
        yield tail

    is_chunked = scene.parameters.get("length", "chunked") == "chunked"
    return Answer(status=200, stream=stream, stream_bytes=size, delivery=Delivery(is_chunked=is_chunked))


def _lost(scene: Scene, genuine: Answer) -> Answer:
    scene.lose()
    return scene.error(404, "Execution not found") if scene.kind is Kind.LOOK else genuine


def _expired(scene: Scene) -> Answer:
    now_s = scene.clock.now()
    return expired(scene.path, expires_s=now_s - 1, now_s=now_s)


_SILENT_RST = _delivered(is_silent=True, ending=Ending.RST)
_SILENT_FIN = _delivered(is_silent=True, ending=Ending.FIN)
_L, _K, _F, _B = Kind.LAUNCH, Kind.LOOK, Kind.FILE, Kind.BATCH

FAULTS: Mapping[str, Fault] = {
    "429": Fault("before", _L, _canned(_too_many), "429; retry_after_s, retry_after_as seconds|date|none"),
    "500": Fault("before", _L, _refusal(500, "Internal server error"), "500, nothing accepted"),
    "500_after": Fault("after", _L, _refusal(500, "Internal server error"), "accepted, then 500"),
    "502_html": Fault("before", _L, _proxy(502, "502 Bad Gateway"), "a proxy's HTML page with 502"),
    "503": Fault("before", _L, _refusal(503, "Service unavailable"), "503"),
    "400": Fault("before", _L, _refusal(400, "Bad request"), "400 in the API's own shape"),
    "404": Fault("before", _K, _refusal(404, "Not found"), "404 in the API's own shape, this once"),
    "404_html": Fault("before", _K, _proxy(404, "404 Not Found"), "a proxy's HTML page with 404"),
    "401": Fault("before", _L, _refusal(401, "Invalid API key"), "401 in the API's own shape"),
    "403_html": Fault("before", _L, _proxy(403, "403 Forbidden"), "a firewall's HTML page with 403"),
    "not_json_html_200": Fault("before", _L, _proxy(200, "Welcome"), "200 with a HTML page"),
    "redirect": Fault("before", _L, _canned(_redirect), "302 to another host; location, status 302|303|307|308"),
    "hang": Fault("before", _L, _hang, "seconds of silence, then FIN; when=after: accepted, then a late answer"),
    "hang_after": Fault(
        "after",
        _L,
        lambda scene, genuine: replace(genuine, delivery=Delivery(hold_s=scene.number("seconds", 30.0))),
        "accepted, then seconds of silence, then the genuine answer",
    ),
    "reset_before": Fault("before", _L, _SILENT_RST, "RST, nothing accepted"),
    "reset_after": Fault("after", _L, _SILENT_RST, "accepted, then RST without an answer"),
    "disconnect_before": Fault("before", _L, _SILENT_FIN, "FIN, nothing accepted"),
    "disconnect_after": Fault("after", _L, _SILENT_FIN, "accepted, then FIN without an answer"),
    "close_listener": Fault("before", _L, _close_listener, "RST, and the port refuses connections for `seconds`"),
    "cut_body": Fault("after", _L, _cut_body, "the body ends early (bytes), then FIN, or RST with ending=rst"),
    "wrong_length": Fault("after", _F, _wrong_length, "Content-Length is off by delta_bytes (+10), then FIN"),
    "slow_drip": Fault("after", _F, _slow_drip, "the body comes at bytes_per_s (10)"),
    "bad_json": Fault("after", _K, _bad_json, "the JSON ends early, with an honest length"),
    "wrong_shape": Fault("after", _K, _wrong_shape, "JSON of another shape; body"),
    "unknown_status": Fault("after", _K, _unknown_status, "a status that no page mentions; status"),
    "duplicate_keys": Fault("after", _K, _duplicate_keys, "every key twice, with different values"),
    "huge_body": Fault("after", _K, _huge_body, "size_bytes (64 MiB) of JSON; length chunked|declared"),
    "lost_execution": Fault("after", _K, _lost, "the execution is not found from now on"),
    "partial_batch": Fault("after", _B, _partial_batch, "the answer lists only `keep` of the accepted (half)"),
    "expired_url": Fault("before", _F, _canned(_expired), "403 as an object store says it"),
    "empty_file": Fault("after", _F, lambda scene, genuine: replace(genuine, body=b"", stream=None), "200, no bytes"),
}
assert set(FAULTS) == FAULT_NAMES, "every fault needs a row in FAULTS"

#: Parameters of a rule beside those that match requests.
PARAMETERS = frozenset(
    {"when", "seconds", "retry_after_s", "retry_after_as", "bytes", "ending", "delta_bytes", "bytes_per_s", "body"}
    | {"status", "location", "keep", "size_bytes", "length"}
)
