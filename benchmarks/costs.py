"""What a run cost: CPU by process, statements and WAL by Postgres' own account."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

#: Connections of the benchmark itself bear this name, and are not counted.
OBSERVER = "bench-observer"

#: The embedded build has no pg_stat_statements. So one statement in so many is logged, without its parameters, and
#: the lines are counted; of 10,000 statements that tells the number to about 4 %.
SAMPLE_SHARE = 0.05
POSTGRES_SETTINGS: Mapping[str, str] = {
    "log_line_prefix": "%m [%p] %a ",
    "log_min_duration_sample": "0",
    "log_statement_sample_rate": str(SAMPLE_SHARE),
    "log_parameter_max_length": "0",
}
#: A statement is executed once; parsing and binding it are logged by themselves, and are none.
_EXECUTED = re.compile(rb"^\d{4}-\d\d-\d\d \S+ \S+ \[\d+\] (.*) LOG:  duration: [\d.]+ ms  (?:execute |statement: )")

#: The log's collector writes a moment later.
_LOG_SETTLES_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The counters at one moment."""

    at_s: float
    cpu_s: Mapping[str, float]
    machine_s: float
    wal_bytes: int
    log_sizes: Mapping[Path, int]


class Meter:
    """Reads the counters of some processes and of one Postgres.

    Args:
        processes: a name for each part and the ids of its processes; their children count too.
        superuser: libpq's words for any database of it.
        logs: the folder of Postgres' logs.
    """

    def __init__(self, *, processes: Mapping[str, list[int]], superuser: str, logs: Path) -> None:
        self._processes = processes
        self._superuser = superuser
        self._logs = logs

    def read(self) -> Reading:
        """Read all counters now."""
        with psycopg.connect(self._superuser, autocommit=True, application_name=OBSERVER) as connection:
            row = connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint").fetchone()
        assert row is not None, "a function returns a row"
        return Reading(
            at_s=time.perf_counter(),
            cpu_s={name: sum(map(_cpu_s, pids)) for name, pids in self._processes.items()},
            machine_s=_machine_s(),
            wal_bytes=row[0],
            log_sizes={path: path.stat().st_size for path in self._logs.glob("postgresql-*.log")},
        )

    def cost(self, before: Reading, after: Reading, *, executions: int) -> dict[str, Any]:
        """Return what lay between two readings, for each execution."""
        wall_s = after.at_s - before.at_s
        used_s = {name: after.cpu_s[name] - before.cpu_s[name] for name in after.cpu_s}
        # The provider is the other side's computer: its time is shown, and is not the contender's.
        own_s = sum(seconds for name, seconds in used_s.items() if name != "provider")
        statements = self._statements(before.log_sizes)
        return {
            "executions": executions,
            "wall_s": round(wall_s, 2),
            "executions_per_s": round(executions / wall_s, 2),
            "cpu_s_per_execution": round(own_s / executions, 5),
            "statements_per_execution": round(statements / executions, 1),
            "wal_bytes_per_execution": round((after.wal_bytes - before.wal_bytes) / executions),
            "cpu_s": {name: round(seconds, 2) for name, seconds in used_s.items()},
            "cores_busy": round(sum(used_s.values()) / wall_s, 2),
            # What else this machine did meanwhile: with other work beside it only the ratios say something.
            "cores_busy_elsewhere": round(
                max(after.machine_s - before.machine_s - sum(used_s.values()), 0.0) / wall_s, 2
            ),
        }

    def _statements(self, begun_at: Mapping[Path, int]) -> float:
        """Return about how many statements ran since the logs had these sizes."""
        time.sleep(_LOG_SETTLES_S)
        found = 0
        for path in self._logs.glob("postgresql-*.log"):
            with path.open("rb") as log:
                log.seek(begun_at.get(path, 0))
                matches = (_EXECUTED.match(line) for line in log)
                found += sum(1 for m in matches if m is not None and m[1] != OBSERVER.encode())
        return found / SAMPLE_SHARE


def _machine_s() -> float:
    """Return the CPU time that all of this machine has used."""
    times = psutil.cpu_times()
    return float(times.user + times.system + getattr(times, "irq", 0.0) + getattr(times, "softirq", 0.0))


def _cpu_s(pid: int) -> float:
    """Return the CPU time of a process and its children, those that are gone included; 0 when it is gone itself."""
    if pid == os.getpid():
        # Our own children are the contenders' parts, which are counted by themselves.
        own = os.times()
        return own.user + own.system
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    used_s = 0.0
    for process in family:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used_s += times.user + times.system + times.children_user + times.children_system
    return used_s
