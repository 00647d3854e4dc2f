"""CSV: cells typed by the schema, problems with the row, the line and the field."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.intake.batch import read_batch
from orchestrator.domain.intake.rows import Intake
from orchestrator.errors import BadInput


def read(text: str | bytes, schema: dict[str, Any] | None = None, **more: Any) -> Intake:
    data = text if isinstance(text, bytes) else text.encode()
    return read_batch(data, format="csv", schema=schema, **more)


def inputs(intake: Intake) -> list[str]:
    assert [str(p) for r in intake.refused for p in r.problems] == []
    return [row.input.decode() for row in intake.rows]


def problems(intake: Intake) -> list[tuple[int | None, int | None, str | None, str]]:
    return [(p.row, p.line, p.field, p.message) for r in intake.refused for p in r.problems]


def refused(text: str | bytes, schema: dict[str, Any] | None = None, **more: Any) -> BadInput:
    with pytest.raises(BadInput) as caught:
        read(text, schema, **more)
    return caught.value


def test_without_a_schema_every_cell_stays_text_and_an_empty_cell_is_absent() -> None:
    assert inputs(read("b,a,c\n1,,true\n 2 ,x,\n")) == ['{"b":"1","c":"true"}', '{"b":" 2 ","a":"x"}']


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiter_mark_and_line_ends_are_found(delimiter: str, mark: bytes, end: str) -> None:
    lines = [["name", "n"], ["Ünal", "1"], ["x", "2"]]
    data = mark + end.join(delimiter.join(cells) for cells in lines).encode()
    assert inputs(read(data)) == ['{"name":"Ünal","n":"1"}', '{"name":"x","n":"2"}']


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a;b\n1,5;2,5\n", ['{"a":"1,5","b":"2,5"}']),
        ('"a,x";b\n1;2\n', ['{"a,x":"1","b":"2"}']),
        ("a,b;c\n1,2\n3,4\n", ['{"a":"1","b;c":"2"}', '{"a":"3","b;c":"4"}']),
        ("sep=;\na;b\n1;2\n", ['{"a":"1","b":"2"}']),
        ("text\nhello\n", ['{"text":"hello"}']),
        ('text\n"hello, you; there"\n', ['{"text":"hello, you; there"}']),
        ('a,b\n"x ""y""",5" pipe\n', ['{"a":"x \\"y\\"","b":"5\\" pipe"}']),
        ('a, b\n1, "x, y" \n', ['{"a":"1","b":"x, y"}']),
        ('a,b\n"",x\n', ['{"b":"x"}']),
    ],
)
def test_odd_but_honest_files_are_read(text: str, expected: list[str]) -> None:
    assert inputs(read(text)) == expected


def test_a_quoted_line_break_keeps_the_line_numbers_right() -> None:
    intake = read('a,b\n\n"x\ny\n",1\n   \n2,3,4\n"p\r\nq",5\r\n')
    assert [(r.row, r.line, r.input.decode()) for r in intake.rows] == [
        (1, 3, '{"a":"x\\ny\\n","b":"1"}'),
        (3, 8, '{"a":"p\\r\\nq","b":"5"}'),
    ]
    assert problems(intake) == [(2, 7, None, '3 cells, the header has 2 (a cell that holds a "," needs quotes)')]


def test_ragged_and_empty_rows_are_problems_of_their_row() -> None:
    assert problems(read("a,b,c\n1,2\n1,2,3,4\n,,\n1,2,3\n")) == [
        (1, 2, None, "2 cells, the header has 3"),
        (2, 3, None, '4 cells, the header has 3 (a cell that holds a "," needs quotes)'),
        (3, 4, None, "every cell is empty"),
    ]


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "s": {"type": "string"},
        "i": {"type": "integer"},
        "n": {"type": "number", "maximum": 1e6},
        "b": {"type": "boolean"},
        "sn": {"type": ["string", "null"]},
        "in": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "is": {"type": ["integer", "string"]},
        "l": {"type": "array", "items": {"type": "integer"}},
        "o": {"$ref": "#/$defs/o"},
        "e": {"enum": ["red", "1", 2]},
    },
    "$defs": {"o": {"type": "object"}},
}

GOOD_CELLS = [
    ("s", "007", '"007"'),
    ("s", "null", '"null"'),
    ("s", ' =1+"1" ', '" =1+\\"1\\" "'),
    ("i", "7", "7"),
    ("i", "-0", "-0"),
    ("i", " 9007199254740993 ", "9007199254740993"),
    ("i", "12.0", "12.0"),
    ("n", "0.10", "0.10"),
    ("n", "1E2", "1E2"),
    ("b", "true", "true"),
    ("b", "FALSE", "false"),
    ("b", "1", "true"),
    ("b", "0", "false"),
    ("sn", "null", '"null"'),
    ("in", "null", "null"),
    ("in", "5", "5"),
    ("is", "12", "12"),
    ("is", "007", '"007"'),
    ("l", "[1,  20]", "[1,20]"),
    ("o", '{"k": "a  b", "n":\n 1.50}', '{"k":"a  b","n":1.50}'),
    ("e", "red", '"red"'),
    ("e", "2", "2"),
    ("x", "12", '"12"'),
]


