"""JSONL and JSON arrays: every element keeps its bytes, every flaw names its row and line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.intake.batch import read_batch
from orchestrator.errors import BadInput, TooLarge


def test_a_jsonl_line_keeps_its_bytes_and_its_place() -> None:
    data = b'\xef\xbb\xbf  {"n": 0.10, "m":9007199254740993}  \r\n\r\n\n{"b" :  1E2}\t\n{"c":-0.0}'
    intake = read_batch(data, format="jsonl", schema=None)
    assert [(r.index, r.row, r.line, r.input) for r in intake.rows] == [
        (0, 1, 1, b'{"n": 0.10, "m":9007199254740993}'),
        (1, 2, 4, b'{"b" :  1E2}'),
        (2, 3, 5, b'{"c":-0.0}'),
    ]
    assert intake.refused == ()


def test_an_array_element_keeps_its_bytes_and_its_place() -> None:
    data = b'\xef\xbb\xbf [\n {"n": 0.10,\n "s":"]},{\\""} ,\n{"b" :\t1E2},{"c":[{"d":"\xc3\xa9"}]}\n]\n'
    intake = read_batch(data, format="json", schema=None)
    assert [(r.index, r.row, r.line, r.input) for r in intake.rows] == [
        (0, 1, 2, b'{"n": 0.10,\n "s":"]},{\\""}'),
        (1, 2, 4, b'{"b" :\t1E2}'),
        (2, 3, 4, b'{"c":[{"d":"\xc3\xa9"}]}'),
    ]


BAD_ELEMENTS = [
    (b"[1]", "body.not_object", "expected an object, got an array"),
    (b"7", "body.not_object", "expected an object, got a number"),
    (b'"x"', "body.not_object", "expected an object, got a string"),
    (b"null", "body.not_object", "expected an object, got null"),
    (b"true", "body.not_object", "expected an object, got a boolean"),
    (b'{"a":1,"a":2}', "json.duplicate_key", 'the key "a" is there twice (column 8)'),
    (b'{"a":NaN}', "json.number", "NaN is not a JSON number (column 6)"),
    (b'{"a":1e999}', "json.number", "too large for a number: 1e999 (column 6)"),
    (b'{"a":"\\ud800"}', "json.unicode", "half of a surrogate pair (column 7)"),
    (b'{"a":"\\u0000"}', "text.nul", "a NUL character (\\u0000) in a string (column 7)"),
    (b'{"a":' + b"[" * 70 + b"]" * 70 + b"}", "json.depth", "nested deeper than 64 levels (column 69)"),
    (b"{a:1}", "json.syntax", 'expected a key in double quotes, found "a" (column 2)'),
]


@pytest.mark.parametrize("format", ["jsonl", "json"])
@pytest.mark.parametrize(
    ("bad", "code", "message"), BAD_ELEMENTS, ids=[c + str(i) for i, (_, c, _) in enumerate(BAD_ELEMENTS)]
)
def test_one_bad_element_is_named_and_hides_no_other(format: str, bad: bytes, code: str, message: str) -> None:
    lines, array = b'{"ok":1}\n\n' + bad + b'\n{"ok":2}', b'[{"ok":1},\n\n' + bad + b',\n{"ok":2}]'
    data = lines if format == "jsonl" else array
    intake = read_batch(data, format=format, schema=None)  # type: ignore[arg-type]  # a parameter
    assert [r.row for r in intake.rows] == [1, 3]
    assert [r.line for r in intake.rows] == [1, 4]
    [refused] = intake.refused
    [problem] = refused.problems
    assert (refused.row, refused.line, refused.raw) == (2, 3, bad)
    assert (problem.row, problem.line, problem.code, problem.message) == (2, 3, code, message)


def test_a_flaw_inside_an_element_of_many_lines_names_its_own_line() -> None:
    intake = read_batch(b'[\n{"a":1},\n{"b":\n 2,\n "b":3}]', format="json", schema=None)
    [refused] = intake.refused
    assert (refused.row, refused.line, refused.problems[0].line) == (2, 3, 5)


def test_a_line_that_is_not_utf8_is_one_bad_row_in_jsonl() -> None:
    intake = read_batch(b'{"a":1}\n{"a":"\xe9"}\n{"a":2}', format="jsonl", schema=None)
    assert [r.row for r in intake.rows] == [1, 3]
    assert intake.refused[0].problems[0].code == "json.encoding"


@pytest.mark.parametrize(
    ("data", "code", "line"),
    [
        (b'[{"a":1},\n]', "json.syntax", 1),
        (b'[{"a":1},\n,{"a":2}]', "json.syntax", 2),
        (b'[{"a":1}\n', "json.syntax", 2),
        (b'[{"a":1},\n{"a":"x}]', "json.syntax", 2),
        (b'[{"a":1}]\nx', "json.syntax", 2),
        (b'\n{"a":1}', "json.not_array", 2),
        (b"7", "json.not_array", 1),
        (b'[{"a":"\xff"}]', "json.encoding", 1),
        (b"", "json.empty", 1),
        ('[{"a":1}]'.encode("utf-16"), "json.encoding", 1),
    ],
)
def test_an_array_whose_elements_cannot_be_told_apart_is_refused_as_a_whole(data: bytes, code: str, line: int) -> None:
    with pytest.raises(BadInput) as caught:
        read_batch(data, format="json", schema=None)
    assert (caught.value.code, caught.value.problems[0].line) == (code, line)


@pytest.mark.parametrize("data", [b'[{"a":1}]', b'[\n{"a":1}\n]', b'{\n"a":1\n}', b'[{"a":1},\n{"a":2}]'])
def test_json_in_a_jsonl_file_is_told_once_with_the_way_out(data: bytes) -> None:
    with pytest.raises(BadInput) as caught:
        read_batch(data, format="jsonl", schema=None)
    assert caught.value.code == "jsonl.not_lines"
    assert ".json" in (caught.value.hint or "")


def test_a_deep_array_is_refused_without_a_recursion_error() -> None:
    with pytest.raises(BadInput) as caught:
        read_batch(b"[" * 100_000, format="json", schema=None)
    assert caught.value.code == "json.depth"
    intake = read_batch(b"[{}," + b"[" * 900 + b"]" * 900 + b"]", format="json", schema=None)
    assert [r.row for r in intake.rows] == [1]
    assert intake.refused[0].problems[0].code == "json.depth"


@pytest.mark.parametrize(
    ("format", "data"), [("json", b"[ ]"), ("jsonl", b"\n\n"), ("jsonl", b""), ("csv", b"a,b\n\n")]
)
def test_a_file_without_rows_is_bad_input(format: str, data: bytes) -> None:
    with pytest.raises(BadInput) as caught:
        read_batch(data, format=format, schema=None)  # type: ignore[arg-type]  # a parameter
    assert caught.value.code == "batch.empty"


@pytest.mark.parametrize(
    ("format", "data"),
    [("jsonl", b'{"a":1}\n' * 25), ("json", b"[" + b'{"a":1},' * 24 + b"{}]"), ("csv", b"a,b\n" + b"1,2\n" * 25)],
)
def test_too_many_rows_are_counted_and_the_way_out_is_said(format: str, data: bytes) -> None:
    with pytest.raises(TooLarge) as caught:
        read_batch(data, format=format, schema=None, max_rows=10)  # type: ignore[arg-type]  # a parameter
    assert "25 rows" in str(caught.value)
    assert "3 files" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("format", "data"),
    [
        ("jsonl", b'{"a":1}\n{"a":"' + b"x" * 100 + b'"}\n{"a":2}'),
        ("json", b'[{"a":1},\n{"a":"' + b"x" * 100 + b'"},\n{"a":2}]'),
        ("csv", b"a\n" + b"1\n" + b"x" * 101 + b"\n2\n"),
    ],
)
def test_a_row_over_the_providers_limit_is_a_problem_of_that_row(format: str, data: bytes) -> None:
    intake = read_batch(data, format=format, schema=None, max_row_bytes=50)  # type: ignore[arg-type]  # a parameter
    assert [r.row for r in intake.rows] == [1, 3]
    [problem] = intake.refused[0].problems
    assert (problem.code, problem.row, problem.line) == ("row.too_large", 2, 2 + (format == "csv"))


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
OBJECTS = st.dictionaries(
    TEXTS,
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | st.lists(TEXTS, max_size=2),
    max_size=4,
)
SPACES = st.text(" \t\r", max_size=2)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.tuples(OBJECTS, st.booleans(), st.sampled_from([(", ", ": "), (",", ":"), (" ,\t", " :")])),
        min_size=1,
        max_size=6,
    ),
    before=SPACES,
    after=SPACES,
)
def test_jsonl_and_array_keep_every_byte_of_their_rows(
    rows: list[tuple[dict[str, object], bool, tuple[str, str]]], before: str, after: str
) -> None:
    texts = [json.dumps(v, ensure_ascii=a, separators=s).encode() for v, a, s in rows]
    left, right = before.encode(), after.encode()
    lines = read_batch(b"\n".join(left + t + right for t in texts), format="jsonl", schema=None)
    array = read_batch(b"[" + b",".join(left + t + right for t in texts) + b"]", format="json", schema=None)
    assert [row.input for row in lines.rows] == texts
    assert [row.input for row in array.rows] == texts
    assert lines.refused == array.refused == ()
