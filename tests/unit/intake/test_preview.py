"""A file before it is submitted: mapped columns, and what is told of them beside the schema."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.domain.intake.batch import content_of, read_batch, refused_file
from orchestrator.domain.intake.preview import Preview, preview
from orchestrator.domain.intake.rows import FileFormat, Intake
from orchestrator.domain.intake.schema import compile_schema
from orchestrator.errors import BadInput

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"email": {"type": "string"}, "amount": {"type": "number"}, "vip": {"type": "boolean"}},
    "required": ["email"],
    "additionalProperties": False,
}


def look(text: str | bytes, format: str = "csv", schema: dict[str, Any] | None = SCHEMA, **options: Any) -> Preview:
    data = text if isinstance(text, bytes) else text.encode()
    external_id, mapping = options.get("external_id"), options.get("mapping", {})
    try:
        read: Intake | BadInput = read_batch(
            data, format=FileFormat(format), schema=schema, external_id_column=external_id, mapping=mapping
        )
    except BadInput as error:
        read = error
    return preview(
        content_of(data),
        read,
        format=FileFormat(format),
        schema=compile_schema(schema),
        external_id_column=external_id,
        mapping=mapping,
    )


def states(seen: Preview) -> dict[str, str]:
    return {column.name: column.state for column in seen.columns}


def test_columns_are_told_beside_the_schema_even_where_the_header_does_not_fit() -> None:
    seen = look("emial;amount;colour\na@b.c;5;red\nd@e.f;x;\n")
    assert (seen.format, seen.encoding, seen.delimiter, seen.rows, seen.rows_bad) == ("csv", "utf-8", ";", 2, None)
    assert states(seen) == {"emial": "unknown", "amount": "matched", "colour": "unknown"}
    assert [column.did_you_mean for column in seen.columns] == ["email", None, None]
    assert [column.examples for column in seen.columns] == [("a@b.c", "d@e.f"), ("5", "x"), ("red",)]
    assert [(f.field, f.is_required, f.types) for f in seen.absent] == [
        ("email", True, ("string",)),
        ("vip", False, ("boolean",)),
    ]
    assert {p.code for p in seen.problems} == {"csv.column_unknown", "csv.column_missing"}


def test_the_first_rows_are_typed_and_bad_ones_say_where() -> None:
    rows = "".join(f"a@b.c,{n if n % 7 else 'x'},true\n" for n in range(1, 31))
    seen = look("\ufeffemail,amount,vip\n" + rows)
    assert (seen.encoding, seen.rows, seen.rows_bad, seen.problems_total) == ("utf-8-sig", 30, 4, 4)
    assert len(seen.sample) == 20
    assert seen.sample[0].input == {"email": "a@b.c", "amount": 1, "vip": True}
    bad = seen.sample[6]
    assert (bad.row, bad.line, bad.input, bad.excerpt) == (7, 8, None, "a@b.c,x,true")
    assert [(p.row, p.line, p.field) for p in seen.problems][:2] == [(7, 8, "amount"), (14, 15, "amount")]


def test_at_most_a_thousand_problems_are_listed() -> None:
    seen = look("email,amount\n" + "a,x\n" * 1_200)
    assert (len(seen.problems), seen.problems_total, seen.rows_bad) == (1000, 1200, 1200)


@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_the_names_of_json_inputs_are_told_too(format: str) -> None:
    rows = [{"email": "a", "amount": 1}, {"emial": "b", "extra": [1]}]
    text = json.dumps(rows) if format == "json" else "\n".join(map(json.dumps, rows))
    seen = look(text, format)
    assert (seen.rows, seen.rows_bad, seen.delimiter) == (2, 1, None)
    assert states(seen) == {"email": "matched", "amount": "matched", "emial": "unknown", "extra": "unknown"}
    assert [f.field for f in seen.absent] == ["vip"]
    assert look(text, format, schema=None).columns[2].state == "extra"


@pytest.mark.parametrize(
    ("data", "encoding"),
    [("email\nx\n".encode("utf-16"), "utf-16"), (b"email\n\xff\n", None), (b"", "utf-8"), (b'email\n"a\n', "utf-8")],
)
def test_what_cannot_be_read_is_told_with_its_reason(data: bytes, encoding: str | None) -> None:
    seen = look(data)
    assert seen.encoding == encoding
    assert seen.problems


def test_a_column_fills_the_field_that_it_is_mapped_to() -> None:
    text = "Mail,Sum,Colour,key\na@b.c,5,red,k1\n"
    mapping = {"Mail": "email", "Sum": "amount", "Colour": ""}
    seen = look(text, mapping=mapping, external_id="key")
    assert states(seen) == {"Mail": "matched", "Sum": "matched", "Colour": "left_out", "key": "external_id"}
    assert [column.field for column in seen.columns] == ["email", "amount", None, None]
    assert not seen.problems
    (row,) = read_batch(text.encode(), format="csv", schema=SCHEMA, mapping=mapping, external_id_column="key").rows
    assert (row.input, row.external_id) == (b'{"email":"a@b.c","amount":5}', "k1")


def test_an_external_id_may_be_mapped_to_a_field_too_or_left_out_of_the_input() -> None:
    text = b"Mail,amount\na@b.c,5\n"
    read = [
        read_batch(text, format="csv", schema=None, mapping={"Mail": field}, external_id_column="Mail").rows[0]
        for field in ("email", "")
    ]
    assert [row.input for row in read] == [b'{"email":"a@b.c","amount":"5"}', b'{"amount":"5"}']
    assert [row.external_id for row in read] == ["a@b.c", "a@b.c"]


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"Mial": "email"}, 'no column "Mial", which the mapping names: did you mean "Mail"?'),
        ({"Mail": "email", "Sum": "email"}, 'columns 1 and 2 are both mapped to "email"'),
        ({"Mail": "email", "Sum": "amuont"}, 'unknown column "amuont": did you mean "amount"?'),
        ({"Mail": "", "Sum": "amount"}, 'no column "email", which is required'),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused_with_its_reason(mapping: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_batch(b"Mail,Sum\na@b.c,5\n", format="csv", schema=SCHEMA, mapping=mapping)
    assert message in [problem.message for problem in refused.value.problems]


def test_only_the_columns_of_a_csv_can_be_mapped() -> None:
    with pytest.raises(BadInput) as refused:
        read_batch(b'{"a":1}', format="jsonl", schema=None, mapping={"a": "b"})
    assert refused.value.code == "map.csv_only"


def test_refused_rows_keep_the_files_own_header_so_that_they_fit_the_same_mapping() -> None:
    mapping = {"Mail": "email", "Sum": "amount"}
    read = read_batch(b"Mail,Sum\na@b.c,x\n", format="csv", schema=SCHEMA, mapping=mapping)
    back = refused_file(read)
    assert back.splitlines()[0] == b"_row,_line,_problem,Mail,Sum"
    mended = read_batch(back.replace(b",x\r", b",5\r"), format="csv", schema=SCHEMA, mapping=mapping)
    assert [row.input for row in mended.rows] == [b'{"email":"a@b.c","amount":5}']
