"""The local store on a real file system: whole or not there, and honest about a full one."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from orchestrator.artifacts.local import BLOCK_BYTES, PARTS, LocalStore, store_error
from orchestrator.artifacts.registry import artifact_store
from orchestrator.domain.answers import StoredFile
from orchestrator.engine.ports import ArtifactStore
from orchestrator.errors import Misconfigured, NotFound, OutcomeUnknown, StoreFull, TooLarge, Unavailable

T = TypeVar("T")
WORKSPACE = "019a0000-0000-7000-8000-000000000001"
RUN = "019a0000-0000-7000-8000-000000000002"
KEY = f"{WORKSPACE}/{RUN}/1/0"


def run(work: Coroutine[Any, Any, T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(10):
            return await work

    return asyncio.run(bounded())


async def stream(parts: Iterable[bytes], *, then: Exception | None = None) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    if then:
        raise then


async def put(store: LocalStore, *parts: bytes, key: str = KEY, max_bytes: int = 1 << 30) -> StoredFile:
    return await store.put(key, stream(parts), max_bytes=max_bytes)


async def content(store: LocalStore, key: str = KEY) -> bytes:
    return b"".join([block async for block in store.open(key)])


def left_over(store: LocalStore) -> list[str]:
    return [str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file()]


def test_the_adapter_fits_the_port(tmp_path: Path) -> None:
    fits: ArtifactStore = artifact_store(tmp_path)
    assert fits


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 7])
def test_what_was_stored_comes_back_byte_for_byte(tmp_path: Path, size: int) -> None:
    store = LocalStore(tmp_path / "made" / "anew")
    body = os.urandom(size)
    parts = [body[at : at + 300_000] for at in range(0, size, 300_000)]

    async def work() -> None:
        stored = await put(store, *parts)
        assert stored == StoredFile(key=KEY, size_bytes=size, sha256=hashlib.sha256(body).hexdigest())
        assert await content(store) == body
        assert await store.size(KEY) == size

    run(work())
    assert left_over(store) == [KEY]
    assert (store.root / KEY).stat().st_mode & 0o777 == 0o600
    assert (store.root / WORKSPACE).stat().st_mode & 0o777 == 0o700
    assert store.root.stat().st_mode & 0o777 == 0o700


def test_what_put_returned_was_synced_from_the_file_up_to_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Order counts: bytes before the name, the name before every folder above it."""
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        steps.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()).removeprefix(str(tmp_path)))
        fsync(descriptor)

    def noted_replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    run(put(LocalStore(tmp_path), b"x"))
    assert steps[0].startswith(f"/{PARTS}/")
    folders = [f"/{WORKSPACE}/{RUN}/1", f"/{WORKSPACE}/{RUN}", f"/{WORKSPACE}", ""]
    assert steps[1:] == ["rename", *folders]