def one_row(name: str, cell: str) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([["s0", name], ["x", cell]])
    return out.getvalue()


@pytest.mark.parametrize(("name", "cell", "spelled"), GOOD_CELLS)
def test_a_cell_becomes_its_schemas_type_and_keeps_its_spelling(name: str, cell: str, spelled: str) -> None:
    assert inputs(read(one_row(name, cell), SCHEMA)) == [f'{{"s0":"x","{name}":{spelled}}}']


BAD_CELLS = [
    ("n", "12,50", 'expected number, got "12,50" (a decimal point is needed: 12.50)'),
    ("n", "abc", 'expected number, got "abc"'),
    ("n", "1e999", 'expected number, got "1e999" (too large for a number)'),
    ("n", "NaN", 'expected number, got "NaN"'),
    ("n", "1 000", 'expected number, got "1 000"'),
    ("n", ".5", 'expected number, got ".5" (digits are needed on both sides of the point)'),
    ("n", "٣", 'expected number, got "٣"'),
    ("n", "  ", 'expected number, got "  "'),
    ("n", "2e6", "expected at most 1000000.0, got 2000000.0"),
    ("i", "007", 'expected integer, got "007" (no leading zeros)'),
    ("i", "+7", 'expected integer, got "+7" (no plus sign)'),
    ("i", "7.5", 'expected integer, got "7.5"'),
    ("i", "x" * 100, 'expected integer, got "' + "x" * 79 + '…"'),
    ("b", "yes", 'expected boolean, got "yes" (true or false in any case, or 1 or 0)'),
    ("in", "x", 'expected integer or null, got "x"'),
    ("l", "{}", 'expected array, got "{}" (as JSON text)'),
    ("e", "blue", 'expected one of "red", "1", 2, got "blue"'),
    ("s", "a\x00b", "a NUL character"),
]


@pytest.mark.parametrize(("name", "cell", "message"), BAD_CELLS)
def test_a_cell_that_does_not_fit_names_row_line_and_field(name: str, cell: str, message: str) -> None:
    assert problems(
        read("s0,b\n\n" + one_row(name, cell).partition("\n")[2], {"properties": {"b": SCHEMA["properties"][name]}})
    ) == [(1, 3, "b", message)]


def test_all_that_is_wrong_with_a_row_is_told_at_once() -> None:
    schema = {
        "properties": {"i": {"type": "integer"}, "e": {"enum": ["a"]}, "r": {"type": "string"}},
        "required": ["i", "r"],
    }
    intake = read("i,e,r\nx,b,\n", schema)
    assert problems(intake) == [
        (1, 2, "i", 'expected integer, got "x"'),
        (1, 2, "e", 'expected one of "a", got "b"'),
        (1, 2, "r", "required, but missing"),
    ]


CLOSED: dict[str, Any] = {
    "properties": {"address": {"type": "string"}, "city": {"type": "string"}},
    "required": ["address"],
    "additionalProperties": False,
}

BAD_HEADERS = [
    ("a,,c\n1,2,3\n", None, "csv.column_unnamed", "column 2", "column 2 has no name"),
    ("a,b,a\n1,2,3\n", None, "csv.column_doubled", "a", 'columns 1 and 3 are both named "a"'),
    ("a, a \n1,2\n", None, "csv.column_doubled", "a", 'columns 1 and 2 are both named "a"'),
    (
        "x@y.io,12\nz@y.io,13\n",
        None,
        "csv.no_header",
        "x@y.io",
        '"x@y.io" looks like data, not like a field\'s name: is the header missing?',
    ),
    (
        "name,12.5\na,13\n",
        None,
        "csv.no_header",
        "12.5",
        '"12.5" looks like data, not like a field\'s name: is the header missing?',
    ),
    (
        "Main St 1,Rome\nx,y\n",
        CLOSED,
        "csv.no_header",
        "Main St 1",
        'none of its names is a field of the workflow ("address", "city"): is the header missing?',
    ),
    ("address,ciy\nx,y\n", CLOSED, "csv.column_unknown", "ciy", 'unknown column "ciy": did you mean "city"?'),
    (
        "Address,city\nx,y\n",
        CLOSED,
        "csv.column_unknown",
        "Address",
        'unknown column "Address": did you mean "address"?',
    ),
    ("city,zzz\nx,y\n", CLOSED, "csv.column_unknown", "zzz", 'unknown column "zzz"'),
    ("city\nx\n", CLOSED, "csv.column_missing", "address", 'no column "address", which is required'),
]


@pytest.mark.parametrize(
    ("text", "schema", "code", "field", "message"), BAD_HEADERS, ids=[b[4][:30] for b in BAD_HEADERS]
)
def test_a_bad_header_is_refused_before_any_row(
    text: str, schema: dict[str, Any] | None, code: str, field: str, message: str
) -> None:
    for before, line in (("", 1), ("\n\n", 3)):
        problem = refused(before + text, schema).problems[0]
        assert (problem.row, problem.line, problem.code, problem.field, problem.message) == (
            None,
            line,
            code,
            field,
            message,
        )


