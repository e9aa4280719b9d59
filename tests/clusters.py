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
from urllib.parse import urlsplit

import pytest
import yaml

from tests.memory import in_memory

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
    with tempfile.TemporaryDirectory(prefix="armillary-test-cluster-", dir=in_memory()) as folder:
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
    def started(cls, nodes: str = "fake:3") -> Iterator[Self]:
        """One that runs until the end. Where none can be started, the tests are skipped.

        `nodes`: `real` is one on which pods run, for which this machine may lack what it needs.
        """
        if not _BESIDE.exists():
            pytest.skip(
                "NO KUBERNETES OF OUR OWN: only one that is started here may be killed, or have a real node"
            )
        where = None if nodes == "real" else in_memory()  # a real node's images are gigabytes
        with tempfile.TemporaryDirectory(prefix="armillary-test-cluster-", dir=where) as folder:
            try:
                if nodes == "real":
                    _start_really(folder)
                else:
                    _run("up", "--nodes", nodes, folder=folder, seconds=_UP_SECONDS)
                yield cls(folder=Path(folder))
            finally:
                _run("down", folder=folder, seconds=_DOWN_SECONDS)

    @property
    def kubeconfig(self) -> Path:
        """An administrator's access."""
        return self.folder / "kubeconfig"

    @property
    def host(self) -> str:
        """The address by which pods of a real node reach this machine."""
        address = yaml.safe_load(self.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        return str(urlsplit(address).hostname)

    def do(self, *command: str) -> None:
        """Kill, start, pause or resume a part; or wait until all is ready again."""
        _run(*command, folder=str(self.folder), seconds=_UP_SECONDS)

    def image(self, name: str, *layers: Path, environment: str = "", user: str = "") -> None:
        """Give the real node an image of these folders or tar files."""
        options = [*(["--env", environment] if environment else []), *(["--user", user] if user else [])]
        self.do("image", name, *map(str, layers), *options)

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


def _start_really(folder: str) -> None:
    """With a real node; skip where this machine has not what one needs, which is named."""
    done = _tried("up", "--nodes", "real", folder=folder, seconds=_UP_SECONDS)
    if done.returncode and ("missing:" in done.stderr or "needs root" in done.stderr):
        pytest.skip(f"NO REAL NODE: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr


def _run(*command: str, folder: str, seconds: float) -> None:
    done = _tried(*command, folder=folder, seconds=seconds)
    assert done.returncode == 0, done.stderr


def _tried(*command: str, folder: str, seconds: float) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, str(_BESIDE), *command, "--dir", folder]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=seconds, check=False)
