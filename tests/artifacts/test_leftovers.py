"""What lies in a store and no row names: removed whole, and only of the run that is meant."""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path

import pytest

from orchestrator.artifacts.leftovers import Leftovers
from orchestrator.artifacts.local import PARTS, LocalStore
from orchestrator.engine.ports import Leftovers as Port
from orchestrator.errors import StoreFull, Unavailable

pytestmark = pytest.mark.anyio

WORKSPACE, RUN, OTHER = (f"0195a000-0000-7000-8000-00000000000{n}" for n in range(3))


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "artifacts")


def put(store: LocalStore, run: str, name: str = "1/0.7") -> Path:
    path = store.root / WORKSPACE / run / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


async def test_everything_of_a_run_goes_and_nothing_of_another(store: LocalStore) -> None:
    leftovers: Port = Leftovers(store)
    gone = [put(store, RUN), put(store, RUN, "1/0.8"), put(store, RUN, "2/3.9")]
    stays = put(store, OTHER)
    await leftovers.remove_all(f"{WORKSPACE}/{RUN}")
    assert (any(path.exists() for path in gone), stays.exists()) == (False, True)
    await leftovers.remove_all(f"{WORKSPACE}/{OTHER}")
    assert sorted(path.name for path in store.root.iterdir()) == [PARTS], "no empty folder is left"
    await leftovers.remove_all(f"{WORKSPACE}/{RUN}")


@pytest.mark.parametrize(
    "folder", ["", WORKSPACE, f"{WORKSPACE}/..", f"{WORKSPACE}/{RUN}/1", f"../{RUN}/{RUN}", ".parts"]
)
async def test_only_a_runs_own_folder_can_be_named(store: LocalStore, folder: str) -> None:
    stays = put(store, RUN)
    with pytest.raises(ValueError, match="not a run's folder"):
        await Leftovers(store).remove_all(folder)
    assert stays.exists()


async def test_a_store_that_is_away_is_not_an_empty_one(store: LocalStore) -> None:
    store.root.rename(store.root.with_name("elsewhere"))
    with pytest.raises(Unavailable):
        await Leftovers(store).remove_all(f"{WORKSPACE}/{RUN}")
    store.root.mkdir()  # a mount point without its volume
    with pytest.raises(Unavailable):
        await Leftovers(store).remove_all(f"{WORKSPACE}/{RUN}")


async def test_a_store_that_may_not_be_written_says_so(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    stays = put(store, RUN)

    def read_only(folder: Path) -> None:
        raise OSError(errno.EROFS, "read-only")

    with monkeypatch.context() as patched, pytest.raises(StoreFull):
        patched.setattr(shutil, "rmtree", read_only)
        await Leftovers(store).remove_all(f"{WORKSPACE}/{RUN}")
    assert stays.exists()


async def test_a_file_that_comes_while_its_folder_is_removed_goes_too(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, RUN)
    remove, tries = shutil.rmtree, 0

    def is_late(folder: Path) -> None:
        nonlocal tries
        tries += 1
        remove(folder)
        if tries < 3:
            put(store, RUN, f"1/0.{tries}")
            raise OSError(errno.ENOTEMPTY, "not empty")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", is_late)
        await Leftovers(store).remove_all(f"{WORKSPACE}/{RUN}")
    assert (tries, [path for path in store.root.rglob("*") if path.is_file()]) == (3, [])


async def test_a_link_in_a_runs_place_is_not_followed(store: LocalStore, tmp_path: Path) -> None:
    aside = tmp_path / "aside"
    aside.mkdir()
    (aside / "kept").write_bytes(b"x")
    (store.root / WORKSPACE).mkdir()
    (store.root / WORKSPACE / RUN).symlink_to(aside)
    with pytest.raises(OSError, match="symbolic link"):
        await Leftovers(store).remove_all(f"{WORKSPACE}/{RUN}")
    assert (aside / "kept").exists()


async def test_what_a_killed_worker_had_not_finished_goes_after_an_hour(store: LocalStore) -> None:
    old, new = store.root / PARTS / "old.part", store.root / PARTS / "new.part"
    for path, age_s in ((old, 4_000), (new, 10)):
        path.write_bytes(b"x")
        os.utime(path, (time.time() - age_s, time.time() - age_s))
    assert await Leftovers(store).remove_unfinished() == 1
    assert (old.exists(), new.exists()) == (False, True)
