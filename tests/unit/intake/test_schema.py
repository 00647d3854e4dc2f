"""Schemas: complaints a person understands; nothing is fetched, nothing crashes, nothing runs for ever."""

from __future__ import annotations

import re
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.intake import patterns
from orchestrator.domain.intake.schema import check, compile_schema
from orchestrator.errors import BadInput

LONG = "x" * 200

COMPLAINTS: list[tuple[dict[str, Any], Any, str | None, str]] = [
    ({"type": "integer"}, "5", "f", 'expected integer, got "5"'),
    ({"type": "integer"}, True, "f", "expected integer, got true"),
    ({"type": "integer"}, 5.5, "f", "expected integer, got 5.5"),
    ({"type": ["integer", "null"]}, "5", "f", 'expected integer or null, got "5"'),
    ({"type": "integer"}, LONG, "f", 'expected integer, got "' + "x" * 79 + '…"'),
    ({"type": "string"}, {"a": 1}, "f", "expected string, got an object of 1 fields"),
    ({"enum": ["a", "b"]}, "c", "f", 'expected one of "a", "b", got "c"'),
    ({"const": 1}, 2, "f", "expected 1, got 2"),
    ({"minLength": 3}, "ab", "f", 'expected at least 3 characters, has 2, got "ab"'),
    ({"maxLength": 1}, "ab", "f", 'expected at most 1 characters, has 2, got "ab"'),
    ({"pattern": "^a+$"}, "b", "f", 'expected text like "^a+$", got "b"'),
    ({"minimum": 1}, 0, "f", "expected at least 1, got 0"),
    ({"exclusiveMaximum": 1}, 1, "f", "expected less than 1, got 1"),
    ({"multipleOf": 0.01}, 0.075, "f", "expected a multiple of 0.01, got 0.075"),
    ({"uniqueItems": True}, [{"a": [1]}, {"a": [1.0]}], "f", "expected no element twice, got an array of 2"),
    (
        {"items": {"properties": {"price": {"type": "number"}}}},
        [{}, {"price": "x"}],
        "f[1].price",
        'expected number, got "x"',
    ),
    ({"required": ["a", "b"]}, {"a": 1}, "f.b", "required, but missing"),
    (
        {"additionalProperties": False, "properties": {"address": {}}},
        {"adress": 1},
        "f.adress",
        'unknown field: did you mean "address"?',
    ),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "x", "f", 'expected integer or null, got "x"'),
    ({"anyOf": [{"type": "integer", "minimum": 5}, {"type": "null"}]}, 4, "f", "expected at least 5, got 4"),
    ({"not": {"type": "string"}}, "x", "f", 'has a form that is not allowed, got "x"'),
    ({"minItems": 1}, [], "f", "expected at least 1 elements, got an array of 0"),
    ({"properties": {"a b": {"type": "null"}}}, {"a b": 1}, 'f["a b"]', "expected null, got 1"),
]


@pytest.mark.parametrize(("spec", "value", "field", "message"), COMPLAINTS, ids=[c[3][:30] for c in COMPLAINTS])
def test_each_complaint_names_its_field_and_says_what_was_expected(
    spec: dict[str, Any], value: object, field: str, message: str
) -> None:
    schema = compile_schema({"type": "object", "properties": {"f": spec}})
    [problem] = check(schema, {"f": value})
    assert (problem.field, problem.message) == (field, message)


@pytest.mark.parametrize(
    "draft",
    [
        "http://json-schema.org/draft-04/schema#",
        "http://json-schema.org/draft-07/schema#",
        "https://json-schema.org/draft/2020-12/schema",
        "https://example.com/mine",
        "http://[bad",
    ],
)
def test_every_draft_and_an_unknown_one_can_be_used(draft: object) -> None:
    schema = compile_schema({"$schema": draft, "properties": {"a": {"type": "integer"}}, "required": ["a"]})
    assert check(schema, {"a": 1}) == []
    assert [p.field for p in check(schema, {"a": "1"})] == ["a"]


