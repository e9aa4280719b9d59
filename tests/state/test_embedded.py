"""The embedded PostgreSQL is prepared once, completed when half made, and says what is wrong."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from pathlib import Path

import psycopg
import pytest

from state.embedded import prepare
from state.errors import CannotPrepare, Unreachable

ROOT = os.geteuid() == 0


# pytest keeps its own temporary folders closed to the user that root's server drops to


def _open_folder(scratch):
    folder = Path(tempfile.mkdtemp(dir=scratch))
    folder.chmod(0o755)
    return folder


@pytest.fixture
def folder(scratch):
    return _open_folder(scratch)


@pytest.fixture(scope="module")
def prepared(scratch):
    home = _open_folder(scratch)
    prepare(home)
    return home


@pytest.fixture
def home(folder, prepared):
    """A prepared home of its own for a test that changes it."""
    home = folder / "home"
    home.mkdir()
    home.chmod(0o755)
    (home / "postgres").mkdir()
    shutil.chown(home / "postgres", prepared.joinpath("postgres").stat().st_uid)
    for name in ("data", "password", "port", "socket"):
        subprocess.run(["cp", "-a", str(prepared / "postgres" / name), str(home / "postgres" / name)], check=True)
    (home / "postgres" / "binaries").symlink_to(prepared / "postgres" / "binaries")
    return home


def _tree(folder):
    return {
        path: (path.lstat().st_mode, path.lstat().st_uid, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.exists()
    }


def test_preparing_again_changes_nothing(prepared):
    before = _tree(prepared)
    first = prepare(prepared)
    second = prepare(prepared)

    assert first == second
    assert _tree(prepared) == before


def test_the_password_is_for_the_servers_user_alone_and_in_no_representation(prepared):
    server = prepare(prepared)
    path = prepared / "postgres" / "password"

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().strip() == server.password
    assert server.password not in repr(server)


@pytest.mark.skipif(not ROOT, reason="only root drops to another user")
def test_root_drops_to_a_user_that_owns_the_data(prepared):
    server = prepare(prepared)
    assert server.user is not None
    uid, gid = server.user

    assert uid != 0
    assert gid != 0
    assert server.data.stat().st_uid == uid


async def test_the_server_answers_on_the_loopback_and_its_socket_with_a_password_only(home, start_server):
    server = prepare(home)
    start_server(server, home / "log")
    await server.wait_ready(10)
    arguments = {"user": "postgres", "dbname": "armillary", "port": server.port}
    for host in ("127.0.0.1", str(server.socket)):
        with psycopg.connect(host=host, password=server.password, **arguments) as connection:
            (encryption,) = connection.execute("SHOW password_encryption").fetchone()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(host=host, password="wrong", **arguments)

        assert encryption == "scram-sha-256"


def test_what_was_committed_survives_kill_9(home, start_server):
    server = prepare(home)
    process = start_server(server, home / "log")
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    start_server(prepare(home), home / "log")
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_preparing_while_the_server_runs_returns_the_same_server(home, start_server):
    server = prepare(home)
    start_server(server, home / "log")
    assert prepare(home) == server


def test_failing_statements_are_logged_without_their_text(home, start_server):
    server = prepare(home)
    start_server(server, home / "log")
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (v text CHECK (v = 'no'))")
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("INSERT INTO t VALUES ('hush-4711')")

    log = (home / "log").read_text()
    assert "violates check constraint" in log
    assert "hush-4711" not in log


async def test_a_server_that_never_answers_is_unreachable_in_time(prepared):
    with pytest.raises(Unreachable, match=r"not ready after 0\.3 s"):
        await prepare(prepared).wait_ready(0.3)


async def test_a_wrong_password_is_told_at_once(home, start_server):
    server = prepare(home)
    start_server(server, home / "log")
    (home / "postgres" / "password").write_text("wrong\n")
    with pytest.raises(CannotPrepare, match="does not accept the password"):
        await prepare(home).wait_ready(10)


def test_a_taken_port_names_its_holder(home):
    server = prepare(home)
    told = rf"port {server.port} .* process {os.getpid()} \("
    with socket.create_server(("127.0.0.1", server.port)), pytest.raises(CannotPrepare, match=told):
        prepare(home)


def test_a_data_folder_of_another_major_version_is_left_alone(home):
    version = home / "postgres" / "data" / "PG_VERSION"
    version.write_text("17\n")

    with pytest.raises(CannotPrepare, match=r"made by PostgreSQL 17 .* brings PostgreSQL 18"):
        prepare(home)

    assert version.read_text() == "17\n"


def test_a_data_folder_that_is_not_postgresqls_is_left_alone(home):
    data = home / "postgres" / "data"
    shutil.rmtree(data)
    data.mkdir()
    (data / "mine.txt").write_text("mine")

    with pytest.raises(CannotPrepare, match="is not PostgreSQL's"):
        prepare(home)

    assert (data / "mine.txt").read_text() == "mine"


def test_a_half_made_data_folder_is_made_anew(home, start_server):
    data = home / "postgres" / "data"
    data.rename(data.with_name("data.new"))
    (home / "postgres" / "data.new" / "PG_VERSION").unlink()
    server = prepare(home)
    start_server(server, home / "log")

    assert (data / "PG_VERSION").read_text() == "18\n"
    assert not data.with_name("data.new").exists()


def test_a_lost_password_is_told_and_never_made_anew(home):
    (home / "postgres" / "password").unlink()

    with pytest.raises(CannotPrepare, match="restore that file"):
        prepare(home)


def test_a_full_disk_is_told_before_anything_is_written(folder):

    with pytest.raises(CannotPrepare, match=r"MiB are free .* ARMILLARY_HOME"):
        prepare(folder / "home", free_mib_min=1 << 40)

    assert list((folder / "home" / "postgres").iterdir()) == []


def test_a_home_that_cannot_be_made_is_told(folder):
    (folder / "file").write_text("")

    with pytest.raises(CannotPrepare, match="ARMILLARY_HOME"):
        prepare(folder / "file" / "home")


@pytest.mark.skipif(not ROOT, reason="only root drops to another user")
def test_a_folder_the_servers_user_may_not_enter_is_named(folder):
    closed = folder / "closed"
    closed.mkdir(mode=0o700)

    with pytest.raises(CannotPrepare, match=rf"cannot enter {closed} .*chmod o\+x {closed}"):
        prepare(closed / "home")


def test_a_deep_home_gets_its_socket_in_a_short_folder(folder, start_server):
    home = folder.joinpath(*["a-folder-with-a-long-name"] * 4)
    server = prepare(home)
    start_server(server, folder / "log")
    with psycopg.connect(
        host=str(server.socket), port=server.port, user="postgres", password=server.password, dbname="armillary"
    ) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    shutil.rmtree(server.socket)

    assert not server.socket.is_relative_to(home)
