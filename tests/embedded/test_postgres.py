"""The embedded server keeps what it took, whatever is killed, and lets nobody else in."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil
import psycopg
import pytest
from sqlalchemy import create_engine, text

from orchestrator.embedded import postgres, postmaster
from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.errors import Conflict, NotFound, Unavailable
from tests.embedded.conftest import Python, Servers

START = """
import os, sys
from pathlib import Path
from orchestrator.embedded.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), durable=False)
server.start()
print(server.pid, flush=True)
"""


def remember(server: EmbeddedPostgres, word: str) -> None:
    with psycopg.connect(server.libpq()) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS words (word text)")
        connection.execute("INSERT INTO words VALUES (%s)", [word])


def remembered(server: EmbeddedPostgres) -> list[str]:
    with psycopg.connect(server.libpq()) as connection:
        return [str(row[0]) for row in connection.execute("SELECT word FROM words ORDER BY word LIMIT 100")]


def show(server: EmbeddedPostgres, *names: str) -> dict[str, str]:
    with psycopg.connect(server.superuser_libpq()) as connection:
        query = "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s) LIMIT 100"
        return {str(name): str(value) for name, value in connection.execute(query, [list(names)])}


def test_a_durable_server_keeps_a_committed_row_through_kill_9_and_through_a_stop(
    servers: Servers, tmp_path: Path
) -> None:
    server = servers.at(tmp_path, durable=True)
    server.start()
    promised = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "data_checksums": "on"}
    assert show(server, *promised) == promised
    remember(server, "killed")
    server.kill()
    assert not server.is_running()
    server.start()
    remember(server, "stopped")
    server.stop()
    assert not server.is_running()
    server.start()
    assert remembered(server) == ["killed", "stopped"]


def test_the_product_logs_in_by_url_and_by_libpq_and_is_no_superuser(server: EmbeddedPostgres) -> None:
    engine = create_engine(server.dsn())
    with engine.connect() as connection:
        assert connection.execute(
            text("SELECT current_database(), rolsuper FROM pg_roles WHERE rolname = current_user")
        ).one() == ("orchestrator", False)
    engine.dispose()
    with psycopg.connect(server.libpq()) as direct:
        assert direct.execute("SHOW timezone").fetchone() == ("UTC",)


def test_a_wrong_password_does_not_get_in_even_through_the_socket(server: EmbeddedPostgres) -> None:
    for role in ("orchestrator", "postgres"):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.libpq(), user=role, password="guess")


def test_the_server_listens_on_no_network(server: EmbeddedPostgres) -> None:
    try:
        assert psutil.Process(server.pid).net_connections(kind="inet") == []
    except psutil.AccessDenied:
        pytest.skip("a container's root may not look at another user's process")


def test_the_server_inherits_nothing_of_our_environment(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.stop()
    monkeypatch.setenv("ORCH_SECRET_KEY", "secret")
    server.start()
    with psycopg.connect(server.superuser_libpq()) as connection:
        connection.execute("CREATE TEMP TABLE environment (line text)")
        connection.execute("COPY environment FROM PROGRAM 'env'")
        lines = connection.execute("SELECT line FROM environment LIMIT 1000").fetchall()
    assert lines
    assert not [line for (line,) in lines if "ORCH" in line]


def test_the_terminals_ctrl_c_does_not_reach_the_server(server: EmbeddedPostgres) -> None:
    assert server.pid is not None
    assert os.getpgid(server.pid) == server.pid
    assert os.getsid(server.pid) == server.pid


def test_the_servers_log_is_found_among_the_logs(server: EmbeddedPostgres) -> None:
    logs = Path(str(psycopg.conninfo.conninfo_to_dict(server.libpq())["host"])).parents[1] / "logs"
    said = "".join(path.read_text() for path in (logs / "postgres").glob("*.log"))
    assert "ready to accept connections" in said


def test_a_start_of_a_running_server_changes_nothing(server: EmbeddedPostgres) -> None:
    before = server.pid
    server.start()
    assert server.pid == before


def test_a_server_with_other_settings_is_started_anew(server: EmbeddedPostgres, home: Path, servers: Servers) -> None:
    assert show(server, "fsync") == {"fsync": "off"}
    durable = servers.at(home, durable=True)
    durable.start()
    assert show(durable, "fsync") == {"fsync": "on"}


def test_a_server_that_outlived_its_killed_supervisor_is_taken_over(
    server: EmbeddedPostgres, home: Path, python: Python
) -> None:
    server.stop()
    supervisor = python(START + "os.kill(os.getpid(), 9)", home)
    assert supervisor.stdout is not None
    pid = int(supervisor.stdout.readline())
    supervisor.wait()
    assert server.is_running()
    server.start()
    assert server.pid == pid
    server.stop()
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_two_processes_that_start_one_server_share_it(server: EmbeddedPostgres, home: Path, python: Python) -> None:
    server.stop()
    both = [python(START, home) for _ in range(2)]
    pids = [process.communicate(timeout=60)[0] for process in both]
    assert pids[0] == pids[1] != ""


def test_a_pid_that_another_process_has_by_now_does_not_hinder_a_start(server: EmbeddedPostgres, home: Path) -> None:
    remember(server, "kept")
    server.kill()
    cluster = home / "postgres" / "data"
    owner = cluster.stat().st_uid
    # Postgres can only be fooled by a process of its own user: it could not signal another's.
    other = subprocess.Popen(["sleep", "60"], user=owner if os.geteuid() == 0 else None)
    try:
        for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
            lines = (cluster / name).read_text().splitlines()
            (cluster / name).write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
        assert not server.is_running()
        server.start()
        assert "kept" in remembered(server)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_pid_file_cut_short_by_a_crash_does_not_hinder_a_start(server: EmbeddedPostgres, home: Path) -> None:
    server.kill()
    (home / "postgres" / "data" / "postmaster.pid").write_text("")
    server.start()
    assert server.is_running()


def test_children_that_outlive_a_killed_server_are_gone_before_the_next_one_writes(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postmaster, "ORPHAN_PATIENCE_S", 0.1)
    with psycopg.connect(server.libpq()) as connection:
        stuck = psutil.Process(connection.info.backend_pid)
        stuck.suspend()
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        server.start()
        assert not stuck.is_running() or stuck.status() == psutil.STATUS_ZOMBIE
        connection.close()
    assert server.is_running()


def test_a_server_that_takes_too_long_is_reported_left_alone_and_found_by_the_next_start(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(Unavailable, match="is not ready yet"):
        server.start(deadline_s=0.1)
    os.kill(pid, signal.SIGCONT)
    server.start()
    assert server.pid == pid
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(postgres, "IMMEDIATE_PATIENCE_S", 0.1)
    server.stop(deadline_s=0.1)
    assert not server.is_running()


def test_what_a_killed_first_start_did_not_make_is_made_by_the_next(server: EmbeddedPostgres, home: Path) -> None:
    with psycopg.connect(server.superuser_libpq(), autocommit=True) as connection:
        connection.execute("DROP DATABASE orchestrator")
        connection.execute("DROP ROLE orchestrator")
    (home / "keys" / "orchestrator.password").unlink()
    server.start()
    remember(server, "made")
    assert remembered(server) == ["made"]


def test_a_database_per_test_is_a_copy_of_its_template(server: EmbeddedPostgres) -> None:
    server.create_database("pattern")
    with psycopg.connect(server.libpq("pattern")) as connection:
        connection.execute("CREATE TABLE things (id int)")
    server.create_database("copy", template="pattern")
    with pytest.raises(Conflict):
        server.create_database("copy", template="pattern")
    with pytest.raises(NotFound):
        server.create_database("other", template="no_such")
    inside = psycopg.connect(server.libpq("copy"))
    assert inside.execute("SELECT count(*) FROM things").fetchone() == (0,)
    server.drop_database("copy")
    inside.close()
    server.drop_database("copy")
    server.drop_database("pattern")


def test_stopping_what_never_ran_is_no_error(tmp_path: Path) -> None:
    EmbeddedPostgres(tmp_path / "nothing").stop()
    assert not (tmp_path / "nothing").exists()
