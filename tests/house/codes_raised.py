"""Every code that our own source can put into an error, an ended run, or a reason to wait, read from its syntax.

A code stands where something named `code` is given: as a keyword, as an argument in a parameter's place, as a default,
a class's attribute, or an assignment. An expression that ends in `.code`, or is a parameter `code`, only hands on what
was given elsewhere. What is left over must be named below, with a reason.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

from tests.house.source import Module, dotted, modules, nodes

#: Rooms whose codes nobody outside meets: path's beginning -> why.
NOT_READ = {
    "orchestrator/rehearsal/": "plays in memory; its errors never leave it",
    "orchestrator/domain/error_codes/": "the catalogue itself",
}

#: What is called -> the kind of its codes; everything else is an error. None: no code of the catalogue.
KINDS: Mapping[str, str | None] = {
    "Reason": "waiting",
    "RunError": "run",
    "Finding": "held",
    "_finding": "held",
    "Alarm": None,  # they have words of their own: domain/alarm_words.py
    "Cause": None,  # a report counts what ended runs say
    "OwnError": None,  # a provider's own word, which `outcomes` turns into ours
    "speak": None,  # a line of the log
}
LOGS = ("log.", "_log.")

#: Codes that are computed: (path, expression) -> why it brings no code of its own.
PASSED_ON = {
    ("orchestrator/cli/main.py", "_invoke(_without_leading_format(arguments))"): "an exit code",
    (
        "orchestrator/cli/main.py",
        "app(args=list(arguments), prog_name='orchestrator', standalone_mode=False)",
    ): "an exit code",
    ("orchestrator/embedded/children.py", "self._process.poll()"): "an exit code",
    ("orchestrator/client/wire.py", "str(problem['code'])"): "what the server said",
    ("orchestrator/embedded/preparing.py", "str(problem['code'])"): "what the child process said, by `cli/problems.py`",
}
#: Where codes stand in a table or are chosen by a function: (path, its name) -> why.
TABLES = {
    ("orchestrator/api/problems.py", "_CODES"): "what the framework refuses, by its status",
    ("orchestrator/cli/problems.py", "_code"): "the client's own errors, by their class",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True)
class Raised:
    """The codes by kind and value, with the places where they stand; and what could not be read."""

    places: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    unread: list[str] = field(default_factory=list)
    used: set[tuple[str, str]] = field(default_factory=set)


@cache
def raised() -> Raised:
    """Return every code of the product."""
    found = Raised()
    for module in modules("orchestrator"):
        if not module.path.startswith(tuple(NOT_READ)):
            _Reader(module, found).read()
    return found


class _Reader:
    """Reads one module."""

    def __init__(self, module: Module, found: Raised) -> None:
        self.module = module
        self.found = found
        self.takers = _takers(module)

    def read(self) -> None:
        """Note every code of the module."""
        for node in nodes(self.module):
            match node:
                case ast.Call():
                    self._call(node)
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    kind = KINDS.get(node.name, "error")
                    for default in _defaults(node):
                        self._take(default, kind)
                    if self._is_table(node.name):
                        self._take_all(node)
                case ast.ClassDef(name=name):
                    for default in _attributes(node):
                        self._take(default, KINDS.get(name, "error"))
                case ast.Assign(targets=[target], value=value):
                    if dotted(target).split(".")[-1] == "code":
                        self._take(value, "error")
                    elif self._is_table(dotted(target)):
                        self._take_all(value)

    def _call(self, call: ast.Call) -> None:
        name = dotted(call.func)
        if name.startswith(LOGS):
            return
        last = name.split(".")[-1]
        kind = KINDS.get(last, "error")
        if kind is None:
            return
        for word in call.keywords:
            if word.arg == "code":
                self._take(word.value, kind)
        place = self.takers.get(last)
        if place is not None and len(call.args) > place:
            self._take(call.args[place], kind)

    def _take(self, value: ast.AST, kind: str | None) -> None:
        if kind is None:
            return
        where = f"{self.module.path}:{getattr(value, 'lineno', 0)}"
        match value:
            case ast.Constant(value=str() as code):
                self.found.places[kind, code].append(where)
            case ast.Constant(value=None):
                pass
            case ast.IfExp(body=body, orelse=orelse):
                self._take(body, kind)
                self._take(orelse, kind)
            case ast.BoolOp(values=values):
                for one in values:
                    self._take(one, kind)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=table), attr="get"), args=[_, other]) if self._is_table(
                table
            ):
                self._take(other, kind)
            case ast.Name(id="code") | ast.Attribute(attr="code"):
                pass  # handed on
            case ast.Name() | ast.Attribute() if (constant := _constant(self.module, _last(value))) is not None:
                self.found.places[kind, constant].append(where)
            case _:
                at = (self.module.path, ast.unparse(value))
                self.found.used.add(at)
                if at not in PASSED_ON:
                    self.found.unread.append(f"{where}: {at[1]}")

    def _take_all(self, node: ast.AST) -> None:
        for part in ast.walk(node):
            match part:
                case ast.Constant(value=str() as code):
                    self.found.places["error", code].append(f"{self.module.path}:{part.lineno}")

    def _is_table(self, name: str) -> bool:
        at = (self.module.path, name)
        if at in TABLES:
            self.found.used.add(at)
        return at in TABLES


def _takers(module: Module) -> dict[str, int]:
    """Return what takes a code without its name, here or as imported: its name, and the code's place."""
    imported = {
        alias.name
        for node in nodes(module)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("orchestrator")
        for alias in node.names
    }
    return {**{name: at for name, at in _all_takers().items() if name in imported}, **_own_takers(module)}