def test_a_key_of_another_shape_is_never_a_path(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for key in (
        "",
        "..",
        "../x",
        f"{KEY}/../../x",
        f"/{KEY}",
        f"{KEY}\n",
        KEY.replace("/1/", "/a/"),
        f"{KEY}x",
        "x/y/1/0",
    ):
        with pytest.raises(ValueError, match="not an artifact key"):
            run(put(store, b"x", key=key))
        with pytest.raises(ValueError, match="not an artifact key"):
            run(store.size(key))
        with pytest.raises(ValueError, match="not an artifact key"):
            run(store.delete(key))
    assert left_over(store) == []


def test_a_stream_that_breaks_leaves_nothing_behind(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for body in (b"x", b"x" * (2 * BLOCK_BYTES)):
        with pytest.raises(OutcomeUnknown):
            run(store.put(KEY, stream([body], then=OutcomeUnknown("cut")), max_bytes=1 << 30))
        assert left_over(store) == []


def test_a_file_beyond_the_limit_leaves_nothing_behind(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    with pytest.raises(TooLarge):
        run(put(store, b"x" * BLOCK_BYTES, b"y" * BLOCK_BYTES, b"z", max_bytes=2 * BLOCK_BYTES))
    assert left_over(store) == []
    run(put(store, b"x" * 10, max_bytes=10))


def test_a_cancelled_put_leaves_nothing_unfinished(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * (2 * BLOCK_BYTES)
        await asyncio.Event().wait()

    async def work() -> None:
        task = asyncio.create_task(store.put(KEY, endless(), max_bytes=1 << 30))
        while not left_over(store):
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(work())
    assert left_over(store) == []


def test_what_a_crashed_attempt_left_is_replaced_by_a_whole_file_only(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)

    async def work() -> None:
        await put(store, b"old")
        assert await put(store, b"old") == await put(store, b"old"), "the same again is fine"
        with pytest.raises(OutcomeUnknown):
            await store.put(KEY, stream([b"new"], then=OutcomeUnknown("cut")), max_bytes=99)
        assert await content(store) == b"old"
        await put(store, b"new")
        assert await content(store) == b"new"

    run(work())


def test_a_missing_file_has_no_size_and_cannot_be_opened(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    assert run(store.size(KEY)) is None
    with pytest.raises(NotFound):
        run(content(store))
    run(store.delete(KEY))


def test_delete_removes_the_file_and_the_folders_it_leaves_empty(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    neighbour = f"{WORKSPACE}/{RUN}/2/0"

    async def work() -> None:
        await put(store, b"x")
        await put(store, b"y", key=neighbour)
        await store.delete(KEY)
        assert not (tmp_path / WORKSPACE / RUN / "1").exists()
        assert await content(store, neighbour) == b"y"
        await store.delete(neighbour)

    run(work())
    assert [path.name for path in tmp_path.iterdir()] == [PARTS]


def test_deletes_beside_puts_in_one_folder_lose_nothing(tmp_path: Path) -> None:
    """`delete` removes a folder as empty at the very moment in which `put` is about to rename into it."""
    store = LocalStore(tmp_path)

    async def work() -> None:
        await put(store, b"a", key=f"{WORKSPACE}/{RUN}/1/1")
        for n in range(2, 40):
            new, old = f"{WORKSPACE}/{RUN}/1/{n}", f"{WORKSPACE}/{RUN}/1/{n - 1}"
            await asyncio.gather(put(store, b"x", key=new), store.delete(old))
            assert await content(store, new) == b"x"

    run(work())


def test_sweep_removes_only_what_a_crash_left_long_ago(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    old, young, foreign = (tmp_path / PARTS / name for name in ("a.part", "b.part", "c.txt"))
    for path in (old, young, foreign):
        path.write_bytes(b"x")
    for path in (old, foreign):
        os.utime(path, (time.time() - 3_700, time.time() - 3_700))
    run(put(store, b"x"))
    assert run(store.sweep(older_than_s=3_600)) == 1
    assert sorted(left_over(store)) == sorted([f"{PARTS}/b.part", f"{PARTS}/c.txt", KEY])


@pytest.mark.parametrize("size", [200_000, 3 * BLOCK_BYTES], ids=["small", "large"])
def test_a_file_over_the_process_limit_is_store_full_and_leaves_nothing(tmp_path: Path, size: int) -> None:
    store = LocalStore(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StoreFull, match="EFBIG") as error:
            run(put(store, b"x" * size))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(tmp_path) in error.value.message
    assert left_over(store) == []
    run(put(store, b"x" * size))


_ON_A_FULL_VOLUME = """
import asyncio, sys
from pathlib import Path
from orchestrator.artifacts.local import LocalStore
from orchestrator.errors import StoreFull

async def stream(size):
    for _ in range(size // 65_536):
        yield b"x" * 65_536

async def main():
    store = LocalStore(Path(sys.argv[1]))
    key = "019a0000-0000-7000-8000-000000000001/019a0000-0000-7000-8000-000000000002/1/%d"
    for n, size in enumerate((524_288, 4_194_304)):
        try:
            await store.put(key % n, stream(size), max_bytes=1 << 30)
        except StoreFull as error:
            assert "no space is left" in error.message and "ENOSPC" in error.message, error.message
        else:
            raise AssertionError("it fitted")
        assert not [path for path in Path(sys.argv[1]).rglob("*") if path.is_file()]
    await store.put(key % 9, stream(65_536), max_bytes=1 << 30)
    print("works again")

asyncio.run(main())
"""


def test_a_full_volume_is_store_full_leaves_nothing_and_works_again_when_there_is_room(tmp_path: Path) -> None:
    mount = f'mount -t tmpfs -o size=256k none {tmp_path} && exec {sys.executable} -c "$0" {tmp_path}'
    command = ["unshare", "-Urm", "sh", "-c", mount, _ON_A_FULL_VOLUME]
    try:
        subprocess.run(["unshare", "-Urm", "true"], check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine gives no private mounts to ordinary users")
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert done.stdout == "works again\n", done.stderr


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EACCES, errno.EPERM])
def test_each_way_of_being_full_names_the_store_and_the_reason(number: int) -> None:
    error = store_error(OSError(number, "x"), Path("/some/where"))
    assert type(error) is StoreFull
    assert "/some/where" in error.message
    assert errno.errorcode[number] in error.message


def test_a_store_that_is_away_is_not_called_full(tmp_path: Path) -> None:
    assert type(store_error(OSError(errno.EIO, "x"), tmp_path)) is Unavailable
    assert store_error(OSError(errno.EINVAL, "x"), tmp_path) is None
    store = LocalStore(tmp_path / "volume")
    (tmp_path / "volume" / PARTS).rmdir()
    (tmp_path / "volume").rmdir()
    with pytest.raises(Unavailable, match="gone"):
        run(put(store, b"x"))
    assert not (tmp_path / "volume").exists(), "a root that vanished is an unmounted volume, not a folder to make"


def test_a_store_is_named_by_a_folder_or_a_file_url(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    assert artifact_store(folder).root == folder
    assert artifact_store(f"file://{tmp_path}/a%20b").root == folder
    assert artifact_store(f"file://localhost{tmp_path}/a%20b").root == folder


@pytest.mark.parametrize("url", ["s3://bucket/x", "gs://b", "az://b", "https://h/x", "file://other/x", "", " "])
def test_a_store_that_this_version_does_not_have_is_said_to_be_missing(url: str) -> None:
    with pytest.raises(Misconfigured):
        artifact_store(url)


def test_a_root_that_is_no_folder_is_misconfigured(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(Misconfigured, match="cannot be used"):
        LocalStore(tmp_path / "file")
