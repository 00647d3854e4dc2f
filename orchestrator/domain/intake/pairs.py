"""One run's input, spelled as `key=value` pairs on a command line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.domain.intake import strict_json
from orchestrator.domain.intake.batch import read_single, refuse_problems
from orchestrator.domain.intake.csv_cells import Typed, column_types, typed
from orchestrator.domain.intake.schema import InputSchema, compile_schema
from orchestrator.domain.intake.schema_words import quoted
from orchestrator.errors import BadInput, Problem

_ENCODE = json.JSONEncoder(ensure_ascii=False).encode


def pairs(given: Sequence[str], schema: Mapping[str, Any] | InputSchema | None) -> bytes:
    """Return the input that `key=value` (typed by the schema, as a CSV cell) and `key:=json` pairs spell.

    Raises:
        BadInput: a pair is malformed, a key comes twice, or the input does not meet the schema.
    """
    compiled = schema if isinstance(schema, InputSchema) else compile_schema(schema)
    members: dict[str, str] = {}
    problems: list[Problem] = []
    for pair in given:
        name, sign, text = pair.partition("=")
        is_json = name.endswith(":")
        name = name.removesuffix(":").strip()
        if not sign or not name:
            problems.append(Problem(message=f"expected key=value or key:=json, got {quoted(pair)}", code="pair.syntax"))
        elif name in members:
            problems.append(Problem(message="given twice", code="json.duplicate_key", field=name))
        else:
            members[name] = _member(name, text, compiled, problems, is_json=is_json)
    refuse_problems(problems)
    spelled = "{" + ",".join(f"{_ENCODE(name)}:{text}" for name, text in members.items()) + "}"
    return read_single(spelled.encode("utf-8", "surrogatepass"), compiled)


def _member(name: str, text: str, schema: InputSchema, problems: list[Problem], *, is_json: bool) -> str:
    """Return a pair's value as JSON text; what is wrong with it goes to `problems`."""
    if is_json:
        try:
            strict_json.parse(text.encode("utf-8", "surrogatepass"))
        except BadInput as error:
            problems.append(Problem(message=error.message, code=error.code, field=name))
        return text
    fit = typed(text, column_types(schema.definition, name))
    if isinstance(fit, Typed):
        return fit.text
    problems.append(Problem(message=fit.message, code=fit.code, field=name))
    return "null"
