"""Links of the description: which answer names what other calls ask for. Tools, and tests, follow them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_ITEM = re.compile(r"^(?P<collection>.*/[a-z]+)/\{(?P<parameter>\w+)\}")
#: What a thing is called by, where it is not its id.
_FIELDS = {"name": "name", "n": "n"}
_METHODS = frozenset({"get", "post", "patch", "delete"})


def add_links(paths: Schema) -> None:
    """Add to every answer that shows a thing, or a list of them, the calls on that thing.

    Args:
        paths: of the description; changed in place.
    """
    for path, operation in _operations(paths):
        found = _ITEM.match(path)
        if found is None or found["collection"] not in paths:
            continue
        for answer, where in _showing(paths[found["collection"]]):
            target = {
                "operationId": operation["operationId"],
                "parameters": _parameters(found["parameter"], where, found["collection"]),
            }
            if "{workflow_id}" in path:
                target["parameters"]["connection"] = f"$response.body#{where}/connection"
            answer.setdefault("links", {})[operation["operationId"]] = target


def _operations(paths: Schema) -> Iterator[tuple[str, Schema]]:
    for path, operations in paths.items():
        for method, operation in operations.items():
            if method in _METHODS:
                yield path, operation


def _showing(collection: Schema) -> Iterator[tuple[Schema, str]]:
    """Yield a collection's answers, and where in them a thing stands: one that was made, or the first of a list."""
    for status in ("200", "201"):
        if status in collection.get("post", {}).get("responses", {}):
            yield collection["post"]["responses"][status], ""
    if "200" in collection.get("get", {}).get("responses", {}):
        yield collection["get"]["responses"]["200"], "/data/0"


def _parameters(parameter: str, where: str, collection: str) -> dict[str, str]:
    outer = {name: f"$request.path.{name}" for name in re.findall(r"\{(\w+)\}", collection)}
    return outer | {parameter: f"$response.body#{where}/{_FIELDS.get(parameter, 'id')}"}
