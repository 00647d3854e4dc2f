"""An import goes down only. The table is the house; a room that is not in it does not exist."""

from __future__ import annotations

import ast
import sys
from graphlib import TopologicalSorter

from tests.house.source import ROOT, Import, dotted, imports, modules, nodes, room_of

O = "orchestrator"  # noqa: E741 - the table reads better with it
GROUND = {O, f"{O}.errors", f"{O}.faultpoints", f"{O}.runtime", f"{O}.settings", f"{O}.telemetry"}

#: room -> the rooms whose modules it may import, beside its own.
MAY_IMPORT: dict[str, set[str]] = {
    O: set(),
    f"{O}.errors": set(),
    f"{O}.faultpoints": set(),
    f"{O}.runtime": set(),
    f"{O}.telemetry": set(),
    f"{O}.settings": {f"{O}.errors"},
    f"{O}.domain": {f"{O}.errors"},
    # Prints reports: figures in, text out.
    f"{O}.reports": {f"{O}.domain", f"{O}.errors"},
    f"{O}.storage": {f"{O}.domain", *GROUND},
    f"{O}.providers": {f"{O}.domain", *GROUND},
    f"{O}.artifacts": {f"{O}.domain", *GROUND},
    f"{O}.embedded": GROUND,
    # The verbs reach providers and artifacts through `engine/ports.py` only, so that neither can leak into them.
    f"{O}.engine": {f"{O}.domain", f"{O}.reports", f"{O}.storage", *GROUND},
    # Plays the engine's decisions in virtual time; whoever asks for it loads it, and nothing of the product needs it.
    f"{O}.rehearsal": {*(f"{O}.{room}" for room in ("domain", "engine", "providers", "storage")), *GROUND},
    f"{O}.bootstrap": {
        *(f"{O}.{room}" for room in ("domain", "storage", "providers", "artifacts", "embedded", "engine")),
        *GROUND,
    },
    f"{O}.api": {*(f"{O}.{room}" for room in ("bootstrap", "engine", "domain", "storage", "artifacts")), *GROUND},
    # Pages for people: the API's edge (who asks, queries, cursors, downloads) with other answers.
    f"{O}.web": {*(f"{O}.{room}" for room in ("api", "engine", "domain")), *GROUND},
    f"{O}.client": set(),
    # What talks to the API needs the client and the errors; the rest of the house is for the commands of this machine
    # (demo, up, doctor, serve, worker, migrate), which are loaded when they are called: see the second test.
    f"{O}.cli": {
        *(f"{O}.{room}" for room in ("client", "api", "web", "bootstrap", "engine", "domain", "storage", "artifacts")),
        *(f"{O}.embedded", f"{O}.rehearsal", "workers", "sandbox"),
        *GROUND,
    },
    "workers": {*(f"{O}.{room}" for room in ("bootstrap", "engine", "domain", "storage")), *GROUND},
    "migrations": {f"{O}.settings"},
    "sandbox": set(),
    "benchmarks": {
        *(f"{O}.{room}" for room in ("client", "api", "bootstrap", "engine", "domain", "storage", "providers")),
        *(f"{O}.artifacts", f"{O}.embedded", f"{O}.rehearsal", "workers", "sandbox"),
        *GROUND,
    },
}

#: What every command loads at once. It must stay cheap, and must not know the server.
SMALL_CLI = {O, f"{O}.cli", f"{O}.client", f"{O}.errors"}

#: The pure core may use these beside the standard library: they compute, and reach nothing.
DOMAIN_LIBRARIES = {"cronsim", "jsonschema", "referencing"}

#: Clocks, chance, the outside and logs are handed to the core as arguments, or are none of its business.
NOT_IN_DOMAIN = {
    *("asyncio", "concurrent", "http", "logging", "multiprocessing", "os", "random", "secrets", "select", "shutil"),
    *("signal", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "urllib.request"),
}


def _ours() -> list[Import]:
    tops = {room.split(".")[0] for room in MAY_IMPORT}
    return [i for module in modules() for i in imports(module) if i.name.split(".")[0] in tops]


