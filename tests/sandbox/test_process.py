"""The sandbox as a process: what it prints, how it ends, what bytes it bears, and what it must not know."""

import ast
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import sandbox
from sandbox.control import ControlError, Sandbox
from tests.sandbox.conftest import KEY, Client

_PACKAGE = Path(sandbox.__file__).parent


def test_the_sandbox_imports_nothing_of_the_product() -> None:
    for file in _PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] in ("orchestrator", "workers")], file


def test_help_teaches_the_options_the_doors_the_hints_and_the_faults() -> None:
    text = subprocess.run(
        [sys.executable, "-m", "sandbox", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for word in ("over_concurrent", "GET /truth", "outcome", "reset_after", "--exit-with-parent", "x-api-key"):
        assert word in text


def test_sigterm_ends_it_cleanly_and_the_ready_file_holds_its_urls(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    command = [sys.executable, "-m", "sandbox", "--ready-file", str(ready), "--duration-s", "9", "--seed", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        urls = json.loads(process.stdout.readline())
        assert json.loads(ready.read_text()) == urls
        assert urls["api_url"].endswith("/api/v1") and urls["control_url"].endswith("/_sandbox")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
        assert (process.returncode, errors) == (0, "")


def test_it_exits_when_the_process_that_started_it_is_gone() -> None:
    starter = "from sandbox.control import Sandbox; import os; print(Sandbox().api_url, flush=True); os._exit(0)"
    # The sandbox holds the other end of stderr's pipe too, so `run` returns only when it is gone as well.
    started = subprocess.run([sys.executable, "-c", starter], capture_output=True, text=True, check=True, timeout=20)
    url = urlsplit(started.stdout.strip())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((url.hostname, url.port), timeout=3)


def test_a_wrong_option_ends_the_start_with_its_reason(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ControlError, match="exit code 2"):
        Sandbox(options={"batch_oder": "index"})
    assert "did you mean 'batch_order'" in capfd.readouterr().err


def test_two_requests_in_one_packet_are_answered_in_order(client: Client) -> None:
    url = urlsplit(client.sandbox.api_url)
    head = f"GET {url.path}{{}} HTTP/1.1\r\nx-api-key: {KEY}\r\n"
    with socket.create_connection((url.hostname, url.port), timeout=3) as connection:
        first, last = head.format("/nowhere"), head.format("/workflows") + "connection: close\r\n"
        connection.sendall(f"{first}\r\n{last}\r\n".encode())
        received = b""
        while piece := connection.recv(65_536):
            received += piece
    assert received.count(b"HTTP/1.1 ") == 2
    assert received.index(b"404 Not Found") < received.index(b"200 OK")


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"x" * 70000,
    ],
)
def test_bytes_that_are_no_http_are_answered_400_and_the_end(client: Client, sent: bytes) -> None:
    url = urlsplit(client.sandbox.api_url)
    with socket.create_connection((url.hostname, url.port), timeout=3) as connection:
        connection.sendall(sent)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 400 ")


def test_an_idle_connection_is_closed_after_its_time(client: Client) -> None:
    url = urlsplit(client.sandbox.api_url)
    client.sandbox.options(keep_alive_s=0.1)
    with socket.create_connection((url.hostname, url.port), timeout=3) as connection:
        assert connection.recv(1) == b""
