"""JSON that two readers would read differently is refused, with its code and its place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.intake import strict_json
from orchestrator.domain.intake.json_flaws import find_flaw
from orchestrator.errors import BadInput, TooLarge

REFUSED = [
    (b"", "json.empty", 0, 1, 1),
    (b" \n\t ", "json.empty", 0, 1, 1),
    (b'{"a":', "json.syntax", 5, 1, 6),
    (b'{"a":1,\n "b":}', "json.syntax", 13, 2, 6),
    (b'{"a":1 "b":2}', "json.syntax", 7, 1, 8),
    (b'{"a":1,}', "json.syntax", 6, 1, 7),
    (b"[1,]", "json.syntax", 2, 1, 3),
    (b"[1 2]", "json.syntax", 3, 1, 4),
    (b'{"a":1]', "json.syntax", 6, 1, 7),
    (b"{a:1}", "json.syntax", 1, 1, 2),
    (b"{'a':1}", "json.syntax", 1, 1, 2),
    (b'{"a" 1}', "json.syntax", 5, 1, 6),
    (b"{} x", "json.syntax", 3, 1, 4),
    (b"{}{}", "json.syntax", 2, 1, 3),
    (b'"abc', "json.syntax", 0, 1, 1),
    (b'"\\x"', "json.syntax", 1, 1, 2),
    (b'"\\u12g4"', "json.syntax", 1, 1, 2),
    (b'"a\nb"', "json.syntax", 2, 1, 3),
    (b"True", "json.syntax", 0, 1, 1),
    (b"01", "json.syntax", 0, 1, 1),
    (b"1.", "json.syntax", 0, 1, 1),
    (b".5", "json.syntax", 0, 1, 1),
    (b"+1", "json.syntax", 0, 1, 1),
    (b"-", "json.syntax", 0, 1, 1),
    (b'{"workflow":"a","workflow":"b"}', "json.duplicate_key", 16, 1, 17),
    (b'{"a":{"b":1,\n"\\u0062":2}}', "json.duplicate_key", 13, 2, 1),
    (b'{"\\ud83d\\ude00":1,"\xf0\x9f\x98\x80":2}', "json.duplicate_key", 18, 1, 19),
    (b"[NaN]", "json.number", 1, 1, 2),
    (b"[Infinity]", "json.number", 1, 1, 2),
    (b"[-Infinity]", "json.number", 1, 1, 2),
    (b"[1e999]", "json.number", 1, 1, 2),
    (b"[-1e999]", "json.number", 1, 1, 2),
    (b"[" + b"9" * 4301 + b"]", "json.number", 1, 1, 2),
    (b"[0." + b"1" * 5000 + b"]", "json.number", 1, 1, 2),
    (b'["\xc3\xa9\\ud800"]', "json.unicode", 4, 1, 4),
    (b'["\\udc00"]', "json.unicode", 2, 1, 3),
    (b'["\\ud800\\u0041"]', "json.unicode", 2, 1, 3),
    (b'["\\ud800x\\udc00"]', "json.unicode", 2, 1, 3),
    (b'["\\ud800\\ud800\\udc00"]', "json.unicode", 2, 1, 3),
    (b'["\\\\ud83d\\ude00"]', "json.unicode", 9, 1, 10),
    (b'["a\\u0000"]', "text.nul", 3, 1, 4),
    (b'{"\\u0000":1}', "text.nul", 2, 1, 3),
    (b'["a\x00"]', "text.nul", 3, 1, 4),
    (b'["\xff\xfe"]', "json.encoding", 2, 1, 3),
    (b'[1,\n"\xe9"]', "json.encoding", 5, 2, 2),
    (b'["\xed\xa0\x80"]', "json.encoding", 2, 1, 3),
    (b"\xef\xbb\xbf{}", "json.encoding", 0, 1, 1),
    ("{}".encode("utf-16"), "json.encoding", 0, 1, 1),
    ("{}".encode("utf-16-le"), "json.encoding", 0, 1, 1),
    ("{}".encode("utf-16-be"), "json.encoding", 0, 1, 1),
    ("{}".encode("utf-32"), "json.encoding", 0, 1, 1),
    (b"[" * 65 + b"]" * 65, "json.depth", 64, 1, 65),
    (b'{"a":' * 65 + b"1" + b"}" * 65, "json.depth", 320, 1, 321),
]


@pytest.mark.parametrize(("data", "code", "offset", "line", "column"), REFUSED, ids=lambda v: repr(v)[:30])
def test_each_flaw_is_refused_with_its_code_and_place(
    data: bytes, code: str, offset: int, line: int, column: int
) -> None:
    flaw = strict_json.check(data)
    assert flaw is not None
    assert (flaw.code, flaw.offset_bytes, flaw.line, flaw.column) == (code, offset, line, column)
    with pytest.raises(BadInput) as caught:
        strict_json.parse(data)
    assert caught.value.code == code
    assert caught.value.problems[0].line == line
    assert f"line {line}, column {column} (byte {offset})" in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"null",
        b' {"a" : [1, 2.50, -0.0, 1E2, true, false, null, {}, []] } \r\n',
        b"[9007199254740993, 0.10, 1e-999]",
        b'["\\ud83d\\ude00", "\\\\ud800", "\\\\u0000", "\\"", "\\/\\b\\f\\n\\r\\t", "\xf0\x9f\x98\x80"]',
        b'{"a":{"b":1},"b":{"b":1},"":0}',
        b"[" * 64 + b"]" * 64,
        b'["' + b"[{" * 5000 + b'\\"[["]',
        b"[" + b"[]," * 5000 + b"[]]",
        b"[" + b"9" * 4300 + b", -" + b"9" * 4300 + b"]",
    ],
    ids=lambda v: repr(v)[:30],
)
def test_honest_json_reads_as_python_reads_it(data: bytes) -> None:
    assert strict_json.check(data) is None
    assert strict_json.parse(data) == json.loads(data)


@pytest.mark.parametrize("depth", [10_000, 100_000, 1_000_000])
@pytest.mark.parametrize("opener", [b"[", b'{"a":', b'[{"a":'])
def test_deep_nesting_is_refused_without_a_recursion_error(depth: int, opener: bytes) -> None:
    flaw = strict_json.check(opener * depth)
    assert flaw is not None
    assert flaw.code == "json.depth"


def test_a_byte_order_mark_is_taken_where_it_is_allowed() -> None:
    assert strict_json.parse(b"\xef\xbb\xbf[1]", allow_bom=True) == [1]


def test_more_bytes_than_the_cap_are_too_large() -> None:
    assert strict_json.parse(b"[1]", max_bytes=3) == [1]
    with pytest.raises(TooLarge):
        strict_json.parse(b"[1] ", max_bytes=3)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(value=JSON_VALUES, ascii_only=st.booleans())
def test_what_python_writes_is_read_back_unless_it_holds_a_nul(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    flaw = strict_json.check(text.encode())
    if flaw is None:
        assert strict_json.parse(text.encode()) == value
    else:
        assert flaw.code == "text.nul"


@settings(max_examples=400, deadline=None)
@given(text=st.text(alphabet='{}[],:"\\ud80c0123456789eE+-.truefalsn \n', max_size=24))
def test_the_quick_and_the_slow_reading_agree_on_any_text(text: str) -> None:
    try:
        strict_json.load(text, max_depth=64)
        was_taken = True
    except strict_json.FlawFound:
        was_taken = False
    assert was_taken == (find_flaw(text, max_depth=64) is None)
    if was_taken:
        json.loads(text)
