"""`armillary up --check`: from nothing to a DAG's success and back to nothing."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import psutil
import pytest

from .world import ARMILLARY

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(420), pytest.mark.xdist_group("airflow")]


def test_a_check_runs_a_dag_and_leaves_no_process_port_or_folder():
    folders = set(Path(tempfile.gettempdir()).iterdir())
    listening = _listening()

    done = subprocess.run(
        [ARMILLARY, "up", "--check"],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        stdin=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if name != "ARMILLARY_HOME"},
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Hello from Armillary" in done.stdout
    assert {
        one.name for one in set(Path(tempfile.gettempdir()).iterdir()) - folders if "armillary" in one.name
    } == set()
    assert _listening() <= listening


def _listening() -> set[int]:
    return {one.laddr.port for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN}
