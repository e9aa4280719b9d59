"""A real Kubernetes for the tests: the one that `ARMILLARY_TEST_KUBECONFIG` names, or one that is started here.

Where there is neither, the tests that need it are skipped, and say so.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

_NAMED = "ARMILLARY_TEST_KUBECONFIG"
_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "cluster" / "cluster.py"
_UP_SECONDS = 120.0
_DOWN_SECONDS = 60.0


@pytest.fixture(scope="session")
def kubeconfig() -> Iterator[Path]:
    """The file that gives an administrator's access to a cluster, in which these tests may do anything."""
    named = os.environ.get(_NAMED)
    if named:
        yield Path(named)
        return
    if not _BESIDE.exists():
        pytest.skip(f"NO KUBERNETES: set {_NAMED} to the kubeconfig of a cluster for tests")
    with tempfile.TemporaryDirectory(prefix="armillary-test-cluster-") as folder:
        # a process group of its own: Ctrl-C ends the tests, and they end the cluster
        _run("up", folder, _UP_SECONDS)
        try:
            yield Path(folder) / "kubeconfig"
        finally:
            _run("down", folder, _DOWN_SECONDS)


def with_token(kubeconfig: Path, token: str, file: Path) -> Path:
    """Write the same cluster's kubeconfig for somebody who is known by a token."""
    known = yaml.safe_load(kubeconfig.read_text())
    for user in known["users"]:
        user["user"] = {"token": token}
    file.write_text(yaml.safe_dump(known))
    return file


def _run(command: str, folder: str, seconds: float) -> None:
    arguments = [sys.executable, str(_BESIDE), command, "--dir", folder]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr
