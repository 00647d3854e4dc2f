"""How the embedded Postgres is set up.

All of it is given on the command line, so that an upgrade of the product reaches databases made before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from orchestrator.embedded.address import PORT
from orchestrator.embedded.serverlog import FOLDER as LOG_FOLDER

SETTINGS: Mapping[str, str] = {
    # Reached by the socket in its own folder and by nothing else.
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
    # A small machine that does other work too.
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "wal_compression": "on",
    "jit": "off",
    # Parallel plans need /dev/shm, which is 64 MB in a container, and more than two cores to be worth it.
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    # What was accepted is on the disk.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # Queue tables: dead rows must go soon, and nobody may pin them.
    "autovacuum_naptime": "15s",
    "idle_in_transaction_session_timeout": "30s",
    "timezone": "UTC",
    # A week of logs, each day's file begun anew. Terse and without statements: rows hold people's data.
    "logging_collector": "on",
    "log_directory": LOG_FOLDER,
    "log_filename": "postgresql-%a.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    "log_timezone": "UTC",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}
#: For tests: what was committed survives the server's death, not the machine's. (A commit still writes its log:
#: without synchronous_commit even `kill -9` of the server loses the last ones.)
NOT_DURABLE: Mapping[str, str] = {"fsync": "off", "full_page_writes": "off"}
#: A setting of our own, by which a running server tells how it was started.
FINGERPRINT = "orchestrator.started_with"


def fingerprint(settings: Mapping[str, str], programs: Path) -> str:
    """Return what a server started with these settings and programs says for FINGERPRINT."""
    program = (programs / "postgres").stat()  # replaced in place by an upgrade of the wheel
    words = [
        f"{programs} {program.st_size} {program.st_mtime_ns}",
        *(f"{name}={value}" for name, value in settings.items()),
    ]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def arguments(settings: Mapping[str, str], programs: Path) -> list[str]:
    """Return the command line for these settings."""
    told = {**settings, FINGERPRINT: fingerprint(settings, programs)}
    return [word for name, value in told.items() for word in ("-c", f"{name}={value}")]
