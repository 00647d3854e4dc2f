"""One sandbox process for all tests of this folder, brought back to its defaults, its clock still, before each."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from sandbox.control import Sandbox

KEY = "sk-sandbox"
SCRIPE_AUTH = {"Authorization": "Bearer scripe_sk_test_sandbox"}
#: No proxy, and no certificates to load: it is all plain HTTP on this machine.
_PLAIN: dict[str, Any] = {"timeout": 5, "trust_env": False, "verify": False}


@dataclass(frozen=True, slots=True)
class Client:
    """The API as a client sees it, with the sandbox behind it."""

    sandbox: Sandbox
    http: httpx.Client
    #: Sends no key: for the result files and for strangers.
    outside: httpx.Client
    #: The Scripe API of the same sandbox.
    scripe: httpx.Client

    @property
    def scoring(self) -> str:
        return f"/workflows/{self.sandbox.workflows['Score customer']}"

    @property
    def free(self) -> str:
        return f"/workflows/{self.sandbox.workflows['Free form']}"

    def launch(self, hints: str = "", **fields: Any) -> str:
        """Launch one execution of the workflow without a schema; return its id."""
        answer = self.http.post(f"{self.free}/executions", json={"input": {**fields, "sandbox": hints}})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["execution_id"])

    def launch_batch(self, n: int, concurrency: str, hints: str = "duration_s=10") -> list[str]:
        items = [{"n": number, "sandbox": hints} for number in range(n)]
        answer = self.http.post(
            f"{self.free}/executions/batch", json={"items": items, "concurrency": concurrency}, timeout=30
        )
        assert answer.status_code == 200, answer.text
        return [row["execution_id"] for row in answer.json()["executions"]]

    def look(self, execution_id: str) -> dict[str, Any]:
        answer = self.http.get(f"{self.free}/executions/{execution_id}")
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def finished(self, hints: str = "") -> dict[str, Any]:
        """Launch one execution, turn the clock past its end, and return the look at it."""
        execution_id = self.launch(f"duration_s=1; {hints}")
        self.sandbox.advance(2)
        return self.look(execution_id)


@pytest.fixture(scope="session")
def _process() -> Iterator[tuple[Sandbox, dict[str, Any]]]:
    with Sandbox(time_scale=0) as sandbox:
        yield sandbox, sandbox.options()


@pytest.fixture
def client(_process: tuple[Sandbox, dict[str, Any]]) -> Iterator[Client]:
    sandbox, defaults = _process
    sandbox.options(**defaults)
    sandbox.set_scale(0)
    sandbox.reset()
    with (
        httpx.Client(base_url=sandbox.api_url, headers={"x-api-key": KEY}, **_PLAIN) as http,
        httpx.Client(**_PLAIN) as outside,
        httpx.Client(base_url=sandbox.scripe_url, headers=SCRIPE_AUTH, **_PLAIN) as scripe,
    ):
        yield Client(sandbox, http, outside, scripe)
