"""What a person chooses for a file before it becomes a batch: out of a form, kept with the draft, as the engine's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from orchestrator.api.uploads import LEVELS
from orchestrator.engine.submit import BatchSpec
from orchestrator.errors import BadInput, Problem
from orchestrator.web.forms import Form

TEXTS = ("name", "external_id", "external_id_column", "max_failures")
#: Of a form's fields: two for each column of the widest file, and the settings.
MAX_FIELDS = 2_100


def begun(connection: str, workflow_id: str, format: str) -> dict[str, Any]:
    """Return the options of a file that has just come."""
    named = {"connection": connection, "workflow_id": workflow_id, "format": format}
    return named | dict.fromkeys(TEXTS) | {"concurrency": "medium", "wave_size": None, "mapping": {}}


def chosen(form: Form, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as a form has them.

    Raises:
        BadInput: one of them is nothing that could be meant.
    """
    concurrency = form.text("concurrency") or before["concurrency"]
    if concurrency not in LEVELS:
        raise _wrong("concurrency", f"is one of {', '.join(LEVELS)}")
    kept = {name: before[name] for name in ("connection", "workflow_id", "format")}
    texts = {name: form.text(name, max_chars=200) for name in TEXTS}
    return kept | texts | {"concurrency": concurrency, "wave_size": _wave_size(form), "mapping": _mapping(form)}


def spec(options: Mapping[str, Any], *, skip_invalid: bool, **how: Any) -> BatchSpec:
    """Return the options as the engine takes them.

    Args:
        how: `dry_run`, `once_per_file`, `id`.
    """
    wanted = ("connection", "workflow_id", "format", "concurrency", "wave_size", *TEXTS)
    given = {name: options[name] for name in wanted if options[name] is not None}
    return BatchSpec(**given, mapping=options["mapping"], skip_invalid=skip_invalid, **how)


def command(options: Mapping[str, Any], filename: str | None) -> list[str]:
    """Return the words of the command that submits the same."""
    words = ["orchestrator", "batch", "submit", filename or "FILE"]
    words += ["--connection", options["connection"], "--workflow", options["workflow_id"]]
    for name in (*TEXTS, "wave_size"):
        if options[name]:
            words += [f"--{name.replace('_', '-')}", str(options[name])]
    if options["concurrency"] != "medium":
        words += ["--concurrency", options["concurrency"]]
    for column, field in options["mapping"].items():
        words += ["--map", f"{column}={field}"]
    return words


def id_of(text: str | None) -> UUID | None:
    """Return the id that a form carries, None when it is none."""
    try:
        return UUID(text or "")
    except ValueError:
        return None


def _mapping(form: Form) -> dict[str, str]:
    """Return what was chosen for each column, where that is another thing than its own name says."""
    columns, fields = form.every("column"), form.every("field")
    if len(columns) != len(fields):
        raise _wrong("field", "must be there for each column")
    return {column: field.strip() for column, field in zip(columns, fields, strict=True) if field.strip() != column}


def _wave_size(form: Form) -> int | None:
    text = form.text("wave_size", max_chars=7)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text)):
        raise _wrong("wave_size", "is a whole number from 1")
    return int(text)


def _wrong(name: str, message: str) -> BadInput:
    return BadInput(f"{name} {message}", problems=(Problem(message=message, code="field.value", field=name),))
