"""Workflows: what one is, the samples built in, and how further ones are read."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from sandbox.clock import iso, parse_iso
from sandbox.options import OptionError

_NAMESPACE = uuid.UUID("b7f3c1d2-5a64-4e0b-8f19-2c7d6e5a4b30")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowSpec:
    """A workflow as its author made it; the numbers that are None come from the options."""

    id: str
    name: str
    description: str = ""
    input_schema: Mapping[str, Any] | None = None
    created_at: str = "2024-01-15T10:30:00Z"
    updated_at: str = "2024-01-15T10:30:00Z"
    files: int = 1
    size_bytes: int | None = None
    filename: str = "result.json"
    duration_s: float | None = None
    duration_sigma: float | None = None
    error_share: float | None = None
    human_share: float | None = None


#: The hints must be allowed by a schema that allows nothing else; `sandbox/hints.py` says what they mean.
_HINTS = {"type": ["string", "object"], "description": "Hints to the sandbox, such as 'outcome=error; duration_s=2'"}

SAMPLES: tuple[WorkflowSpec, ...] = (
    WorkflowSpec(  # the example of the vendor's page, word for word
        id="550e8400-e29b-41d4-a716-446655440000",
        name="Send welcome email",
        description="Sends a personalized welcome email to new users",
        input_schema={
            "type": "object",
            "properties": {"email": {"type": "string"}, "name": {"type": "string"}},
            "required": ["email"],
        },
    ),
    WorkflowSpec(
        id="3f1c2b7e-8a54-4d0e-9b6f-1d2e3c4b5a60",
        name="Score customer",
        description="Scores one customer; its input has a strict schema",
        created_at="2024-02-01T09:00:00Z",
        updated_at="2024-03-01T09:00:00Z",
        input_schema={
            "type": "object",
            "properties": {
                "customer_id": {"type": "string", "minLength": 1},
                "email": {"type": "string"},
                "amount": {"type": "number"},
                "priority": {"type": "integer"},
                "active": {"type": "boolean"},
                "note": {"type": "string"},
                "sandbox": _HINTS,
            },
            "required": ["customer_id"],
            "additionalProperties": False,
        },
    ),
    WorkflowSpec(
        id="8d7e6f50-4b3c-4a29-9180-7f6e5d4c3b2a",
        name="Free form",
        description="Takes any object: it has no input schema",
        created_at="2024-02-02T09:00:00Z",
        updated_at="2024-02-02T09:00:00Z",
    ),
    WorkflowSpec(
        id="c0ffee00-1a2b-4c3d-8e4f-5a6b7c8d9e0f",
        name="Render report",
        description="Yields three large files",
        created_at="2024-02-03T09:00:00Z",
        updated_at="2024-02-03T09:00:00Z",
        files=3,
        size_bytes=3_000_000,
        filename="report.json",
    ),
    WorkflowSpec(
        id="1a2b3c4d-5e6f-4708-9a0b-c1d2e3f40516",
        name="Approve invoice",
        description="Always waits for a person",
        created_at="2024-02-04T09:00:00Z",
        updated_at="2024-02-04T09:00:00Z",
        human_share=1.0,
    ),
)


def spec_from(document: Mapping[str, Any], *, now: float) -> WorkflowSpec:
    """Read a further workflow; only `name` is needed, and its id then follows from the name.

    Raises:
        OptionError: for an unknown field, a value of the wrong kind, or a schema that is none.
    """
    known = {spec_field.name for spec_field in fields(WorkflowSpec)}
    unknown = set(document) - known
    if unknown:
        raise OptionError(f"workflow: unknown field {sorted(unknown)[0]!r}; known are {', '.join(sorted(known))}")
    name = document.get("name")
    if not isinstance(name, str) or not name:
        raise OptionError("workflow: it needs a name")
    made_at = document.get("created_at", iso(now))
    values = {"id": str(uuid.uuid5(_NAMESPACE, name)), "created_at": made_at, "updated_at": made_at, **document}
    _check(values)
    return WorkflowSpec(**values)


def _check(values: Mapping[str, Any]) -> None:
    for name in ("id", "description", "filename", "created_at", "updated_at"):
        if not isinstance(values.get(name, ""), str):
            raise OptionError(f"workflow: {name} is a text")
    for name in ("files", "size_bytes", "duration_s", "duration_sigma", "error_share", "human_share"):
        value = values.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
            raise OptionError(f"workflow: {name} is a number, 0 or more")
    schema = values.get("input_schema")
    try:
        for name in ("created_at", "updated_at"):
            parse_iso(values[name])
        if schema is not None:
            Draft202012Validator.check_schema(schema)
    except ValueError as error:
        raise OptionError(f"workflow: {error}") from error
    except SchemaError as error:
        raise OptionError(f"workflow: input_schema is not a JSON Schema: {error.message}") from error
