"""Files and functions that can be read in one go, with names that say what is in them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.house.source import Module, modules, nodes

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 60
#: A test file is often one long table of cases, which splitting would only scatter.
MAX_TEST_FILE_LINES = 400

#: Longer, and better so: path -> why. Migrations are exempt: one reads from top to bottom, and is never changed.
LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS: dict[tuple[str, str], str] = {}

#: They name nothing: whatever has no place ends in them.
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers", "handle", "handler", "handlers"}
VAGUE |= {"process", "data", "info", "base", "core", "lib", "stuff", "tools"}
NOT_VAGUE = {"workers/process.py": "a worker process is a noun of ours: its loop, its row, its heartbeat"}

#: Their name and types say it all, and a sentence would only repeat them: (path, name).
SELF_EVIDENT = {
    ("orchestrator/embedded/processes.py", "belongs_to"),
    ("orchestrator/providers/script_shapes.py", "accepted"),
    ("orchestrator/providers/script_shapes.py", "observation"),
    ("orchestrator/providers/script_shapes.py", "workflow_page"),
    ("orchestrator/providers/script_shapes.py", "workflow_view"),
    ("sandbox/__main__.py", "arguments"),
    ("sandbox/files.py", "s3_error"),
    ("sandbox/http.py", "json_answer"),
    ("sandbox/http.py", "text_answer"),
}

UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def test_a_file_fits_into_one_reading() -> None:
    long = {
        module.path: lines
        for module in modules()
        if (lines := len(module.text.splitlines())) > MAX_FILE_LINES
        and not module.path.startswith("migrations/versions/")
    }
    too_long = {path: lines for path, lines in long.items() if path not in LONG_FILES}
    assert not too_long, f"over {MAX_FILE_LINES} lines: {too_long}"
    assert not LONG_FILES.keys() - long.keys(), f"short enough by now: {LONG_FILES.keys() - long.keys()}"


def test_a_test_file_does_not_outgrow_its_subject() -> None:
    long = {m.path: lines for m in modules("tests") if (lines := len(m.text.splitlines())) > MAX_TEST_FILE_LINES}
    assert not long, f"over {MAX_TEST_FILE_LINES} lines: {long}"


def test_a_function_fits_on_a_screen() -> None:
    long = {
        (module.path, function.name): lines
        for module in modules(*_everything())
        for function in module.functions()
        if (lines := (function.end_lineno or function.lineno) - function.lineno + 1) > MAX_FUNCTION_LINES
    }
    too_long = {where: lines for where, lines in long.items() if where not in LONG_FUNCTIONS}
    assert not too_long, f"over {MAX_FUNCTION_LINES} lines: {too_long}"
    assert not LONG_FUNCTIONS.keys() - long.keys(), f"short by now: {LONG_FUNCTIONS.keys() - long.keys()}"


def test_a_module_is_named_after_what_is_in_it() -> None:
    vague = {m.path for m in modules(*_everything()) if m.name.rsplit(".", 1)[-1].lower() in VAGUE}
    assert vague == NOT_VAGUE.keys()


def test_every_module_says_what_it_is_for() -> None:
    silent = [m.path for m in modules(*_everything()) if m.text.strip() and not ast.get_docstring(m.tree)]
    assert not silent, "\n".join(silent)


def test_every_public_class_and_function_says_what_it_gives() -> None:
    silent = {(module.path, node.name) for module in modules() for node in _undocumented(module)}
    assert silent - SELF_EVIDENT == set()
    assert SELF_EVIDENT - silent == set(), "they have a docstring by now, or are gone"


def test_a_docstring_begins_with_a_whole_sentence() -> None:
    broken = []
    for module in modules():
        for node in nodes(module):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                first = (ast.get_docstring(node) or ".").partition("\n\n")[0].rstrip()
                if not first or first[-1] not in ".:!?`…":
                    broken.append(f"{module.path}:{getattr(node, 'lineno', 1)} {first[:60]}")
    assert not broken, "\n".join(broken)


def test_nothing_is_left_for_later() -> None:
    left = [
        f"{module.path}:{number}"
        for module in modules(*_everything())
        if module.path != "tests/house/test_shape.py"
        for number, line in enumerate(module.text.splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert not left, "\n".join(left)


def _everything() -> tuple[str, ...]:
    return ("orchestrator", "workers", "sandbox", "migrations", "benchmarks", "tests")


def _undocumented(module: Module) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield public classes and functions without a word. Methods may let their class or their protocol speak."""
    for node in module.tree.body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if not name.startswith("_") and not ast.get_docstring(node):
                    yield node
