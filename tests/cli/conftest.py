"""The product, running once for all these tests, with a sandbox to talk to; and the command line, run in process."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.main import main
from orchestrator.client import Client
from orchestrator.embedded.supervisor import Supervisor
from orchestrator.settings import Settings
from sandbox.control import Sandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """What runs."""

    url: str
    token: str
    folder: Path
    client: Client
    sandbox: Sandbox
    connection: str


@pytest.fixture(scope="package")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """Its processes go with these tests: a product that waits for work takes the processor from whoever comes after."""
    folder = tmp_path_factory.mktemp("product")
    given = {"data_dir": folder, "port": 0, "workers": 1, "allow_private_networks": True}
    supervisor = Supervisor(Settings.model_validate(given), say=lambda _line: None)
    with Sandbox(options={"duration_s": 0.2, "duration_sigma": 0, "requests_per_minute": 0}) as sandbox:
        supervisor.start()
        try:
            known = json.loads((folder / "client.json").read_bytes())
            with Client(known["url"], known["token"]) as client:
                client.connections.add(
                    "main",
                    provider="script",
                    base_url=sandbox.api_url,
                    api_key=sandbox.key,
                    requests_per_minute=6000,
                )
                yield Product(
                    url=known["url"],
                    token=known["token"],
                    folder=folder,
                    client=client,
                    sandbox=sandbox,
                    connection="main",
                )
        finally:
            supervisor.stop(patience_s=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def problem(self) -> Any:
        return json.loads(self.err)


Cli = Callable[..., Said]


@pytest.fixture
def bare(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """The command line where no server is known."""
    monkeypatch.chdir(tmp_path)
    for name in ("ORCH_URL", "ORCH_TOKEN", "ORCH_DATA_DIR", "ORCH_CONFIG", "ORCH_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str | Path, stdin: bytes = b"") -> Said:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Said(code=code, out=said.out, err=said.err)

    return run


@pytest.fixture
def cli(bare: Cli, product: Product, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line of the running product."""
    monkeypatch.setenv("ORCH_URL", product.url)
    monkeypatch.setenv("ORCH_TOKEN", product.token)
    return bare
