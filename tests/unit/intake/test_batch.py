"""The doors: formats, single inputs, pairs, the complaint and the file of refused rows."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given as given_any
from hypothesis import settings
from hypothesis import strategies as st

from orchestrator.domain.intake.batch import (
    detect_format,
    joined,
    read_batch,
    read_single,
    refusal,
    refused_file,
)
from orchestrator.domain.intake.pairs import pairs
from orchestrator.domain.intake.rows import FileFormat
from orchestrator.errors import BadInput, TooLarge

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "email": {"type": "string", "minLength": 3},
        "amount": {"type": "number", "minimum": 0},
        "count": {"type": "integer"},
        "vip": {"type": "boolean"},
        "plan": {"enum": ["a", "b", "c"]},
        "tags": {"type": "array"},
    },
    "required": ["email"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("filename", "content_type", "head", "expected"),
    [
        ("x.CSV", None, b"[{", "csv"),
        ("x.tsv", None, b"", "csv"),
        ("dir.json/x.jsonl", "text/csv", b"", "jsonl"),
        ("x.ndjson", None, b"", "jsonl"),
        ("x.json", None, b"{}", "json"),
        ("x.txt", "text/csv; charset=utf-8", b"", "csv"),
        (None, "application/x-ndjson", b"", "jsonl"),
        (None, "application/json", b"", "json"),
        (None, "application/octet-stream", b'\xef\xbb\xbf \n{"a":1}', "jsonl"),
        (None, None, b'[\n {"a":1}', "json"),
        (None, None, b"[]", "json"),
        (None, None, b"[id],name\n", "csv"),
        ("-", None, b"a,b\n", "csv"),
        (None, None, b"", "csv"),
    ],
)
def test_the_format_is_found(filename: str | None, content_type: str | None, head: bytes, expected: str) -> None:
    assert detect_format(filename, content_type, head) == expected


def test_chunks_are_joined_and_read_no_further_than_the_limit() -> None:
    def endless() -> Any:
        while True:
            yield b"x" * 1000

    assert joined([b"a", b"b"]) == b"ab"
    with pytest.raises(TooLarge):
        joined(endless(), max_bytes=10_000)
    intake = read_batch(iter([b'{"a"', b":1}\n{", b"}"]), format="jsonl", schema=None)
    assert [r.input for r in intake.rows] == [b'{"a":1}', b"{}"]
    assert intake.sha256 == hashlib.sha256(b'{"a":1}\n{}').hexdigest()


def test_indexes_of_the_good_rows_have_no_gaps_but_rows_and_lines_do() -> None:
    intake = read_batch(b"email,count\na@b,1\nx,x\n\nc@d,2\n", format="csv", schema=SCHEMA)
    assert [(r.index, r.row, r.line) for r in intake.rows] == [(0, 1, 2), (1, 3, 5)]
    assert intake.total == 3


def test_a_field_of_json_rows_can_be_the_external_id_and_stays_in_the_input() -> None:
    data = b'{"k":"A","v":1}\n{"k":7}\n{"v":2}\n{"k":1.5}\n{"k":"A"}\n'
    intake = read_batch(data, format="jsonl", schema=None, external_id_column="k")
    assert [(r.external_id, r.input) for r in intake.rows] == [("7", b'{"k":7}')]
    assert [(p.row, p.field, p.message) for r in intake.refused for p in r.problems] == [
        (1, "k", 'the external id "A" is also that of row 5 (line 5)'),
        (3, "k", "required as the external id, but missing"),
        (4, "k", "expected a string or an integer"),
        (5, "k", 'the external id "A" is also that of row 1 (line 1)'),
    ]


def test_schema_problems_of_json_rows_name_row_line_and_field() -> None:
    data = b'{"email":"a@b"}\n\n{"email":"a","emial":1,"count":"5"}\n'
    intake = read_batch(data, format="jsonl", schema=SCHEMA)
    assert [(p.row, p.line, p.field, p.message) for p in intake.refused[0].problems] == [
        (2, 3, "email", 'expected at least 3 characters, has 1, got "a"'),
        (2, 3, "count", 'expected integer, got "5"'),
        (2, 3, "emial", 'unknown field: did you mean "email"?'),
    ]


def test_the_complaint_lists_a_thousand_problems_and_counts_the_rest() -> None:
    intake = read_batch(b"email,count\n" + b"a@b,x\n" * 1500 + b"a@b,1\n", format="csv", schema=SCHEMA)
    error = refusal(intake)
    assert error is not None
    assert str(error) == "1,500 of 1,501 rows are invalid; 500 more problems are not listed"
    assert len(error.problems) == 1000
    assert str(error.problems[999]) == 'row 1000, line 1001, count: expected integer, got "x"'
    assert "--skip-invalid" in (error.hint or "")


def test_a_clean_file_has_no_complaint() -> None:
    assert refusal(read_batch(b"email\na@b\n", format="csv", schema=SCHEMA)) is None


@pytest.mark.parametrize("data", [b"null", b"[]", b'"x"', b"7"])
def test_a_single_input_must_be_an_object(data: bytes) -> None:
    with pytest.raises(BadInput) as caught:
        read_single(data, None)
    assert caught.value.code == "body.not_object"


def test_a_single_input_keeps_its_bytes() -> None:
    assert read_single(b' {"amount": 0.10, "email":"a@b" }\n', SCHEMA) == b'{"amount": 0.10, "email":"a@b" }'
    with pytest.raises(BadInput) as caught:
        read_single(b'{"amount":-1}', SCHEMA)
    assert caught.value.code == "input.invalid"
    assert [(p.row, p.field) for p in caught.value.problems] == [(None, "amount"), (None, "email")]
    with pytest.raises(TooLarge):
        read_single(b'{"email":"abc"}', SCHEMA, max_bytes=5)
    with pytest.raises(BadInput):
        read_single(b"\xef\xbb\xbf{}", None)
    assert read_single(b"\xef\xbb\xbf{}", None, allow_bom=True) == b"{}"


def test_pairs_are_typed_by_the_schema_and_json_is_taken_as_it_is() -> None:
    given = ["email=a=b", "count=12", "amount=0.10", "vip=TRUE", "tags:=[1, 2.50]"]
    spelled = pairs(given, SCHEMA)
    assert spelled == b'{"email":"a=b","count":12,"amount":0.10,"vip":true,"tags":[1, 2.50]}'
    assert pairs(["a=1", "b:=1", "url=http://x", "e="], None) == b'{"a":"1","b":1,"url":"http://x","e":""}'
    assert pairs([], None) == b"{}"


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        (["email"], None, 'expected key=value or key:=json, got "email"'),
        (["=x"], None, 'expected key=value or key:=json, got "=x"'),
        (["email=a@b", "email=c@d"], "email", "given twice"),
        (["count=x"], "count", 'expected integer, got "x"'),
        (["email=a@b", "emali=x"], "emali", 'unknown field: did you mean "email"?'),
        (["tags:=[1,"], "tags", "expected a value, found the end of the text, at line 1, column 4 (byte 3)"),
        (['tags:=1],"x":[2'], "tags", '"]" after the end of the value, at line 1, column 2 (byte 1)'),
    ],
)
def test_a_bad_pair_is_named(given: list[str], field: str | None, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        pairs(given, SCHEMA)
    assert (caught.value.problems[0].field, caught.value.problems[0].message) == (field, message)


@settings(max_examples=300, deadline=None)
@given_any(
    data=st.binary(max_size=60) | st.text('{}[]",:;=\\u0d8a1\n\r\t +-.eé', max_size=60).map(str.encode),
    format=st.sampled_from(FileFormat),
    has_schema=st.booleans(),
    external_id_column=st.none() | st.just("a"),
)
def test_any_bytes_become_an_intake_or_bad_input(
    data: bytes, format: FileFormat, has_schema: bool, external_id_column: str | None
) -> None:
    schema = SCHEMA if has_schema else None
    try:
        intake = read_batch(data, format=format, schema=schema, external_id_column=external_id_column)
    except BadInput:
        return
    assert intake.total == len({r.row for r in intake.rows} | {r.row for r in intake.refused}) > 0
    assert all(isinstance(json.loads(row.input), dict) for row in intake.rows)
    assert all(p.row == r.row and p.line is not None for r in intake.refused for p in r.problems)
    assert all(r.problems for r in intake.refused)
    assert (b"_row" in refused_file(intake)) == (format is FileFormat.CSV)


def test_refused_json_rows_come_back_as_they_came() -> None:
    lines = read_batch(b'{"a":1}\n{"a": 01}\n[2]\n', format="jsonl", schema=None)
    assert refused_file(lines) == b'{"a": 01}\n[2]\n'
    array = read_batch(b'[{"a":1}, {"a": NaN}, [2]]', format="json", schema=None)
    assert refused_file(array) == b'[\n{"a": NaN},\n[2]\n]\n'


def test_refused_csv_rows_come_back_with_their_reasons_and_no_formula() -> None:
    data = b'email;count;plan\na@b;1;a\n=cmd|x;-5x;a\n"@x ""y""";-5;\'=z\n+1;2\na@b;3;a;4\n'
    intake = read_batch(data, format="csv", schema=SCHEMA)
    assert [r.row for r in intake.rows] == [1]
    assert refused_file(intake).decode() == (
        "_row;_line;_problem;email;count;plan\r\n"
        '2;3;"count: expected integer, got ""-5x""";\'=cmd|x;\'-5x;a\r\n'
        '3;4;"plan: expected one of ""a"", ""b"", ""c"", got ""\'=z""";"\'@x ""y""";-5;\'\'=z\r\n'
        "4;5;2 cells, the header has 3;+1;2\r\n"
        '5;6;"4 cells, the header has 3 (a cell that holds a "";"" needs quotes)";a@b;3;a;4\r\n'
    )


