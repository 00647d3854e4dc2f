"""Our own source as data: every module parsed once, for the tests that hold the rules of the house."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: What is shipped or run by users. The tests have rules of their own.
PRODUCT = ("orchestrator", "workers", "sandbox", "migrations", "benchmarks")

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Module:
    """One file of source. `name` is dotted, `path` is relative to the checkout, with slashes."""

    name: str
    path: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The part of the house that it belongs to: `workers`, `orchestrator.engine`, `orchestrator.errors`."""
        return room_of(self.name)

    def functions(self) -> Iterator[FunctionNode]:
        """Yield every function, methods and inner ones included."""
        return (node for node in nodes(self) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One module that another one imports. `is_lazy`: inside a function, or for the type checker only."""

    by: Module
    name: str
    line: int
    is_lazy: bool

    def __str__(self) -> str:
        return f"{self.by.path}:{self.line} imports {self.name}"


@cache
def nodes(module: Module) -> tuple[ast.AST, ...]:
    """Return everything in a module's tree, walked once for all tests."""
    return tuple(ast.walk(module.tree))


def room_of(name: str) -> str:
    """Return the room that a dotted name of ours belongs to."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "orchestrator" else parts[0]


@cache
def modules(*tops: str) -> tuple[Module, ...]:
    """Return every module below some top packages; without any, below all that is shipped."""
    found = []
    for top in tops or PRODUCT:
        for file in sorted((ROOT / top).rglob("*.py")):
            path = file.relative_to(ROOT)
            text = file.read_text(encoding="utf-8")
            name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
            found.append(Module(name=name, path=path.as_posix(), text=text, tree=ast.parse(text)))
    assert found, f"there is source below {tops or PRODUCT}"
    return tuple(found)


@cache
def our_names() -> frozenset[str]:
    """Return the dotted names of all modules of ours, tests included."""
    return frozenset(module.name for module in modules(*PRODUCT, "tests"))


def imports(module: Module) -> Iterator[Import]:
    """Yield what a module imports, each by the name of the module that is loaded."""
    yield from _imports(module, module.tree, is_lazy=False)


def _imports(module: Module, node: ast.AST, *, is_lazy: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import(names=names):
                for alias in names:
                    yield Import(by=module, name=alias.name, line=child.lineno, is_lazy=is_lazy)
            case ast.ImportFrom(module=source, names=names, level=0) if source is not None:
                for alias in names:
                    inner = f"{source}.{alias.name}"
                    name = inner if inner in our_names() else source
                    yield Import(by=module, name=name, line=child.lineno, is_lazy=is_lazy)
            case _:
                lazy = is_lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or _is_for_types(child)
                yield from _imports(module, child, is_lazy=lazy)


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def docstrings(module: Module) -> set[int]:
    """Return the ids of the constants that are docstrings, for tests that look at all other strings."""
    found = set()
    for node in nodes(module):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str()) as text), *_]:
                    found.add(id(text))
    return found


def dotted(node: ast.AST) -> str:
    """Return a name or an attribute as it is written: `os.environ`; empty for anything else."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            before = dotted(value)
            return f"{before}.{attr}" if before else f".{attr}"
        case _:
            return ""


@cache
def committed_files() -> tuple[Path, ...]:
    """Return the files of the checkout that git keeps or would keep; without git, all but what is made here."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=30).stdout
        files = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        # A source archive has no .git: everything in it was committed, and what we make is hidden or a cache.
        files = [f for f in ROOT.rglob("*") if not _is_made_here(f.relative_to(ROOT))]
    return tuple(sorted(file for file in files if file.is_file()))


def _is_made_here(path: Path) -> bool:
    return any(part.startswith(".") or part in ("__pycache__", "build") for part in path.parts)
