"""`armillary up --check`: from nothing to a DAG's success and back to nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from .world import ARMILLARY

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(420)]


@pytest.fixture
def empty_folder() -> Iterator[Path]:
    """What the command takes for the machine's temporary folder; short, since sockets' paths are."""
    folder = Path(tempfile.mkdtemp(prefix="check-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_check_runs_a_dag_and_leaves_no_process_port_or_folder(empty_folder: Path):
    inherited = {name: value for name, value in os.environ.items() if name != "ARMILLARY_HOME"}

    done = subprocess.run(
        [ARMILLARY, "up", "--check"],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**inherited, "TMPDIR": str(empty_folder)},
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Hello from Armillary" in done.stdout
    assert [one.name for one in empty_folder.iterdir()] == []
    assert _begun_with(empty_folder) == []  # and whoever held a port would be among them


def _begun_with(folder: Path) -> list[str]:
    """The processes that inherited the folder, from the command or from one of its children."""
    found = []
    for one in psutil.process_iter():
        try:
            if one.environ().get("TMPDIR") == str(folder) or str(folder) in " ".join(one.cmdline()):
                found.append(f"{one.pid} {one.cmdline()}")
        except psutil.Error:
            continue  # it ended meanwhile, or is nobody's business of ours
    return found
