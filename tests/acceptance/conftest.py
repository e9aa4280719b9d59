"""One world for the whole module: a real PostgreSQL, a real daemon, a real Airflow, made by `armillary up`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.home import Home
from cli.ports import free_port

from .world import World

_SLOW_DAG = '''"""A task that takes its time, so that something can happen meanwhile."""

import time

from airflow.sdk import dag, task


@dag(schedule=None)
def slow():
    @task
    def wait():
        time.sleep(15)

    wait()


slow()
'''


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="armillary-acceptance-"))
    folder.chmod(0o755)
    home = folder / "home"
    home.mkdir()
    # a resync every few seconds, so that a test sees some
    (home / "armillary.toml").write_text("resync_interval_seconds = 5\n")
    made = World(home=Home(home), port=free_port())
    try:
        up = made.armillary("up", "--detach", "--port", str(made.port), check=False)
        assert up.returncode == 0, up.stdout + up.stderr
        assert "Hello from Armillary" in up.stdout
        yield made
    finally:
        made.armillary("down", check=False)
        shutil.rmtree(folder)


@pytest.fixture
def settled(world: World) -> World:
    """The world, with everything as asked and working."""
    world.settle()
    return world


@pytest.fixture(scope="session")
def slow_dag(world: World) -> str:
    """A DAG of one task of fifteen seconds, beside the first deployment's own."""
    dags = world.home.path / "dags"
    dags.mkdir()
    dags.joinpath("slow.py").write_text(_SLOW_DAG)
    return str(dags)