def test_a_draft_four_exclusive_minimum_is_read_as_draft_four_means_it() -> None:
    spec = {"type": "number", "minimum": 1, "exclusiveMinimum": True}
    schema = compile_schema({"$schema": "http://json-schema.org/draft-04/schema#", "properties": {"a": spec}})
    assert check(schema, {"a": 1.5}) == []
    assert check(schema, {"a": 1}) != []


def doubling(levels: int) -> dict[str, Any]:
    names = [f"a{i}" for i in range(levels)]
    defs: dict[str, Any] = {n: {"allOf": [{"$ref": f"#/$defs/{m}"}] * 2} for n, m in pairwise(names)}
    return {"$defs": defs | {names[-1]: {"type": "object"}}, "$ref": "#/$defs/a0"}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("schema", "code"),
    [
        ({"$ref": "https://example.com/schema.json"}, "schema.ref"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "schema.ref"),
        ({"$id": "https://example.com/a", "$ref": "b.json"}, "schema.ref"),
        ({"properties": {"a": {"$ref": "#/$defs/missing"}}}, "schema.ref"),
        ({"$ref": "#/required", "required": ["a"]}, "schema.ref"),
        ({"$ref": "#nowhere"}, "schema.ref"),
        ({"type": "objekt"}, "schema.invalid"),
        ({"properties": []}, "schema.invalid"),
        ({"required": "a"}, "schema.invalid"),
        ({"minimum": "1"}, "schema.invalid"),
        ({"$schema": 7}, "schema.invalid"),
        ([], "schema.invalid"),
        ("x", "schema.invalid"),
        (nested(1000), "schema.too_large"),
        ({"enum": [], "properties": {str(i): {} for i in range(20_001)}}, "schema.too_large"),
        ({"patternProperties": {"(a+)+$": {}}}, "schema.pattern"),
    ],
)
def test_a_broken_or_hostile_schema_is_a_clear_error(schema: Any, code: str) -> None:
    with pytest.raises(BadInput) as caught:
        compile_schema(schema)
    assert caught.value.code == code
    assert "input schema" in str(caught.value)


@pytest.mark.parametrize(
    "definition",
    [
        {"$ref": "#"},
        {
            "allOf": [{"$ref": "#/$defs/a"}],
            "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a"}},
        },
        doubling(40),
    ],
)
def test_a_schema_without_an_end_is_stopped(definition: dict[str, Any]) -> None:
    schema = compile_schema(definition)
    with pytest.raises(BadInput) as caught:
        check(schema, {"a": 1})
    assert caught.value.code == "schema.recursion"


def test_an_honest_recursive_schema_works_to_the_depth_that_json_may_have() -> None:
    schema = compile_schema(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {"kid": {"$ref": "#"}},
        }
    )
    value: dict[str, Any] = {}
    for _ in range(62):
        value = {"kid": value}
    assert check(schema, value) == []
    [problem] = check(schema, {"kid": {"kid": 1}})
    assert (problem.field, problem.message) == ("kid.kid", "expected object, got 1")


EVIL = [
    r"^(a+)+$",
    r"^(a|a)*$",
    r"^(a|aa)+$",
    r"(.*)*x",
    r"^(\w+\s?)*$",
    r"([a-z]+)*\d",
    r"^(a*){50}$",
    r"^((a{1,99}){1,99})$",
]


@pytest.mark.parametrize("pattern", EVIL)
def test_a_pattern_that_could_run_for_ever_is_not_run_and_noted(pattern: str) -> None:
    schema = compile_schema({"properties": {"a": {"type": "string", "pattern": pattern}}})
    start = time.process_time()
    assert check(schema, {"a": "a" * 60 + "!"}) == []
    assert time.process_time() - start < 0.5
    assert "not checked here" in schema.notes[0]


