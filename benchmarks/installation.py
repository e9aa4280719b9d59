"""An installation that exists only for a benchmark: started by `armillary up --detach`, removed afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

from cli import store
from cli.home import Home
from cli.ports import free_port

ARMILLARY = Path(sys.executable).parent / "armillary"
DEPLOYMENT = "demo/hello"

_UP_SECONDS = 900.0
_DOWN_SECONDS = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A running installation with the quickstart's deployment, Ready."""

    home: Home
    port: int

    def get(self, path: str, *, timeout_seconds: float = 5.0) -> Any:
        """The JSON that the API answers; raises OSError while it does not."""
        headers = {"Authorization": f"Bearer {self.home.token.read_text().strip()}"}
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        with urllib.request.urlopen(asked, timeout=timeout_seconds) as answer:
            body = answer.read()
        return json.loads(body) if "json" in answer.headers.get_content_type() else body.decode()

    def status(self) -> Any:
        """The status of the deployment."""
        return self.get("/v1/workspaces/demo/deployments/hello/status")

    def is_synced(self) -> bool:
        """True when the newest generation was observed and everything is as asked."""
        try:
            found = self.status()
        except OSError:
            return False
        synced = any(one["type"] == "Synced" and one["status"] == "True" for one in found["conditions"])
        return synced and found["generation"] == found["observed_generation"]

    def daemon(self) -> psutil.Process:
        """The daemon's process, as the daemon itself says."""
        return psutil.Process(int(json.loads(self.home.daemon.read_text())["pid"]))

    def connect(self) -> psycopg.Connection[Any]:
        """A connection to the state database, each statement its own transaction."""
        return psycopg.connect(store.url_of(self.home), autocommit=True)

    def airflow_pids(self) -> dict[str, int]:
        """The process of each Airflow unit, by its run folder."""
        return {
            folder.name: int(json.loads((folder / "state.json").read_text()).get("child_pid") or 0)
            for folder in sorted(self.home.deployments.glob("*/run/*-0"))
        }


@contextmanager
def installation() -> Iterator[Installation]:
    """Start everything, wait until the quickstart's deployment is Ready and its DAG ran, and remove it all."""
    folder = Path(tempfile.mkdtemp(prefix="armillary-bench-home-"))
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    port = free_port()
    try:
        _armillary("up", "--detach", "--port", str(port), "--home", str(folder), timeout=_UP_SECONDS)
        yield Installation(home=Home(folder), port=port)
    finally:
        _armillary("down", "--home", str(folder), timeout=_DOWN_SECONDS)
        shutil.rmtree(folder)


def _armillary(*arguments: str, timeout: float) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("ARMILLARY_")}
    done = subprocess.run(
        [str(ARMILLARY), *arguments], env=env, capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"armillary {arguments[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def until(is_so: Callable[[], bool], what: str, *, seconds: float = 60.0, every_seconds: float = 0.005) -> float:
    """Wait for it; the monotonic time at which it was seen. Raises TimeoutError."""
    deadline = time.perf_counter() + seconds
    while not is_so():
        if time.perf_counter() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(every_seconds)
    return time.perf_counter()