def test_a_mended_file_of_refused_rows_can_be_submitted_as_it_is() -> None:
    data = b'email,count,plan\n=cmd|x,x,a\n"-a\nb",y,b\n\'=q@z,z,c\n'
    first = read_batch(data, format="csv", schema=SCHEMA)
    again = read_batch(refused_file(first), format="csv", schema=SCHEMA)
    assert [r.problems[0].message for r in again.refused] == [r.problems[0].message for r in first.refused]
    twice = refused_file(again)
    mended = twice
    for wrong, right in ((b",x,", b",1,"), (b",y,", b",2,"), (b",z,", b",3,")):
        mended = mended.replace(wrong, right)
    intake = read_batch(mended, format="csv", schema=SCHEMA)
    assert [json.loads(r.input) for r in intake.rows] == [
        {"email": "=cmd|x", "count": 1, "plan": "a"},
        {"email": "-a\nb", "count": 2, "plan": "b"},
        {"email": "'=q@z", "count": 3, "plan": "c"},
    ]


def test_the_excerpt_of_a_refused_row_is_short_and_harmless() -> None:
    intake = read_batch(b'{"a":"\x1b[2J' + b"x" * 500 + b'"}', format="jsonl", schema=None)
    assert len(intake.refused[0].excerpt) < 250
    assert "\x1b" not in intake.refused[0].excerpt


def test_ten_thousand_rows_with_a_schema_are_all_read() -> None:
    rows = [
        {"email": f"u{i}@x.io", "amount": i / 4, "count": i, "vip": True, "plan": "a", "tags": ["x" * 200]}
        for i in range(10_000)
    ]
    data = "\n".join(map(json.dumps, rows)).encode()
    intake = read_batch(data, format="jsonl", schema=SCHEMA)
    assert len(intake.rows) == 10_000
