"""`down`: what is stopped, in which order, and what is left alone."""

import os
import signal
import sys

import pytest

from cli import ending
from cli.errors import ExitCode
from cli.main import run
from cli.waiting import until
from drivers.local import supervise


@pytest.fixture
async def start(home):
    """Start a program that runs for ever in a run folder; everything is ended after the test."""
    folders = []

    async def running(folder):
        program = supervise.Program(
            command=(sys.executable, "-c", "import time; time.sleep(600)"),
            env={},
            cwd="/",
            log=str(folder / "log"),
            grace_seconds=5.0,
        )
        folders.append(folder)
        supervise.start(folder, program)

        async def up():
            return supervise.look(folder).condition == "running" or None

        await until("the program", up, timeout_seconds=20, every_seconds=0.02)

    home.path.mkdir()
    yield running
    await ending.end(folders)


def test_down_on_an_empty_home_does_nothing_and_succeeds(home, capsys):
    assert run(["down", "--home", str(home.path)]) == ExitCode.OK

    assert "nothing" in capsys.readouterr().out
    assert not home.path.exists()


async def test_down_stops_the_daemon_then_workers_then_airflow_then_postgresql(home, start):
    folders = [
        home.postgres_run,
        home.daemon_run,
        home.runtimes / "3.3.2-abc.build",
        home.deployments / "demo-hello" / "run" / "scheduler-0",
        home.deployments / "demo-hello" / "run" / "worker-0",
        home.deployments / "demo-hello" / "run" / "worker-11",
        home.deployments / "demo-hello" / "run" / "api-server-0",
    ]
    for folder in folders:
        await start(folder)
    said = []

    stopped = await ending.down(home, said.append)

    assert stopped == 7
    assert [supervise.look(folder).condition for folder in folders] == ["ended"] * 7
    assert said == [
        "stopping the daemon: serve",
        "stopping installations of Airflow: 3.3.2-abc.build",
        "stopping workers, which end the tasks that they run: demo-hello/worker-0, demo-hello/worker-11",
        "stopping Airflow: demo-hello/api-server-0, demo-hello/scheduler-0",
        "stopping PostgreSQL: postgres",
    ]


async def test_down_again_does_nothing(home, start):
    await start(home.daemon_run)
    await ending.down(home, lambda _: None)
    said = []

    assert await ending.down(home, said.append) == 0
    assert said == []


async def test_down_leaves_other_homes_and_all_data_alone(home, start, tmp_path):
    other = tmp_path / "other" / "run" / "serve"
    other.parent.mkdir(parents=True)
    await start(other)
    await start(home.daemon_run)
    data = home.postgres / "data" / "PG_VERSION"
    data.parent.mkdir(parents=True)
    data.write_text("18")

    await ending.down(home, lambda _: None)

    assert supervise.look(other).condition == "running"
    assert data.read_text() == "18"


async def test_down_ends_what_a_killed_shim_left_behind(home, start):
    await start(home.daemon_run)
    state = supervise.look(home.daemon_run)
    os.kill(state.shim_pid, signal.SIGKILL)

    await ending.down(home, lambda _: None)

    assert not supervise.look(home.daemon_run).is_alive
