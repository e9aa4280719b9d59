"""A real Kubernetes for the tests: the one that `ARMILLARY_TEST_KUBECONFIG` names, or one that is started here.

Where there is neither, the tests that need it are skipped, and say so.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

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
        _run("up", folder=folder, seconds=_UP_SECONDS)
        try:
            yield Path(folder) / "kubeconfig"
        finally:
            _run("down", folder=folder, seconds=_DOWN_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCluster:
    """A cluster of one test module alone, whose parts may be killed and whose log may be read."""

    folder: Path

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[Self]:
        """One that runs until the end. Where none can be started, the tests are skipped."""
        if not _BESIDE.exists():
            pytest.skip("NO KUBERNETES OF OUR OWN: only one that is started here may be killed")
        with tempfile.TemporaryDirectory(prefix="armillary-test-cluster-") as folder:
            _run("up", folder=folder, seconds=_UP_SECONDS)
            try:
                yield cls(folder=Path(folder))
            finally:
                _run("down", folder=folder, seconds=_DOWN_SECONDS)

    @property
    def kubeconfig(self) -> Path:
        """An administrator's access."""
        return self.folder / "kubeconfig"

    def do(self, *command: str) -> None:
        """Kill, start, pause or resume a part; or wait until all is ready again."""
        _run(*command, folder=str(self.folder), seconds=_UP_SECONDS)

    def audit(self) -> str:
        """A line of JSON for each request that the API server has answered."""
        return (self.folder / "audit.log").read_text()


def with_token(kubeconfig: Path, token: str, file: Path) -> Path:
    """Write the same cluster's kubeconfig for somebody who is known by a token."""
    known = yaml.safe_load(kubeconfig.read_text())
    for user in known["users"]:
        user["user"] = {"token": token}
    file.write_text(yaml.safe_dump(known))
    return file


def _run(*command: str, folder: str, seconds: float) -> None:
    arguments = [sys.executable, str(_BESIDE), *command, "--dir", folder]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr
