"""Whatever stands in an export, both verifiers answer with a sentence and never break."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.audit_export import CHECKPOINTS, EVENTS, KEYS, MANIFEST
from tests.audit.judges import alone, ours
from tests.audit.worlds import anchors_text, make_world, public, with_manifest

WORLD = make_world(1)

Spoil = Callable[[bytes], bytes]

DEEP = b"[" * 200_000 + b"]" * 200_000 + b"\n"
LINE_FAULTS: dict[str, Spoil] = {
    "cut in the middle of a line": lambda text: text[:-30],
    "without its last line feed": lambda text: text[:-1],
    "with an empty line": lambda text: text + b"\n",
    "not UTF-8": lambda text: text.replace(b'"', b'"\xff\xfe', 1),
    "UTF-16": lambda text: text.decode().encode("utf-16"),
    "with a byte order mark": lambda text: b"\xef\xbb\xbf" + text,
    "a name twice": lambda text: text.replace(b"{", b'{"hash":"","hash":"",', 1),
    "a name more": lambda text: text.replace(b"{", b'{"more":1,', 1),
    "nested too deep": lambda text: DEEP + text,
    "a huge number": lambda text: text.replace(b"{", b'{"more":' + b"9" * 100_000 + b",", 1),
    "an infinity": lambda text: text.replace(b"{", b'{"more":1e999,', 1),
    "not a number": lambda text: text.replace(b"{", b'{"more":NaN,', 1),
    "a list": lambda text: b"[]\n" + text,
    "null": lambda text: b"null\n" + text,
    "binary": lambda text: bytes(range(256)) * 20,
}
EVENT_FAULTS: dict[str, Spoil] = {
    "seq is a text": lambda text: text.replace(b'"seq":1,', b'"seq":"1",', 1),
    "seq has a fraction": lambda text: text.replace(b'"seq":1,', b'"seq":1.0,', 1),
    "seq is true": lambda text: text.replace(b'"seq":1,', b'"seq":true,', 1),
    "seq beyond the database": lambda text: text.replace(b'"seq":1,', b'"seq":9223372036854775808,', 1),
    "data is no text": lambda text: text.replace(b'"data":"', b'"data":["', 1).replace(b'","hash"', b'"],"hash"', 1),
    "half a surrogate pair": lambda text: text.replace(b'"type":"', b'"type":"\\ud800', 1),
    "a day that never was": lambda text: text.replace(b"2026-11-20T", b"2026-11-31T", 1),
    "an hour that never is": lambda text: text.replace(b"2026-11-20T03", b"2026-11-20T24", 1),
    "another time zone": lambda text: text.replace(b'Z","data"', b'+00:00","data"', 1),
    "the stream in large letters": lambda text: text.upper(),
}


def _answers(files: dict[str, bytes], folder: Path, *, word: str = "", **given: Any) -> None:
    """See both refuse, with a sentence."""
    assert given or files != WORLD.files(), "something must be wrong"
    verdict = ours(files, **given)
    assert not verdict.ok
    assert verdict.problem
    assert word in verdict.problem
    code, said = alone(files, folder / "export", **given)
    assert code == 8, said
    assert "first bad place:  " in said
    assert word in said


@pytest.mark.parametrize("name", [EVENTS, CHECKPOINTS, KEYS])
@pytest.mark.parametrize("fault", LINE_FAULTS)
def test_a_file_in_another_form_is_refused_though_its_hash_fits(name: str, fault: str, tmp_path: Path) -> None:
    files = WORLD.files()
    spoilt = LINE_FAULTS[fault](files.pop(name))
    if name == KEYS and fault in ("without its last line feed", "with an empty line"):
        pytest.skip("it is one JSON text, not lines")
    word = "is cut off" if fault == "without its last line feed" else ""
    _answers(with_manifest(WORLD, {**_without(files, MANIFEST), name: spoilt}), tmp_path, word=word)


@pytest.mark.parametrize("fault", EVENT_FAULTS)
def test_an_event_in_another_form_is_refused_though_its_files_hash_fits(fault: str, tmp_path: Path) -> None:
    files = WORLD.files()
    spoilt = EVENT_FAULTS[fault](files[EVENTS])
    assert spoilt != files[EVENTS]
    _answers(with_manifest(WORLD, {**_without(files, MANIFEST), EVENTS: spoilt}), tmp_path)


@pytest.mark.parametrize("fault", [*LINE_FAULTS, "an empty file"])
def test_a_manifest_in_another_form_is_refused(fault: str, tmp_path: Path) -> None:
    if fault in ("without its last line feed", "with an empty line"):
        pytest.skip("it is one JSON text, not lines")
    files = WORLD.files()
    spoilt = LINE_FAULTS[fault](files[MANIFEST]) if fault in LINE_FAULTS else b""
    _answers({**files, MANIFEST: spoilt}, tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "orchestrator-audit/2"},
        {"streams": 1},
        {"events": 10**30},
        {"events": 7},
        {"checkpoints": -1},
        {"workspace": None},
        {"from": "yesterday"},
        {"made_at": None},
        {"made_by": 5},
        {"files": {}},
        {"files": {"../../../etc/passwd": {"sha256": "0" * 64, "bytes": 1, "lines": 1}}},
    ],
    ids=str,
)
def test_a_manifest_that_says_something_else_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    files = WORLD.files()
    said = json.dumps({**json.loads(files[MANIFEST]), **change}).encode()
    _answers({**files, MANIFEST: said}, tmp_path)


@pytest.mark.parametrize("name", [EVENTS, CHECKPOINTS, KEYS])
@pytest.mark.parametrize("fact", ["sha256", "bytes", "lines"])
def test_a_file_that_is_not_the_manifests_is_refused(name: str, fact: str, tmp_path: Path) -> None:
    files = WORLD.files()
    said = json.loads(files[MANIFEST])
    said["files"][name][fact] = "0" * 64 if fact == "sha256" else said["files"][name][fact] + 1
    _answers({**files, MANIFEST: json.dumps(said).encode()}, tmp_path)


@pytest.mark.parametrize("name", [MANIFEST, EVENTS, CHECKPOINTS, KEYS])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    files = _without(WORLD.files(), name)
    assert name in (ours(files).problem or "")
    code, said = alone(files, tmp_path / "export")
    assert code == 8
    assert f"first bad place:  {name}" in said


@pytest.mark.parametrize(
    "anchors",
    [b"nonsense\n", b"{}\n", b'{"body":"{}","signature":""}\n', b'{"body":1,"signature":2}\n', DEEP, b"\xff\n", b"{"],
    ids=lambda text: str(text[:20]),
)
def test_an_anchor_that_cannot_be_read_is_not_passed_over(anchors: bytes, tmp_path: Path) -> None:
    _answers(WORLD.files(), tmp_path, anchors=anchors_text(WORLD) + anchors)


def test_keys_under_other_names_or_of_other_lengths_are_refused(tmp_path: Path) -> None:
    files = WORLD.files()
    key = base64.b64encode(public(WORLD.key)).decode()
    for keys in ({"0" * 32: key}, {"0" * 32: "AAAA"}, {"0" * 32: 1}, {}):
        spoilt = with_manifest(WORLD, {**_without(files, MANIFEST), KEYS: json.dumps(keys).encode()})
        _answers(spoilt, tmp_path)


def _without(files: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {other: text for other, text in files.items() if other != name}