@pytest.mark.parametrize(
    ("data", "code", "line", "words"),
    [
        ("a,b\nx,ü\n".encode("utf-16"), "csv.encoding", None, "UTF-16"),
        ("a,b\nx,ü\n".encode("utf-16-le"), "csv.encoding", None, "UTF-16"),
        ("a,b\nx,y\nx,ü\n".encode("latin-1"), "csv.encoding", 3, 'it would be "ü"'),
        (b"PK\x03\x04....", "csv.encoding", None, "workbook"),
        (b'a,b\nx,y\n1,"open\nx,y\n', "csv.quote", 3, "cell 2 is never closed"),
        (b'a,b\n"x"y,1\n', "csv.quote", 2, 'goes on after its closing quote: "y,1"'),
        (b'a,b\n1,2\n"x,1\nz,"w"\n', "csv.quote", 3, 'in line 4: "w"'),
        (b"", "batch.empty", None, "empty"),
        (b"\n \n", "batch.empty", None, "empty"),
        (b",".join(b"c%d" % i for i in range(1001)) + b"\n", "csv.columns", 1, "1,001 columns"),
    ],
)
def test_a_file_that_cannot_be_read_as_a_whole_says_why(data: bytes, code: str, line: int | None, words: str) -> None:
    error = refused(data)
    assert error.code == code
    assert words in str(error)
    assert [p.line for p in error.problems] == ([line] if error.problems else [])
    if code == "csv.encoding":
        assert "UTF-8" in (error.hint or "")


def test_the_external_id_column_stays_out_of_the_input_unless_the_schema_has_it() -> None:
    text = "id,city,address\nA1,x,y\n A2 ,x,z\n"
    closed = read(text, CLOSED, external_id_column="id")
    assert [r.external_id for r in closed.rows] == ["A1", "A2"]
    assert inputs(closed)[0] == '{"city":"x","address":"y"}'
    declared = {"properties": {"id": {"type": "string"}}}
    assert inputs(read(text, declared, external_id_column="id"))[0] == '{"id":"A1","city":"x","address":"y"}'


def test_an_external_id_twice_names_both_rows() -> None:
    intake = read("id,v\nA,1\nB,2\n\nA,3\n,4\nA,5\n", external_id_column="id")
    assert [r.external_id for r in intake.rows] == ["B"]
    assert problems(intake) == [
        (1, 2, "id", 'the external id "A" is also that of row 3 (line 5)'),
        (3, 5, "id", 'the external id "A" is also that of row 1 (line 2)'),
        (4, 6, "id", "the external id is empty"),
        (5, 7, "id", 'the external id "A" is also that of row 1 (line 2)'),
    ]


def test_a_missing_external_id_column_is_a_problem_of_the_header() -> None:
    error = refused("ident,v\nA,1\n", external_id_column="indent")
    assert error.problems[0].message == 'no column "indent" for the external id: did you mean "ident"?'


NAMES = st.text(st.characters(codec="utf-8", categories=["L"]), min_size=1, max_size=6)
STRINGS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), names=st.lists(NAMES, min_size=2, max_size=4, unique=True), delimiter=st.sampled_from(",;\t"))
def test_typed_values_written_as_csv_come_back_as_they_were(
    data: st.DataObject, names: list[str], delimiter: str
) -> None:
    kinds = {
        "string": STRINGS,
        "integer": st.integers(),
        "number": NUMBERS,
        "boolean": st.booleans(),
        "array": st.lists(STRINGS, max_size=3),
    }
    types = [data.draw(st.sampled_from(sorted(kinds))) for _ in names]
    first = data.draw(kinds[types[0]])
    rest = [data.draw(st.none() | kinds[t]) for t in types[1:]]
    value = {n: v for n, v in zip(names, [first, *rest], strict=True) if v is not None}
    cells = ["" if v is None else v if isinstance(v, str) else json.dumps(v) for v in [first, *rest]]
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator="\r\n", quoting=csv.QUOTE_ALL).writerows([names, cells])
    schema = {"properties": {n: {"type": t} for n, t in zip(names, types, strict=True)}}
    intake = read(out.getvalue(), schema)
    assert [json.loads(text) for text in inputs(intake)] == [value]
    assert list(json.loads(intake.rows[0].input)) == [n for n in names if n in value]


@settings(max_examples=300, deadline=None)
@given(text=st.text('a1,;"\n\r \t', max_size=40))
def test_any_text_is_read_or_refused_and_its_lines_are_counted_right(text: str) -> None:
    try:
        intake = read("h,k\n" + text)
    except BadInput:
        return
    lines = ("h,k\n" + text).split("\n")
    starts = [r.line for r in intake.rows] + [r.line for r in intake.refused]
    assert all(2 <= line <= len(lines) for line in starts)
    assert len(set(starts)) == len(starts)
    for bad in intake.refused:
        assert lines[bad.line - 1].startswith(bad.raw.decode().split("\n")[0].rstrip("\r"))
