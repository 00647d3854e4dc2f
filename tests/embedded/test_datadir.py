"""The data folder belongs to one user, and its keys are made once."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.embedded.datadir import DataDir
from orchestrator.errors import Misconfigured, NotFound


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_data_folder_and_all_in_it_is_for_its_owner_only(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "some" / "where")
    data.create()
    data.create()
    folders = [data.root, *data.root.iterdir()]
    assert {path.name for path in folders[1:]} == {"postgres", "artifacts", "inputs", "keys", "logs", "run"}
    assert {mode_of(path) for path in folders} == {0o700}


def test_a_folder_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o755)
    DataDir(home).create()
    assert mode_of(home) == 0o755
    assert mode_of(home / "keys") == 0o700


def test_a_data_folder_that_cannot_be_made_says_which_setting_names_another(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured) as caught:
        DataDir(tmp_path / "file" / "data").create()
    assert "ORCH_DATA_DIR" in str(caught.value.hint)


def test_the_secret_key_is_private_and_the_same_each_time(tmp_path: Path) -> None:
    key = DataDir(tmp_path).secret_key()
    assert len(key) == 32
    assert DataDir(tmp_path).secret_key() == key
    assert [mode_of(path) for path in (tmp_path / "keys").iterdir()] == [0o600]


def test_processes_that_make_the_key_at_once_agree_on_one(tmp_path: Path) -> None:
    DataDir(tmp_path).create()
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: DataDir(tmp_path).secret_key(), range(64)))
    assert len(keys) == 1
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["secret.key"]


def test_a_damaged_secret_key_is_refused_and_not_replaced(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    data.secret_key()
    (data.keys / "secret.key").write_bytes(b"short")
    with pytest.raises(Misconfigured, match="holds 5 bytes"):
        data.secret_key()
    assert (data.keys / "secret.key").read_bytes() == b"short"


def test_a_password_that_was_never_made_is_not_found(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    data.create()
    with pytest.raises(NotFound):
        data.password("postgres")
    assert data.make_password("postgres") == data.password("postgres")


def test_the_client_file_is_private_and_replaced_as_a_whole(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    data.create()
    data.write_client({"url": "http://127.0.0.1:1", "token": "a"})
    data.write_client({"url": "http://127.0.0.1:1", "token": "b"})
    assert json.loads(data.client_file.read_text())["token"] == "b"
    assert mode_of(data.client_file) == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["client.json"]
