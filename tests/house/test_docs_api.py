"""The docs name the API's paths as they are, the list of its resources is whole, and every page can be found."""

from __future__ import annotations

import re
from functools import cache

from orchestrator.api.app import create_app
from orchestrator.settings import Settings
from tests.house.source import ROOT

BASE = "/api/v1"
#: Not of `/api/v1`: these speak of the providers' own APIs.
OTHERS = ("doors.md", "providers.md")

_CALL = re.compile(r"`(GET|POST|PATCH|DELETE) (/[^`?\s]*)[^`]*`")


@cache
def _paths() -> dict[str, set[str]]:
    """Return the methods of each path, with `{}` for whatever stands in a path."""
    app = create_app(Settings.model_validate({"database_url": "postgresql://nobody@127.0.0.1:1/none"}))
    return {_open(path): {method.upper() for method in methods} for path, methods in app.openapi()["paths"].items()}


def _open(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def test_every_call_in_the_docs_is_one_that_the_api_has() -> None:
    wrong, seen = [], 0
    for page in sorted((ROOT / "docs").glob("*.md")):
        for method, path in _CALL.findall(page.read_text()) if page.name not in OTHERS else ():
            seen += 1
            whole = path if path.startswith(BASE) else BASE + path
            if method not in _paths().get(_open(whole), ()):
                wrong.append(f"{page.name}: {method} {path}")
    assert not wrong, wrong
    assert seen > 10


def test_the_resources_of_the_api_are_listed_with_all_that_can_be_done_to_work() -> None:
    table = (ROOT / "docs" / "api.md").read_text().partition("## Resources\n")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| `/")]
    rows = {noun: line for line in lines for noun in re.findall(r"`/(\w+)`", line.split("|")[1])}
    missing = []
    for path in _paths():
        noun, *deeper = re.split(r"(?=[/:])", path.removeprefix(BASE + "/"))
        if noun not in rows:
            missing.append(noun)
        elif noun in ("runs", "batches", "operations"):
            missing += [f"{noun}: {part}" for part in deeper if part != "/{}" and f"{part}`" not in rows[noun]]
    assert not missing, missing


def test_every_page_is_linked_from_the_readme() -> None:
    linked = set(re.findall(r"\]\((docs/[\w-]+\.md)\)", (ROOT / "README.md").read_text()))
    assert {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} == linked
