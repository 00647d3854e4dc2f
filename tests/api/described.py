"""`python -m tests.api.described`: many requests made from the API's own description; each answer must be as described.

A server of its own, over a Postgres and a sandbox of its own; nothing of it stays.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from orchestrator.cli.prepare import prepare_database
from orchestrator.client import Client
from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.settings import Settings
from sandbox.control import Sandbox
from tests.api.conftest import _first_token, running

#: No schema can say which cursor belongs to a list, or that a period begins before it ends: what is described may be
#: refused, with 4xx and a reason. What is not described may never be accepted; that check is on, as all others are.
EXCLUDED = "positive_data_acceptance"

#: These take away what the others need: the token that asks, and the connection. `test_access.py` asks them.
UNASKED = ("revoke_token", "remove_connection")


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; the exit code is the checker's."""
    parser = argparse.ArgumentParser(prog="python -m tests.api.described", description=__doc__)
    parser.add_argument(
        "--examples", type=int, default=100, help="made of each operation, about (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of what is made (default: %(default)s)")
    parser.add_argument("--phases", default="examples,coverage,fuzzing,stateful", help="default: %(default)s")
    parser.add_argument("--quiet", action="store_true", help="print only the sum")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, Sandbox(options={"requests_per_minute": 0}) as sandbox:
        return _check(Path(folder), sandbox, given)


def _check(folder: Path, sandbox: Sandbox, given: argparse.Namespace) -> int:
    postgres = EmbeddedPostgres(folder)
    postgres.start()
    try:
        settings = Settings.model_validate(
            {"database_url": postgres.dsn(), "data_dir": folder, "port": 0, "allow_private_networks": True}
        )
        prepare_database(settings)
        _, token = asyncio.run(_first_token(settings, "default"))
        with running(settings) as url:
            with Client(url, token) as client:
                client.connections.add(
                    "main", provider="script", base_url=sandbox.api_url, api_key=sandbox.key, requests_per_minute=6000
                )
            return _ask(url, token, given)
    finally:
        postgres.stop()


#: A provider that is away is no bug of ours, and a URL that is too long is refused before it is read.
EXPECTED = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503]

[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "414", "415", "422", "428", "429", "5xx"]
"""


def _ask(url: str, token: str, given: argparse.Namespace) -> int:
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/api/v1/openapi.json",
        "--header", f"Authorization: Bearer {token}", "--phases", given.phases,
        "--checks", "all", "--exclude-checks", EXCLUDED, "--max-examples", str(given.examples),
        "--seed", str(given.seed), "--continue-on-failure", "--no-color", "--suppress-health-check", "all",
        # One expression: of several only the last counts.
        "--exclude-operation-id-regex", f"^({'|'.join(UNASKED)})_",
    ]  # fmt: skip
    # It writes what it found into the folder that it runs in.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "schemathesis.toml").write_text(EXPECTED)
        done = subprocess.run(command, capture_output=given.quiet, text=True, check=False, cwd=folder)
    if given.quiet:
        sys.stdout.write(done.stdout if done.returncode else done.stdout[-900:])
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
