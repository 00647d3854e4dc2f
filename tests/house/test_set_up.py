"""What a clean checkout stands on: locks, make, CI, and files that name no machine."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.house.source import ROOT, committed_files

LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-uv.lock")

_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==[^\s;]+( ;[^\\]*)? \\$")
_HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")

#: Places of a machine, not of a checkout. Examples in tests of hostile names are not paths of ours.
_MACHINE = re.compile(r"(?<![\w./-])/(work|home|Users|root|mnt|private|Volumes)/[\w.-]+")
_INDEX = re.compile(r"--(extra-)?index-url|--find-links|--trusted-host|https?://[^\s]*(/simple\b|pypi)", re.IGNORECASE)
#: They look for such words.
_READERS = {"tests/house/test_set_up.py"}


def _pyproject() -> dict[str, list[str]]:
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {
        "requirements.lock": found["project"]["dependencies"],
        "requirements-dev.lock": found["dependency-groups"]["dev"],
    }


def _names(lock: str) -> set[str]:
    return {m[1].lower() for line in (ROOT / lock).read_text().splitlines() if (m := _PINNED.match(line))}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_and_hashes_every_line_and_names_no_place(lock: str) -> None:
    lines = [
        line for line in (ROOT / lock).read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    odd = [line for line in lines if not _PINNED.match(line) and not _HASH.match(line)]
    assert not odd, f"{lock}: {odd[:5]}"
    assert "://" not in (ROOT / lock).read_text()


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_covers_what_the_project_declares(lock: str) -> None:
    wanted = {re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0].lower().replace("_", "-") for line in _pyproject()[lock]}
    assert wanted <= _names(lock), f"not in {lock}: {sorted(wanted - _names(lock))}; run `make lock`"


def test_the_development_lock_holds_the_runtime_lock_unchanged() -> None:
    def pins(lock: str) -> set[str]:
        return {line.removesuffix(" \\") for line in (ROOT / lock).read_text().splitlines() if _PINNED.match(line)}

    assert pins("requirements.lock") <= pins("requirements-dev.lock"), "run `make lock`"


def test_ci_runs_the_whole_suite() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK), "chmod +x .ci/run"
    text = script.read_text()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text
    assert re.search(r"^(exec )?make test$", text, re.MULTILINE)
    subprocess.run(["bash", "-n", str(script)], check=True, timeout=10)


def test_make_has_every_door_that_the_readme_names() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in ("demo", "up", "test", "check", "bench"):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_no_file_names_a_path_of_somebodys_machine_or_a_package_index() -> None:
    found = []
    for file in committed_files():
        name = file.relative_to(ROOT).as_posix()
        if name in _READERS:
            continue
        for number, line in enumerate(_text(file).splitlines(), 1):
            if _MACHINE.search(line) or (_INDEX.search(line) and "--no-emit-index-url" not in line):
                found.append(f"{name}:{number} {line.strip()[:80]}")
    assert not found, "\n".join(found)


def test_the_image_installs_only_what_is_locked() -> None:
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    installs = [line for line in lines if re.search(r"\b(pip install|pip sync)\b", line)]
    assert installs
    for line in installs:
        for command in re.findall(r"pip (?:install|sync)[^&|;]*", line):
            assert "--require-hashes" in command or "--no-deps" in command, command
    assert re.search(r"^USER (?!root)", (ROOT / "Dockerfile").read_text(), re.MULTILINE), "not as root"


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""  # not a text
