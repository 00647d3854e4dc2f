"""`python -m tests.api.described`: many requests made from the API's own description; each answer must be as described.

A server of its own, over a Postgres and a sandbox of its own; nothing of it stays. Exit code 1, too, where next to
nothing was asked: refusals are as described, so a token that died on the way would let everything pass.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.cli.prepare import prepare_database
from orchestrator.client import Client, ClientError
from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.settings import Settings
from sandbox.control import Sandbox
from tests.api.conftest import _first_token, running

#: No schema can say which cursor belongs to a list, or that a period begins before it ends: what is described may be
#: refused, with 4xx and a reason. What is not described may never be accepted; that check is on, as all others are.
EXCLUDED = "positive_data_acceptance"

#: These take away what the others need: the token that asks, and the connection. `test_access.py` asks them.
UNASKED = ("revoke_token", "remove_connection")

#: Of the answers to the token that asks, at most such a share may say that it is none, or to come again later.
MOST_TURNED_AWAY = 0.03
TURNED_AWAY = (401, 429)


class Door:
    """Counts the answers, by status, to requests that carry one token. Others are sent without it on purpose."""

    def __init__(self) -> None:
        self.token = ""
        self.answers: Counter[int] = Counter()

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """Return the application with the counting before it."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            shown = [value for name, value in scope.get("headers", ()) if name == b"authorization"]

            async def told(message: Message) -> None:
                if message["type"] == "http.response.start" and shown == [f"Bearer {self.token}".encode()]:
                    self.answers[message["status"]] += 1
                await send(message)

            await app(scope, receive, told)

        return counted


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; the exit code is the checker's, or 1 where the run was hollow."""
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
    postgres = EmbeddedPostgres(folder, durable=False)
    postgres.start()
    try:
        settings = Settings.model_validate(
            {"database_url": postgres.dsn(), "data_dir": folder, "port": 0, "allow_private_networks": True}
        )
        prepare_database(settings)
        _, token = asyncio.run(_first_token(settings, "default"))
        door = Door()
        with running(settings, seen_by=door) as url:
            with Client(url, token) as client:
                client.connections.add(
                    "main", provider="script", base_url=sandbox.api_url, api_key=sandbox.key, requests_per_minute=6000
                )
            door.token = token
            code = _ask(url, token, given)
            with Client(url, token) as client:
                fault = hollow(door.answers, at_the_end=_still_works(client))
        print(f"answers to the token that asks: {dict(sorted(door.answers.items()))}")
        if fault:
            print(f"HOLLOW: {fault}")
        return code or int(bool(fault))
    finally:
        postgres.stop()


def hollow(answers: Mapping[int, int], *, at_the_end: str | None) -> str | None:
    """Return why what was asked says little about the API; None where it does say something.

    Args:
        answers: to the token that asks, by status.
        at_the_end: why the token is refused after all was asked, None where it is not.
    """
    asked, turned_away = sum(answers.values()), sum(answers.get(status, 0) for status in TURNED_AWAY)
    if at_the_end is not None:
        return f"the token that asks works no more: {at_the_end}"
    if not any(200 <= status < 300 for status in answers):
        return "nothing that was asked with the token was done"
    if turned_away > MOST_TURNED_AWAY * asked:
        return f"{turned_away} of {asked} requests with the token were turned away with 401 or 429"
    return None


def _still_works(client: Client) -> str | None:
    try:
        client.tokens.list()
    except ClientError as error:
        return str(error)
    return None


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
    # The server's line for each request would come between what is found.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    sys.exit(main())