@cache
def _all_takers() -> dict[str, int]:
    return {name: at for module in modules("orchestrator") for name, at in _own_takers(module).items()}


@cache
def _own_takers(module: Module) -> dict[str, int]:
    found = {}
    for node in nodes(module):
        match node:
            case ast.FunctionDef(name=name, args=arguments) | ast.AsyncFunctionDef(name=name, args=arguments):
                names = [a.arg for a in (*arguments.posonlyargs, *arguments.args) if a.arg not in ("self", "cls")]
                if "code" in names and name != "__init__":
                    found[name] = names.index("code")
            case ast.ClassDef(name=name, body=body):
                fields = [s.target.id for s in body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)]
                fields = fields or _of_init(body)
                if "code" in fields:
                    found[name] = fields.index("code")
    return found


def _of_init(body: list[ast.stmt]) -> list[str]:
    inits = [s for s in body if isinstance(s, ast.FunctionDef) and s.name == "__init__"]
    return [a.arg for init in inits for a in init.args.args if a.arg != "self"]


def _defaults(function: Function) -> Iterator[ast.AST]:
    arguments = function.args
    plain = [*arguments.posonlyargs, *arguments.args]
    pairs = [*zip(reversed(plain), reversed(arguments.defaults), strict=False)]
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    yield from (default for argument, default in (*pairs, *named) if argument.arg == "code" and default is not None)


def _attributes(node: ast.ClassDef) -> Iterator[ast.AST]:
    for statement in node.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="code")], value=value):
                yield value
            case ast.AnnAssign(target=ast.Name(id="code"), value=ast.AST() as value):
                yield value


def _constant(module: Module, name: str) -> str | None:
    """Return what a constant or an enum's member holds: the module's own, else the only one of that name."""
    if name in _constants(module):
        return _constants(module)[name]
    values = {_constants(other)[name] for other in modules("orchestrator") if name in _constants(other)}
    return values.pop() if len(values) == 1 else None


@cache
def _constants(module: Module) -> dict[str, str]:
    """Return the constants and the members of enums that hold a string: `NAME`, `Owner.NAME`."""
    found: dict[str, str] = {}
    for statement in module.tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str() as text)):
                found[name] = text
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                for one, given in zip(names, values, strict=True):
                    match one, given:
                        case ast.Name(id=name), ast.Constant(value=str() as text):
                            found[name] = text
            case ast.ClassDef(name=owner, body=body):
                for part in body:
                    match part:
                        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str() as text)):
                            found[f"{owner}.{name}"] = text
    return found


def _last(node: ast.AST) -> str:
    parts = dotted(node).split(".")
    return ".".join(parts[-2:]) if len(parts) > 1 and parts[-2][:1].isupper() else parts[-1]
