"""Each thing has one place: SQL, HTTP, messages, pages, the environment. A name in a list here has a reason."""

from __future__ import annotations

import ast
import re

from tests.house.source import FunctionNode, Module, docstrings, dotted, imports, modules, nodes

#: library -> where it may be imported (a prefix of the path).
LIBRARIES: dict[str, tuple[str, ...]] = {
    "httpx": ("orchestrator/providers/", "orchestrator/client/", "benchmarks/"),
    "httpcore": ("orchestrator/providers/",),
    "celery": ("workers/", "benchmarks/"),
    "kombu": ("workers/", "benchmarks/"),
    "pgmq": ("workers/",),
    "fastapi": ("orchestrator/api/", "orchestrator/web/"),
    "starlette": ("orchestrator/api/", "orchestrator/web/"),
    "jinja2": ("orchestrator/web/",),
    "uvicorn": ("orchestrator/api/",),
    "typer": ("orchestrator/cli/",),
    "rich": ("orchestrator/cli/",),
    "alembic": ("orchestrator/storage/migrate.py", "migrations/"),
    "cryptography": ("orchestrator/storage/sealing.py", "orchestrator/storage/signing.py"),
    "standardwebhooks": ("orchestrator/providers/webhooks.py",),
    "prometheus_client": ("orchestrator/engine/metrics.py",),
    "jsonschema": ("orchestrator/domain/intake/", "sandbox/"),
    "psycopg": (
        "orchestrator/storage/",
        "orchestrator/embedded/",
        "workers/broker.py",  # installs the queues' SQL
        "workers/pgmq_transport.py",  # knows a lost connection by its errors
        "orchestrator/cli/doctor.py",  # asks the database how it is when nothing else works
        "benchmarks/",
    ),
}

#: Above storage a verb passes the open transaction on, and knows it by this name only.
TRANSACTION_TYPE = "AsyncConnection"
SQLALCHEMY = ("orchestrator/storage/", "migrations/", "benchmarks/")
SQLALCHEMY_NAMES = {"workers/broker.py": {"make_url"}}  # reads a database's URL; opens nothing

SQL = re.compile(
    r"\s*(WITH\s+\w+\s+AS\b|SELECT\s|INSERT\s+INTO\s|UPDATE\s+\w+(\s+\w+)?\s+SET\s|DELETE\s+FROM\s|TRUNCATE\s|MERGE\s+INTO"
    r"|(CREATE|ALTER|DROP)\s+(TABLE|INDEX|UNIQUE|DATABASE|ROLE|FUNCTION|SEQUENCE|TRIGGER|VIEW|SCHEMA)|COPY\s+\w+)"
)
SQL_PLACES = {
    "orchestrator/storage/": "all SQL of the product",
    "migrations/": "the schema",
    "benchmarks/": "what the product is measured against",
    "orchestrator/embedded/postgres.py": "makes the role and the databases of an embedded server, as its superuser",
    "workers/broker.py": "installs the queues' SQL, once",
    "orchestrator/cli/doctor.py": "asks the server for its version and its clock when nothing else works",
}

ENVIRONMENT = {
    "orchestrator/settings.py": "the one reader of ORCH_…",
    "orchestrator/client/": "the client shares no code with the server, and finds it by ORCH_URL and ORCH_TOKEN",
    "orchestrator/embedded/environment.py": "hands our own environment on to the supervisor's children",
    "sandbox/control.py": "hands our own environment on to the sandbox's process",
}
_READS_ENVIRONMENT = {"os.environ", "os.environb", "os.getenv", "os.putenv", "os.unsetenv"}


#: Queries that are put together when they run, of constants of ours: (file, function) -> why.
BUILT = {
    ("orchestrator/storage/runs.py", "page"): "a list has any of a dozen filters, and one plan for all is a bad one",
    ("orchestrator/storage/runs.py", "last_judged"): "where such a page ends",
    ("orchestrator/storage/batches.py", "page"): "as runs",
    ("orchestrator/storage/matching.py", "_page"): "as runs, for a bulk operation",
    ("orchestrator/storage/run_look.py", "count"): "as runs, counted up to a bound",
}


def _within(module: Module, places: object) -> bool:
    assert isinstance(places, tuple | dict)
    return any(module.path.startswith(place) for place in places)


