"""The docs say what the code does: what can be printed is printed, what can be looked up is looked up."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from orchestrator.cli.exits import Exit
from orchestrator.cli.main import app
from orchestrator.domain.states_page import states_page
from orchestrator.settings import PREFIX, Settings
from tests.house import write_outcomes, write_settings, write_states
from tests.house.source import ROOT, modules, nodes

PAGES = tuple(sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "sandbox" / "README.md"]))

#: Read by the client, or by the settings' reader itself; not fields of `Settings`.
OTHER_VARIABLES = {"ORCH_URL", "ORCH_TOKEN", "ORCH_CONFIG"}

_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^    (.+)$", re.MULTILINE)
_INLINE = re.compile(r"`([^`]+)`", re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
#: A call of a module of the checkout, up to the end of its backticks or the comment behind it.
_MODULE = re.compile(r"python -m ((?:tests|benchmarks|sandbox|orchestrator)[\w.]*)([^`#]*)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_SHELL_END = re.compile(r"\s(\||&&|<|>|#|;)\s?.*$")


def test_the_page_of_states_is_printed_from_the_table() -> None:
    assert write_states.PAGE.read_text() == states_page(), "run: python -m tests.house.write_states"


def test_the_page_of_outcomes_is_printed_from_the_tables() -> None:
    assert write_outcomes.PAGE.read_text() == write_outcomes.page(), "run: python -m tests.house.write_outcomes"


def test_the_table_of_settings_is_printed_from_the_settings() -> None:
    page = write_settings.PAGE.read_text()
    assert write_settings.with_table(page) == page, "run: python -m tests.house.write_settings"


def test_the_readme_begins_with_what_it_is_and_the_two_commands() -> None:
    first_screen = (ROOT / "README.md").read_text().splitlines()[:24]
    text = "\n".join(first_screen)
    assert first_screen[0] == "# Orchestrator"
    assert re.search(r"^    make demo\b", text, re.MULTILINE)
    assert re.search(r"^    make up\b", text, re.MULTILINE)
    about = text.split("\n\n")[1].replace("\n", " ")
    assert len(re.findall(r"\.(?= |$)", about)) == 2, "two sentences say what it is"


def test_the_readme_lists_every_exit_code() -> None:
    listed = re.findall(r"^\| (\d+) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert [int(code) for code in listed] == sorted(Exit)


def test_every_dependency_has_a_line_that_says_why() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text()
    listed = re.findall(r"^\| `([^`]+)` \| .+ \| .+ \|$", page, re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    assert sorted(listed) == sorted(re.split(r"[<>=!~; ]", line, maxsplit=1)[0] for line in declared)


def test_every_metric_is_in_the_operators_list_and_no_other() -> None:
    (metrics,) = [module for module in modules("orchestrator") if module.path == "orchestrator/engine/metrics.py"]
    exported = {
        node.value
        for node in nodes(metrics)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"orch_[a-z_]+", node.value)
    }
    page = (ROOT / "docs" / "operations.md").read_text()
    assert set(re.findall(r"^\| `(orch_[a-z_]+)", page, re.MULTILINE)) == exported


def test_every_reason_why_a_run_waits_is_explained_to_operators() -> None:
    (waiting,) = [module for module in modules("orchestrator") if module.path == "orchestrator/domain/waiting.py"]
    codes = {
        word.value.value
        for node in nodes(waiting)
        if isinstance(node, ast.Call)
        for word in node.keywords
        if word.arg == "code" and isinstance(word.value, ast.Constant)
    }
    page = (ROOT / "docs" / "operations.md").read_text()
    table = page[page.index("| `waiting_because`") :].partition("\n\n")[0]
    explained = {code for row in table.splitlines() for code in re.findall(r"`([a-z_]+)`", row.split("|")[1])}
    assert explained - {"waiting_because"} == codes


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_the_docs_exists_with_its_options(page: Path) -> None:
    wrong = [f"{command}: {fault}" for command in _commands(page) if (fault := _fault(command))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_in_the_docs_leads_somewhere(page: Path) -> None:
    dead = []
    for target in _LINK.findall(page.read_text()):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in _anchors(file)):
            dead.append(target)
    assert not dead, dead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_variable_in_the_docs_is_one_that_is_read(page: Path) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields} | OTHER_VARIABLES
    named = set(re.findall(rf"\b{PREFIX}[A-Z][A-Z_]*[A-Z]\b", page.read_text()))
    assert named <= known, named - known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_module_that_the_docs_run_exists_with_its_options(page: Path) -> None:
    wrong = []
    for name, rest in _MODULE.findall(" ".join(page.read_text().split())):
        path = ROOT / name.replace(".", "/")
        file = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
        source = file.read_text() if file.exists() else ""
        wrong += [
            f"{name} {option}" for option in re.findall(r"--(?!help\b)[a-z-]+", rest) if f'"{option}"' not in source
        ]
        wrong += [] if source else [name]
    assert not wrong, wrong


def _commands(page: Path) -> Iterator[str]:
    """Yield every call of the program that the page shows: in blocks, and between backticks."""
    text = page.read_text()
    fenced = "\n".join(_FENCE.findall(text))
    rest = _FENCE.sub("", text)
    lines = [*fenced.splitlines(), *_INDENTED.findall(rest), *(" ".join(t.split()) for t in _INLINE.findall(rest))]
    for line in lines:
        found = re.search(r"(?:^|[\s/])orchestrator\s+([a-z-].*)$", line)
        if found and not line.lstrip().startswith(("FROM", "image", "#")):
            yield _SHELL_END.sub("", found[1]).strip()


def _fault(command: str) -> str | None:
    """Return what is wrong with a command line, None when the program has such a command with such options."""
    words = shlex.split(command.replace("…", ""))
    at: Any = typer.main.get_command(app)
    while words and hasattr(at, "commands"):
        if words[0] not in at.commands:
            return None if words[0] == "COMMAND" else f"no command {words[0]!r}"
        at = at.commands[words.pop(0)]
    known = {name for parameter in at.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    unknown = [w for w in words if re.match(r"--?[a-z]", w) and w.partition("=")[0] not in known]
    return f"no option {', '.join(unknown)}" if unknown else None


def _anchors(file: Path) -> set[str]:
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in _HEADING.findall(file.read_text())}
