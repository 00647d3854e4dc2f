"""`orchestrator doctor`: everything that must be right, looked at one by one, with what to do where it is not."""

from __future__ import annotations

import shutil
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import psycopg

from orchestrator.client import ClientError, discover
from orchestrator.embedded.datadir import SECRET_KEY_BYTES, DataDir
from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.errors import OrchestratorError
from orchestrator.settings import Settings, load_settings
from orchestrator.storage.migrate import current_state

FREE_WARN_BYTES = 5_000_000_000
FREE_FAIL_BYTES = 500_000_000
CLOCK_WARN_S = 2.0
UNSIGNED_S = 3900.0
CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 5.0
START = "orchestrator up"


class Level(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at, and what to do about it."""

    name: str
    level: Level
    found: str
    do: str = ""

    @property
    def has_failed(self) -> bool:
        return self.level is Level.FAIL

    def shown(self) -> dict[str, str]:
        """Return it for printing."""
        return {"check": self.name, "level": self.level.value, "found": self.found, "do": self.do}


def examine() -> list[Check]:
    """Look at everything; a check that cannot be made has failed."""
    try:
        settings = load_settings()
    except OrchestratorError as error:
        return [Check(name="settings", level=Level.FAIL, found=error.message, do=error.hint or "")]
    database_url, first = _database(settings)
    data = DataDir(settings.data_dir)
    checks = [_data_folder(data), _claim(data, settings), *first]
    if database_url is not None:
        checks += [_attempt("migrations", lambda: _migrations(database_url))]
        checks += [_attempt("launches", lambda: _launches(database_url))]
        checks += [_attempt("history", lambda: _history(database_url, settings))]
        checks += [_attempt("schedules", lambda: _schedules(database_url))]
        checks += [_attempt("providers", lambda: _providers(database_url))]
        checks += [_attempt("clock", lambda: _clock(database_url))]
    checks += [*_api(settings), _disk(data), _secret_key(data, settings), _private_networks(settings)]
    return checks


def _attempt(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except (OrchestratorError, OSError, psycopg.Error) as error:
        hint = error.hint if isinstance(error, OrchestratorError) else None
        return Check(name=name, level=Level.FAIL, found=str(error).strip().splitlines()[0], do=hint or START)


def _data_folder(data: DataDir) -> Check:
    if not data.root.exists():
        return Check(name="data folder", level=Level.WARN, found=f"{data.root} does not exist yet", do=START)
    mode = stat.S_IMODE(data.root.stat().st_mode)
    if mode & 0o077:
        found = f"{data.root} can be entered by others (mode {mode:o})"
        return Check(name="data folder", level=Level.WARN, found=found, do=f"chmod 700 {data.root}")
    return Check(name="data folder", level=Level.OK, found=str(data.root))


def _claim(data: DataDir, settings: Settings) -> Check:
    holder = data.holder() if data.root.exists() else None
    if holder is not None:
        return Check(name="supervisor", level=Level.OK, found=str(holder))
    if settings.database_url is not None:
        return Check(name="supervisor", level=Level.OK, found="none here; a database is named (a cluster)")
    return Check(name="supervisor", level=Level.FAIL, found="the product does not run in this folder", do=START)


def _database(settings: Settings) -> tuple[str | None, list[Check]]:
    """Return the database's URL, None when there is none to ask, and what was found of it."""
    if settings.database_url is not None:
        url = settings.require_database_url()
        return url, [_attempt("database", lambda: _answers(url))]
    postgres = EmbeddedPostgres(settings.data_dir)
    if not DataDir(settings.data_dir).root.exists() or postgres.pid is None:
        return None, [Check(name="database", level=Level.FAIL, found="PostgreSQL does not run", do=START)]
    url = postgres.dsn()
    return url, [_attempt("database", lambda: _answers(url))]


def _libpq(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def _answers(url: str) -> Check:
    with psycopg.connect(_libpq(url), connect_timeout=CONNECT_TIMEOUT_S) as connection:
        row = connection.execute("SELECT current_setting('server_version')").fetchone()
    return Check(name="database", level=Level.OK, found=f"PostgreSQL {row[0] if row else ''} answers")


def _migrations(url: str) -> Check:
    state = current_state(url)
    if state.is_current:
        return Check(name="migrations", level=Level.OK, found=f"at {state.current}")
    found = f"the database is at {state.current or 'nothing'}, this version needs {state.needed}"
    return Check(name="migrations", level=Level.FAIL, found=found, do="orchestrator migrate")


def _launches(url: str) -> Check:
    with psycopg.connect(_libpq(url), connect_timeout=CONNECT_TIMEOUT_S) as connection:
        try:
            held = connection.execute("SELECT because FROM launch_holds ORDER BY held_at LIMIT 1").fetchone()
        except psycopg.errors.UndefinedTable:
            return Check(name="launches", level=Level.FAIL, found="the schema is too old", do="orchestrator migrate")
    if held is not None:
        return Check(name="launches", level=Level.FAIL, found=f"held: {held[0]}", do="orchestrator admin held")
    return Check(name="launches", level=Level.OK, found="not held")


def _history(url: str, settings: Settings) -> Check:
    """Say when the history was last signed, and where what was signed is kept."""
    query = "SELECT extract(epoch FROM orch_now() - max(at)) FROM checkpoints"
    with psycopg.connect(_libpq(url), connect_timeout=CONNECT_TIMEOUT_S) as connection:
        try:
            row = connection.execute(query).fetchone()
        except psycopg.errors.UndefinedTable:
            return Check(name="history", level=Level.FAIL, found="the schema is too old", do="orchestrator migrate")
    if row is None or row[0] is None:
        return Check(name="history", level=Level.OK, found="not signed yet; a worker does it within a minute")
    if row[0] > UNSIGNED_S:
        found = f"last signed {row[0] / 60:.0f} min ago"
        return Check(name="history", level=Level.WARN, found=found, do="See logs/worker-*.log for why.")
    place = settings.anchors or "beside the data; keep a copy where nobody here can change it"
    return Check(name="history", level=Level.OK, found=f"signed {row[0]:.0f} s ago; anchors: {place}")


def _schedules(url: str) -> Check:
    """Say whether ticks of the last day were missed, and of which schedules."""
    query = """
        SELECT count(*), string_agg(DISTINCT s.name, ', ' ORDER BY s.name), (SELECT count(*) FROM schedules
            WHERE removed_at IS NULL) FROM fires f JOIN schedules s ON s.id = f.schedule_id AND s.removed_at IS NULL
        WHERE f.workspace_id IN (SELECT id FROM workspaces) AND f.nominal_at > orch_now() - interval '1 day'
            AND f.state = 'missed'"""
    with psycopg.connect(_libpq(url), connect_timeout=CONNECT_TIMEOUT_S) as connection:
        try:
            row = connection.execute(query).fetchone()
        except psycopg.errors.UndefinedTable:
            return Check(name="schedules", level=Level.FAIL, found="the schema is too old", do="orchestrator migrate")
    missed, names, there = row if row is not None else (0, None, 0)
    if missed:
        found = f"{missed:,} {'tick' if missed == 1 else 'ticks'} missed in the last 24 h: {str(names)[:200]}"
        return Check(
            name="schedules", level=Level.WARN, found=found, do="orchestrator schedule fires NAME --state missed"
        )
    return Check(name="schedules", level=Level.OK, found=f"{there:,}; no tick missed in the last 24 h")


def _providers(url: str) -> Check:
    """Say which connections' versions end or are taken no more, and whose provider allows less than was declared."""
    query = """
        SELECT c.name, c.api_version, c.ending_told_at IS NOT NULL AS ends, c.ending_sunset_at::date AS sunset,
            l.launches_stopped = 'version_unsupported' AS is_over, l.told_limit, l.requests_per_minute,
            (SELECT count(*) FROM connections WHERE removed_at IS NULL) AS there
        FROM connections c JOIN lanes l ON l.id = c.lane_id WHERE c.removed_at IS NULL
        ORDER BY is_over DESC NULLS LAST, ends DESC, told_limit NULLS LAST, c.name LIMIT 1"""
    with psycopg.connect(_libpq(url), connect_timeout=CONNECT_TIMEOUT_S) as connection:
        try:
            row = connection.execute(query).fetchone()
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
            return Check(name="providers", level=Level.FAIL, found="the schema is too old", do="orchestrator migrate")
    if row is None:
        return Check(name="providers", level=Level.OK, found="no connections yet")
    name, version, ends, sunset, is_over, told_limit, declared, there = row
    set_version = f"orchestrator connection set {name} --api-version YYYY-MM-DD"
    if is_over:
        found = f"{name}: the provider does not take API version {version}; nothing is launched"
        return Check(name="providers", level=Level.FAIL, found=found, do=f"{set_version}, or upgrade this program")
    if ends:
        found = f"{name}: API version {version} will end{f' on {sunset}' if sunset else ''}, says the provider"
        return Check(name="providers", level=Level.WARN, found=found, do=set_version)
    if told_limit is not None:
        found = f"{name}: the provider takes {told_limit} requests in 60 s, not {declared} as declared; that is kept"
        do = f"orchestrator connection set {name} --requests-per-minute {told_limit}"
        return Check(name="providers", level=Level.WARN, found=found, do=do)
    found = f"{there:,} {'connection' if there == 1 else 'connections'}; no API version ends, no limit is lower"
    return Check(name="providers", level=Level.OK, found=found)


def _clock(url: str) -> Check:
    with psycopg.connect(_libpq(url), connect_timeout=CONNECT_TIMEOUT_S) as connection:
        row = connection.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone()
        off_s = abs(float(row[0]) - time.time()) if row else 0.0
    if off_s > CLOCK_WARN_S:
        found = f"this clock and the database's are {off_s:.1f} s apart"
        return Check(name="clock", level=Level.WARN, found=found, do="Let both be set by NTP.")
    return Check(name="clock", level=Level.OK, found=f"{off_s * 1000:.0f} ms from the database's")


def _api(settings: Settings) -> list[Check]:
    try:
        with discover(settings.data_dir, timeout_s=ANSWER_TIMEOUT_S) as client:
            ready = client.system.ready()
            client.connections.list()
    except ClientError as error:
        found = error.message
        return [Check(name="API", level=Level.FAIL, found=found, do=error.hint or START)]
    workers = ready.get("workers") or {}
    alive = int(workers.get("alive") or 0)
    checks = [Check(name="API", level=Level.OK, found=f"{client.url} answers and takes our token")]
    if not alive:
        do = "orchestrator worker (in a cluster), or see logs/worker-*.log"
        return [*checks, Check(name="workers", level=Level.FAIL, found="no worker is alive", do=do)]
    if not workers.get("progressing", True):
        found = f"{alive} alive, but due work does not move"
        return [*checks, Check(name="workers", level=Level.FAIL, found=found, do="See logs/worker-*.log")]
    return [*checks, Check(name="workers", level=Level.OK, found=f"{alive} alive")]


def _disk(data: DataDir) -> Check:
    place = data.root if data.root.exists() else data.root.parent
    free = shutil.disk_usage(place).free
    found = f"{free / 1e9:.1f} GB free for {data.root}"
    if free < FREE_FAIL_BYTES:
        return Check(name="disk", level=Level.FAIL, found=found, do="Free some space; results cannot be stored.")
    if free < FREE_WARN_BYTES:
        return Check(name="disk", level=Level.WARN, found=found, do="Free some space.")
    return Check(name="disk", level=Level.OK, found=found)


def _secret_key(data: DataDir, settings: Settings) -> Check:
    if settings.secret_key is not None:
        return Check(name="secret key", level=Level.OK, found="from ORCH_SECRET_KEY")
    path = data.keys / "secret.key"
    if not path.exists():
        return Check(name="secret key", level=Level.WARN, found="none yet; it is made at the first start", do=START)
    found = path.stat()
    if found.st_size != SECRET_KEY_BYTES:
        return Check(name="secret key", level=Level.FAIL, found=f"{path} is damaged", do="Put it back from a backup.")
    if stat.S_IMODE(found.st_mode) & 0o077:
        return Check(name="secret key", level=Level.FAIL, found=f"{path} is open to others", do=f"chmod 600 {path}")
    return Check(name="secret key", level=Level.OK, found=f"{path}; keep a backup of it apart from the data")


def _private_networks(settings: Settings) -> Check:
    if settings.allow_private_networks:
        found = "connections may name private addresses (ORCH_ALLOW_PRIVATE_NETWORKS)"
        return Check(name="private networks", level=Level.WARN, found=found, do="Unset it but for tests.")
    return Check(name="private networks", level=Level.OK, found="refused")