def test_each_library_is_used_in_its_own_room_only() -> None:
    strayed = [
        str(i)
        for module in modules()
        for i in imports(module)
        if (top := i.name.split(".")[0]) in LIBRARIES and not _within(module, LIBRARIES[top])
    ]
    assert not strayed, "\n".join(strayed)


def test_outside_storage_sqlalchemy_is_only_the_type_of_an_open_transaction() -> None:
    strayed = []
    for module in modules():
        if _within(module, SQLALCHEMY):
            continue
        allowed = {TRANSACTION_TYPE, *SQLALCHEMY_NAMES.get(module.path, set())}
        for node in nodes(module):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sqlalchemy":
                strayed += [f"{module.path}:{node.lineno} {a.name}" for a in node.names if a.name not in allowed]
            if isinstance(node, ast.Import):
                strayed += [f"{module.path}:{node.lineno}" for a in node.names if a.name.startswith("sqlalchemy")]
    assert not strayed, "\n".join(strayed)


def test_all_sql_is_in_storage_and_migrations() -> None:
    strayed = []
    for module in modules():
        if _within(module, SQL_PLACES):
            continue
        words = docstrings(module)
        strayed += [
            f"{module.path}:{node.lineno} {node.value.strip()[:60]}"
            for node in nodes(module)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in words
            and SQL.match(node.value)
        ]
    assert not strayed, "\n".join(strayed)


def test_only_settings_read_the_environment() -> None:
    strayed = []
    for module in modules():
        if _within(module, ENVIRONMENT):
            continue
        for node in nodes(module):
            if isinstance(node, ast.Attribute) and dotted(node) in _READS_ENVIRONMENT:
                strayed.append(f"{module.path}:{node.lineno} {dotted(node)}")
            if isinstance(node, ast.ImportFrom) and node.module == "os":
                strayed += [f"{module.path}:{node.lineno}" for a in node.names if a.name in ("environ", "getenv")]
    assert not strayed, "\n".join(strayed)


def test_a_place_that_is_excused_still_needs_the_excuse() -> None:
    paths = {module.path for module in modules()}
    excused = [*SQL_PLACES, *ENVIRONMENT, *SQLALCHEMY, *(p for places in LIBRARIES.values() for p in places)]
    gone = [place for place in excused if not any(path.startswith(place) for path in paths)]
    assert not gone, f"nothing is there any more: {gone}"


def test_every_query_of_storage_has_an_upper_case_name_at_the_top_of_its_module() -> None:
    hidden = []
    for module in modules():
        if module.room != "orchestrator.storage":
            continue
        named = {id(call) for node in module.tree.body for call in _queries(node) if _is_constant(node)}
        named |= {
            id(call) for function in module.functions() if _is_built(module, function) for call in _queries(function)
        }
        hidden += [f"{module.path}:{call.lineno}" for call in _queries(module.tree) if id(call) not in named]
    assert not hidden, "\n".join(hidden)


def test_a_query_that_locks_or_fences_says_why() -> None:
    silent = []
    for module in modules():
        if module.room != "orchestrator.storage":
            continue
        lines = module.text.splitlines()
        for node in module.tree.body:
            if not _is_constant(node) or not any(True for _ in _queries(node)):
                continue
            source = "\n".join(lines[node.lineno - 1 : node.end_lineno])
            reasoned = lines[node.lineno - 2].lstrip().startswith("#") or "# " in lines[node.lineno - 1]
            if ("SKIP LOCKED" in source or "MATERIALIZED" in source) and not reasoned:
                silent.append(f"{module.path}:{node.lineno}")
    assert not silent, "\n".join(silent)


def _queries(node: ast.AST) -> list[ast.Call]:
    return [n for n in ast.walk(node) if isinstance(n, ast.Call) and dotted(n.func) in ("text", "sqlalchemy.text")]


def _is_built(module: Module, function: FunctionNode) -> bool:
    return (module.path, function.name) in BUILT


def _is_constant(node: ast.AST) -> bool:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name.isupper()
        case _:
            return False


def test_nothing_in_the_product_acts_at_a_fault_point() -> None:
    watchers = [
        str(i)
        for module in modules()
        for i in imports(module)
        if i.name.startswith("orchestrator.faultpoints.") and i.name.split(".")[-1] not in {"Point", "reach"}
    ]
    assert not watchers, "a fault point is inert: only tests watch\n" + "\n".join(watchers)
