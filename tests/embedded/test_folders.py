"""A server can live in an odd place, says clearly when it cannot, and is never left half made."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from orchestrator.embedded import account
from orchestrator.embedded.account import Account, account_for, own_tree
from orchestrator.embedded.address import MAX_SOCKET_PATH_BYTES, Address
from orchestrator.embedded.binaries import programs_for
from orchestrator.embedded.cluster import SUPERUSER
from orchestrator.embedded.datadir import DataDir
from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.errors import Misconfigured, Unavailable
from tests.embedded.conftest import Python, Servers
from tests.embedded.test_postgres import START

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else or mount a disk")


def answers(conninfo: str) -> bool:
    with psycopg.connect(conninfo) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("name", ["x" * 120, "two words", "a,b", "ümlaut", "it's", "100%", "a@b", "a=b"])
def test_a_path_too_long_or_too_odd_for_a_socket_is_reached_by_a_plain_one(tmp_path: Path, name: str) -> None:
    home = Path(tempfile.mkdtemp(prefix="links-"))
    try:
        host = Path(Address(tmp_path / name, links=[home]).host())
        assert host.parent == home
        assert host.readlink() == tmp_path / name
    finally:
        shutil.rmtree(home)


def test_a_server_with_a_long_and_odd_path_is_reached_by_a_short_way_that_heals(
    servers: Servers, tmp_path: Path
) -> None:
    server = servers.at(tmp_path / ("two words, ümlaut 'quoted' @home" + "x" * 100))
    server.start()
    host = Path(str(psycopg.conninfo.conninfo_to_dict(server.libpq())["host"]))
    assert host.is_symlink()
    assert len(os.fsencode(host / ".s.PGSQL.5432")) <= MAX_SOCKET_PATH_BYTES
    assert "'" not in server.libpq()  # the broker's client quotes nothing
    assert answers(server.libpq())
    host.unlink()  # a cleaner of temporary files
    assert server.is_running()
    assert answers(server.libpq())
    server.stop()
    assert not host.is_symlink()


def test_a_short_way_never_uses_a_name_that_is_taken_by_something_else(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    homes = [Path(tempfile.mkdtemp(prefix="links-")) for _ in range(2)]
    try:
        first = Address(folder, links=homes[:1]).host()
        Path(first).unlink()
        Path(first).mkdir()
        with pytest.raises(Misconfigured):
            Address(folder, links=homes[:1]).host()
        assert Path(Address(folder, links=homes).host()).parent == homes[1]
    finally:
        for home in homes:
            shutil.rmtree(home)


def test_short_ways_of_folders_that_are_gone_are_swept(tmp_path: Path) -> None:
    home = Path(tempfile.mkdtemp(prefix="links-"))
    try:
        gone, there = tmp_path / ("x" * 120), tmp_path / ("y" * 120)
        there.mkdir()
        links = [Path(Address(folder, links=[home]).host()) for folder in (gone, there)]
        Address(tmp_path / "other", links=[home]).forget()
        assert [link.is_symlink() for link in links] == [False, True]
    finally:
        shutil.rmtree(home)


def test_a_cluster_whose_making_was_killed_is_made_anew(servers: Servers, tmp_path: Path, python: Python) -> None:
    maker = python(START, tmp_path)
    until = time.monotonic() + 30
    while not list((tmp_path / "postgres").glob("init-*/global")) and time.monotonic() < until:
        time.sleep(0.005)
    maker.kill()  # its initdb goes on for a while
    maker.wait()
    assert not (tmp_path / "postgres" / "data").exists()
    server = servers.at(tmp_path)
    server.start()
    assert answers(server.libpq())
    assert [path.name for path in (tmp_path / "postgres").iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [("PG_VERSION", "16\n", "made by PostgreSQL 16"), ("stray", "", "is not a PostgreSQL folder")],
)
def test_a_folder_that_is_not_our_databases_is_refused_and_left_alone(
    servers: Servers, tmp_path: Path, file: str, content: str, said: str
) -> None:
    data = DataDir(tmp_path)
    data.create()
    (data.postgres / "data").mkdir()
    (data.postgres / "data" / file).write_text(content)
    with pytest.raises(Misconfigured, match=said):
        servers.at(tmp_path).start()
    assert [path.name for path in (data.postgres / "data").iterdir()] == [file]


def test_a_lost_superuser_password_is_said_and_not_waited_for(server: EmbeddedPostgres, home: Path) -> None:
    file = home / "keys" / f"{SUPERUSER}.password"
    password = file.read_text()
    file.write_text("another")
    with pytest.raises(Misconfigured, match="does not take the password"):
        server.start()
    file.write_text(password)


def test_a_server_that_ends_at_once_is_reported_with_its_own_words(server: EmbeddedPostgres, home: Path) -> None:
    server.stop()
    file = home / "postgres" / "data" / "postgresql.conf"
    settings = file.read_text()
    file.write_text("no_such_setting = 1\n")
    with pytest.raises(Unavailable, match="no_such_setting"):
        server.start()
    file.write_text(settings)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk is not allowed here")
    yield disk
    subprocess.run(["umount", disk], check=True)


@as_root
def test_a_full_disk_is_called_full_and_leaves_no_half_cluster(servers: Servers, small_disk: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        servers.at(small_disk).start()
    assert caught.value.code == "storage_full"
    assert list((small_disk / "postgres").iterdir()) == []


@as_root
def test_as_root_the_server_has_its_own_user_below_a_folder_that_user_cannot_enter(
    server: EmbeddedPostgres, home: Path
) -> None:
    assert stat.S_IMODE((home / "postgres").stat().st_mode) == 0o700
    assert (home / "postgres").stat().st_uid == 0
    assert (home / "postgres" / "data").stat().st_uid != 0
    assert psutil.Process(server.pid).uids().real == (home / "postgres" / "data").stat().st_uid


@as_root
def test_as_root_a_database_runs_as_whoever_owns_it(server: EmbeddedPostgres, home: Path) -> None:
    server.stop()
    cluster = home / "postgres" / "data"
    own_tree(cluster, Account(uid=54321, gid=54321))  # a volume from a container with other users
    server.start()
    assert psutil.Process(server.pid).uids().real == 54321
    server.stop()
    own_tree(cluster, Account(uid=0, gid=0))  # a backup that root put back
    server.start()
    assert answers(server.libpq())


@as_root
def test_as_root_without_a_user_of_its_own_the_server_gets_one_without_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "DEDICATED", "orch-no-such-user")
    monkeypatch.setenv("PATH", str(tmp_path))  # no useradd here
    found = account_for(tmp_path / "none")
    assert found is not None
    assert found.uid == pwd.getpwnam("nobody").pw_uid


@as_root
def test_programs_that_the_servers_user_cannot_reach_are_copied_to_where_it_can(tmp_path: Path) -> None:
    user = account_for(tmp_path / "none")
    reachable = programs_for(user)
    package = reachable.parents[1]
    closed = tmp_path / "site"
    shutil.copytree(
        reachable.parent, closed / package.name / reachable.parent.name, ignore=shutil.ignore_patterns("*.a")
    )
    shutil.copytree(package.with_name(f"{package.name}.libs"), closed / f"{package.name}.libs")
    source = closed / package.name / reachable.parent.name / "bin"
    tmp_path.chmod(0o700)
    with tempfile.TemporaryDirectory() as public:
        Path(public).chmod(0o755)
        shelf = Path(public)
        copied = programs_for(user, source=source, homes=[shelf])
        assert shelf in copied.parents
        assert programs_for(user, source=source, homes=[shelf]) == copied


def run_as(uid: int, act: Callable[[], None]) -> int:
    """Run a function as another user and return its exit code.

    A fork, because that user may not be able to read the interpreter (under a closed home, say).
    """
    forked = os.fork()
    if forked == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            act()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1])


@as_root
def test_an_ordinary_user_runs_the_server_as_itself() -> None:
    nobody = pwd.getpwnam("nobody").pw_uid

    def look() -> None:
        programs_for(None)

    if run_as(nobody, look) != 0:
        pytest.skip("this checkout is closed to other users")
    home = Path(tempfile.mkdtemp(prefix="orch-user-"))
    os.chown(home, nobody, nobody)

    def act() -> None:
        server = EmbeddedPostgres(home / "data", durable=False)
        server.start()
        assert answers(server.libpq())
        server.kill()
        server.start()
        assert answers(server.libpq())
        server.stop()
        assert not server.is_running()

    try:
        assert run_as(nobody, act) == 0
        assert (home / "data" / "postgres" / "data").stat().st_uid == nobody
    finally:
        shutil.rmtree(home)
