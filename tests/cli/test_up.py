"""`up`: what stops it before it starts anything, and the state database. The whole is in tests/acceptance."""

import io
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from rich.console import Console

from cli import ending, farewell, lock, ports, world
from cli.errors import ExitCode, Failed, Refused
from cli.home import Home
from cli.main import run
from cli.names import DeploymentName
from cli.progress import Screen
from cli.up import Up, Wish
from cli.waiting import until
from drivers.local import supervise


@pytest.fixture
def quiet(monkeypatch):
    """No variable of the environment that changes what a command means."""
    for name in ("ARMILLARY_DATABASE", "ARMILLARY_PORT", "ARMILLARY_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def real_home(scratch, quiet):
    """A home that PostgreSQL's user can enter; whatever runs in it is stopped after the test."""
    home = Home(scratch / f"home-{os.getpid()}-{os.urandom(3).hex()}")
    home.path.mkdir(mode=0o755)
    yield home
    await ending.down(home, lambda _: None)


def wish(home, **others):
    return Wish(**{"home": home, "port": ports.free_port(), "timeout_seconds": 10, "stays": False, **others})


def screen():
    return Screen(Console(file=io.StringIO(), width=200))


def test_a_taken_port_ends_with_4_before_anything_is_started(home, quiet, capsys):
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = run(["up", "--detach", "--home", str(home.path), "--port", str(server.getsockname()[1])])

    assert code == ExitCode.REFUSED
    assert f"process {os.getpid()} " in capsys.readouterr().err
    assert [path.name for path in home.path.iterdir()] == ["home.lock"]


async def test_a_full_disk_stops_it_before_anything_is_started(home):
    with pytest.raises(Failed, match="Not enough disk space"):
        await Up(wish(home, free=lambda _: 0), screen()).run()

    assert [path.name for path in home.path.iterdir()] == ["home.lock"]


async def test_a_second_up_on_the_same_home_is_refused(home):
    home.path.mkdir()

    with lock.held(home.lock), pytest.raises(Refused, match=f"process {os.getpid()}"):
        await Up(wish(home), screen()).run()


def test_a_check_on_somebodys_own_database_is_refused(quiet, capsys):
    assert run(["up", "--check", "--database", "postgresql://127.0.0.1:1/mine"]) == ExitCode.USAGE
    assert "--database" in capsys.readouterr().err


async def test_the_state_database_is_started_once_and_adopted_afterwards(real_home):
    url = await world.start_state(real_home, None)
    before = supervise.look(real_home.postgres_run)

    assert await world.start_state(real_home, None) == url
    after = supervise.look(real_home.postgres_run)
    assert (after.uid, after.child_pid, after.restarts) == (before.uid, before.child_pid, before.restarts)


async def test_a_killed_state_database_comes_back_by_itself_and_down_ends_it(real_home):
    await world.start_state(real_home, None)
    killed = supervise.look(real_home.postgres_run).child_pid
    os.kill(killed, signal.SIGKILL)

    async def back():
        pid = supervise.look(real_home.postgres_run).child_pid
        return pid if pid not in (None, killed) else None

    await until("PostgreSQL to come back", back, timeout_seconds=30)
    await world.start_state(real_home, None)
    assert await ending.down(real_home, lambda _: None) == 1
    assert not supervise.look(real_home.postgres_run).is_alive
    assert (real_home.postgres / "data" / "PG_VERSION").is_file()


async def test_a_state_database_that_crashes_again_and_again_is_explained_by_its_log(real_home):
    await world.start_state(real_home, None)
    await ending.down(real_home, lambda _: None)
    (real_home.postgres / "data" / "postgresql.auto.conf").write_text("this is no setting\n")

    with pytest.raises(Failed, match="does not stay up") as caught:
        await world.start_state(real_home, None)

    assert any("postgresql.auto.conf" in line for line in caught.value.lines)
    assert str(world.log_of(real_home.postgres_run)) in caught.value.where


async def test_the_port_of_this_homes_own_daemon_is_not_a_taken_port(home):
    home.path.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        home.daemon.write_text(f'{{"url": "http://127.0.0.1:{port}"}}')
        with pytest.raises(Refused):
            world.check_port(home, port)  # its file is there, but no daemon of ours runs

        command = (sys.executable, "-c", "import time; time.sleep(60)")
        program = supervise.Program(command=command, env={}, cwd="/", log=str(home.path / "log"))
        supervise.start(home.daemon_run, program)
        world.check_port(home, port)
        await ending.down(home, lambda _: None)


def test_the_three_trials_name_the_real_process_the_token_and_the_home(home):
    folder = home.deployments / "demo-hello" / "run" / "scheduler-0"
    folder.mkdir(parents=True)
    program = supervise.Program(
        command=(sys.executable, "-c", "import time; time.sleep(60)"), env={}, cwd="/", log=str(folder / "log")
    )
    supervise.start(folder, program)
    try:
        tries = farewell.trials(home, "http://127.0.0.1:8871", DeploymentName("demo", "hello"), "demo-hello")
        pid = supervise.look(folder).child_pid
    finally:
        supervise.stop(folder)

    assert str(home.token) in tries[0].command
    assert f"ARMILLARY_HOME={home.path}" in tries[1].command
    assert tries[2].command == f"kill -9 {pid}"


def test_nothing_to_kill_is_offered_when_nothing_runs(home):
    assert len(farewell.trials(home, "http://x", DeploymentName("demo", "hello"), "demo-hello")) == 2


def test_the_examples_are_beside_the_packages():
    assert (Path(__file__).parents[2] / "examples" / "quickstart.yaml").is_file()
