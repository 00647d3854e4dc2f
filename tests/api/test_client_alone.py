"""The client by itself: what it imports, and what its own package brings along."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import orchestrator.client

ROOT = Path(orchestrator.client.__file__).parents[2]
SERVER = ("sqlalchemy", "psycopg", "celery", "fastapi", "pydantic", "structlog", "alembic", "uvicorn", "cryptography")


def test_the_client_imports_nothing_of_the_server() -> None:
    script = "import sys, orchestrator.client as c; c.Client('http://127.0.0.1:1', 't'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in loaded if name.startswith("orchestrator.")}
    assert all(name.startswith("orchestrator.client") for name in ours), ours
    assert not {name.partition(".")[0] for name in loaded} & set(SERVER)


def test_its_package_brings_the_client_and_httpx_alone() -> None:
    said = tomllib.loads((ROOT / "clients" / "python" / "pyproject.toml").read_text(encoding="utf-8"))
    assert [need.partition(">")[0] for need in said["project"]["dependencies"]] == ["httpx"]
    assert said["tool"]["setuptools"]["packages"] == ["orchestrator.client"]