def test_every_room_stands_in_the_table() -> None:
    rooms = {module.room for module in modules()}
    assert rooms <= MAY_IMPORT.keys(), f"rooms without a row: {sorted(rooms - MAY_IMPORT.keys())}"


def test_the_table_itself_has_no_way_up() -> None:
    order = list(TopologicalSorter({room: below - {room} for room, below in MAY_IMPORT.items()}).static_order())
    assert set(order) == MAY_IMPORT.keys() | set().union(*MAY_IMPORT.values())


def test_an_import_goes_down_only() -> None:
    upward = [str(i) for i in _ours() if room_of(i.name) not in MAY_IMPORT[i.by.room] | {i.by.room}]
    assert not upward, "\n".join(upward)


def test_storage_providers_and_artifacts_do_not_know_each_other() -> None:
    outsides = {f"{O}.storage", f"{O}.providers", f"{O}.artifacts"}
    crossed = [str(i) for i in _ours() if {i.by.room, room_of(i.name)} <= outsides and i.by.room != room_of(i.name)]
    assert not crossed, "\n".join(crossed)


def test_a_command_loads_nothing_of_the_server_before_it_needs_it() -> None:
    by_name = {module.name: module for module in modules()}
    loaded, waiting, beyond = set[str](), [f"{O}.cli.main"], list[str]()
    while waiting:
        name = waiting.pop()
        if name in loaded or name not in by_name:
            continue
        loaded.add(name)
        now = [i for i in imports(by_name[name]) if not i.is_lazy and i.name in by_name]
        beyond += [str(i) for i in now if room_of(i.name) not in SMALL_CLI]
        waiting += [i.name for i in now]
    assert not beyond, "\n".join(beyond)


def test_the_core_needs_only_itself_and_libraries_that_compute() -> None:
    foreign = []
    for module in modules():
        if module.room != f"{O}.domain":
            continue
        for i in imports(module):
            top = i.name.split(".")[0]
            known = top == O or top in sys.stdlib_module_names or top in DOMAIN_LIBRARIES
            if not known or top in NOT_IN_DOMAIN or i.name in NOT_IN_DOMAIN:
                foreign.append(str(i))
    assert not foreign, "\n".join(foreign)


def test_the_core_reads_no_clock_and_prints_nothing() -> None:
    calls = {
        "datetime.now",
        "datetime.utcnow",
        "datetime.today",
        "date.today",
        "uuid4",
        "uuid.uuid4",
        "open",
        "print",
        "Path",
    }
    found = [
        f"{module.path}:{node.lineno} calls {dotted(node.func)}"
        for module in modules()
        if module.room == f"{O}.domain"
        for node in nodes(module)
        if isinstance(node, ast.Call) and dotted(node.func) in calls
    ]
    assert not found, "\n".join(found)


def test_the_sandbox_is_a_second_reading_and_shares_nothing_with_us() -> None:
    shared = [str(i) for module in modules("sandbox") for i in imports(module) if room_of(i.name) in MAY_IMPORT]
    assert not [line for line in shared if " imports sandbox" not in line], shared


def test_every_third_party_import_is_a_dependency_that_we_declare() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {_distribution(line) for line in project["dependencies"]}
    # What comes as a part of a declared one, under its own name.
    parts = {
        "markupsafe": "jinja2",
        "kombu": "kombu",
        "pgmq": "kombu",
        "starlette": "fastapi",
        "pydantic_core": "pydantic",
    }
    strange = []
    for module in modules():
        for i in imports(module):
            top = i.name.split(".")[0]
            if top in sys.stdlib_module_names or room_of(i.name) in MAY_IMPORT:
                continue
            if parts.get(top, top.replace("_", "-")) not in declared:
                strange.append(str(i))
    assert not strange, "\n".join(strange)


def _distribution(line: str) -> str:
    return line.split(">")[0].split("=")[0].split("[")[0].strip()
