"""The input of one run: from `-i name=value`, from `-i name:=json`, from a file, or from several of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.errors import BadInput

#: What the API takes for one input is less; this only bounds what is read.
MAX_INPUT_BYTES = 16 * 1024 * 1024
MAX_KEY_BYTES = 16 * 1024


def read_input(pairs: Sequence[str], file: str | None, *, schema: Callable[[], Mapping[str, Any] | None]) -> bytes:
    """Return the JSON text of the input.

    A file alone is passed on as its bytes are: spelling of numbers and order of fields are the user's.

    Args:
        schema: gives the workflow's input schema; only asked when a `name=value` needs it.

    Raises:
        BadInput: it does not make an object, or a value is not what the schema says.
    """
    raw = read_bytes(file) if file is not None else b"{}"
    if not pairs:
        return raw
    fields = {name: json.dumps(value, ensure_ascii=False) for name, value in _object(raw).items()}
    types: Mapping[str, Any] | None = None
    for pair in pairs:
        name, colon, value = _split(pair)
        if not colon and types is None:
            types = (schema() or {}).get("properties", {})
        fields[name] = _as_json(name, value) if colon else _typed(name, value, (types or {}).get(name))
    return ("{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in fields.items()) + "}").encode()


def read_bytes(file: str) -> bytes:
    """Return a file's bytes; `-` is stdin."""
    try:
        stream = sys.stdin.buffer if file == "-" else Path(file).open("rb")  # noqa: SIM115 -- closed below
        with stream:
            raw = stream.read(MAX_INPUT_BYTES + 1)
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror or error}") from None
    if len(raw) > MAX_INPUT_BYTES:
        raise BadInput(f"{file} has more than {MAX_INPUT_BYTES:,} bytes")
    return raw


def read_secret(what: str) -> str:
    """Return a secret from stdin, where no other program can list it; asked for without echo on a terminal."""
    if sys.stdin.isatty():
        from getpass import getpass

        secret = getpass(f"{what}: ", stream=sys.stderr).strip()
    else:
        secret = sys.stdin.read(MAX_KEY_BYTES).strip()
    if not secret:
        raise BadInput(f"no {what} came on stdin", hint="For example: … --api-key-stdin < key.txt")
    return secret


def pairs_of(given: Sequence[str], *, option: str) -> dict[str, str]:
    """Return `k=v` options as a mapping."""
    found: dict[str, str] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise BadInput(f"{option} {pair}: expected name=value")
        found[name] = value
    return found


def mapped(given: Sequence[str]) -> dict[str, str]:
    """Return `--map COLUMN=FIELD` options as a mapping; a column may have an equals sign, its field may be empty."""
    found: dict[str, str] = {}
    for pair in given:
        column, equals, field = pair.rpartition("=")
        if not equals or not column:
            raise BadInput(f"--map {pair}: expected COLUMN=FIELD, or COLUMN= to leave it out", code="map.pair")
        if column in found:
            raise BadInput(f"--map {pair}: this column is mapped twice", code="map.pair")
        found[column] = field
    return found


def _split(pair: str) -> tuple[str, bool, str]:
    name, equals, value = pair.partition("=")
    if not equals or not name.removesuffix(":"):
        raise BadInput(f"-i {pair}: expected name=value, or name:=json")
    return name.removesuffix(":"), name.endswith(":"), value


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except ValueError as error:
        raise BadInput(f"the input is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadInput("the input is not a JSON object")
    return found


def _as_json(name: str, value: str) -> str:
    try:
        json.loads(value)
    except ValueError as error:
        raise BadInput(f"-i {name}:={value}: not JSON: {error}", hint=f"For text: -i {name}={value}") from None
    return value


def _typed(name: str, value: str, schema: Any) -> str:
    """Return a value's JSON text, in the first type of its schema that it fits; without one it is a string."""
    types = _types(schema)
    if not types or "string" in types:
        return json.dumps(value, ensure_ascii=False)
    for word in types:
        if _fits(value, word):
            return value
    raise BadInput(f"-i {name}={value}: expected {' or '.join(types)}", hint=f"Any JSON: -i '{name}:=…'")


def _types(schema: Any) -> list[str]:
    if not isinstance(schema, Mapping):
        return []
    given = schema.get("type", [])
    types = [given] if isinstance(given, str) else list(given)
    for word in ("anyOf", "oneOf"):
        types += [one for choice in schema.get(word, []) for one in _types(choice)]
    return types


def _fits(value: str, word: str) -> bool:
    try:
        found = json.loads(value)
    except ValueError:
        return False
    match word:
        case "boolean":
            return isinstance(found, bool)
        case "null":
            return found is None
        case "integer":
            return isinstance(found, int) and not isinstance(found, bool)
        case "number":
            return isinstance(found, int | float) and not isinstance(found, bool)
        case "object":
            return isinstance(found, dict)
        case "array":
            return isinstance(found, list)
    return False