def test_a_slow_pattern_is_not_run_on_a_long_text() -> None:
    schema = compile_schema({"properties": {"a": {"pattern": r"^[^@]+@[^@]+\.[^@]+$"}}})
    assert check(schema, {"a": "x@y.io"}) == []
    assert check(schema, {"a": "xy.io"}) != []
    assert check(schema, {"a": "x" * 1_000_000}) == []
    assert "up to 215 characters" in schema.notes[0]


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (r"^[A-Z]{2}\d{6}$", "AB123456", "AB12345"),
        (r"^\d{4}-\d{2}-\d{2}$", "2026-01-02", "2026-1-2"),
        (r"^(foo|bar)+$", "foobar", "baz"),
        (r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$", "00:11:22:33:44:55", "00:11"),
        (r"^https?://.+", "https://x", "ftp://x"),
        (r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", "550e8400-e29b-41d4-a716-446655440000", "550e8400"),
        (r"^(\d{1,3}\.){3}\d{1,3}$", "10.0.0.1", "10.0.0"),
    ],
)
def test_ordinary_patterns_are_checked(pattern: str, good: str, bad: str) -> None:
    assert patterns.longest_text(pattern) >= 100
    assert patterns.matches(pattern, good)
    assert not patterns.matches(pattern, bad)


def test_a_pattern_of_another_dialect_is_noted_not_a_crash() -> None:
    schema = compile_schema({"properties": {"a": {"pattern": r"^\p{L}+$"}}})
    assert check(schema, {"a": "x"}) == []
    assert "another dialect" in schema.notes[0]


def test_money_is_compared_by_its_decimal_spelling() -> None:
    schema = compile_schema({"properties": {"a": {"type": "number", "multipleOf": 0.01}}})
    assert all(check(schema, {"a": cents / 100}) == [] for cents in range(2_000))
    assert check(schema, {"a": 0.075}) != []
    assert check(schema, {"a": 1e308}) == []


def test_a_large_array_of_objects_is_compared_in_no_time() -> None:
    schema = compile_schema({"properties": {"a": {"uniqueItems": True}}})
    start = time.process_time()
    assert check(schema, {"a": [{"i": i} for i in range(20_000)]}) == []
    assert time.process_time() - start < 1.0


SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([1.0, 0.5, -2.5]) | st.text("ab", max_size=3)
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(
            [
                "string",
                "integer",
                "number",
                "boolean",
                "null",
                "array",
                "object",
                ["string", "null"],
                ["integer", "boolean"],
            ]
        ),
        "enum": st.lists(st.sampled_from([None, 1, "a", "b", 0, True, 1.0]), min_size=1, max_size=3),
        "minLength": st.integers(0, 2),
        "maximum": st.integers(-1, 2),
        "exclusiveMinimum": st.sampled_from([0, 0.5]),
        "pattern": st.sampled_from(["^a", "b$"]),
        "items": st.sampled_from([{"type": "string"}, {"type": "integer", "minimum": 1}]),
        "anyOf": st.just([{"type": "integer"}, {"type": "null"}, {"minLength": 1, "type": "string"}]),
        "minItems": st.integers(0, 2),
        "description": st.just("x"),
    },
)


@settings(max_examples=200, deadline=None)
@given(
    specs=st.dictionaries(st.sampled_from("xyz"), SPECS, max_size=3),
    required=st.lists(st.sampled_from("xyz"), max_size=2, unique=True),
    is_open=st.booleans(),
    value=st.dictionaries(st.sampled_from("wxyz"), SCALARS | st.lists(SCALARS, max_size=2), max_size=4),
)
def test_the_quick_check_agrees_with_the_general_validator(
    specs: dict[str, Any], required: list[str], is_open: bool, value: dict[str, Any]
) -> None:
    definition = {"type": "object", "properties": specs, "required": required, "additionalProperties": is_open}
    schema = compile_schema(definition)
    is_valid = schema.validator.is_valid(value)
    if schema.quick is not None and schema.quick(value):
        assert is_valid
    assert bool(check(schema, value)) != is_valid


@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")
@settings(max_examples=200, deadline=None)
@given(pattern=st.text(r"ab()[]|*+?{}1,9^$\.-:=<!P", max_size=14))
def test_any_pattern_gets_an_estimate(pattern: str) -> None:
    longest = patterns.longest_text(pattern)
    assert longest >= 0
    if longest:
        re.compile(pattern)
