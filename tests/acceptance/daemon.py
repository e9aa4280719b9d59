"""A daemon as a process, on a database and a home of its own, with one Kubernetes cluster called `east`."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from cli.ports import free_port
from tests.conformance.kubernetes_rig import Hands

from .world import ARMILLARY, until


@dataclass(kw_only=True)
class Daemon:
    """One deployment on the cluster, `demo/hello`, kept by a daemon; asked for and looked at in SQL."""

    home: Path
    database: str
    hands: Hands
    namespace: str = "armillary-demo-hello"
    process: subprocess.Popen[bytes] | None = field(default=None)

    def configure(self, kubeconfig: Path, **settings: str) -> None:
        """Write the home's file: a resync every few seconds, so that a test sees some."""
        lines = ["resync_interval_seconds = 5", "[kubernetes.east]", f'kubeconfig = "{kubeconfig}"']
        lines += [f'{name} = "{value}"' for name, value in settings.items()]
        (self.home / "armillary.toml").write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        with (self.home / "serve.log").open("ab") as log:
            place = ["--home", str(self.home), "--database", self.database, "--port", str(free_port())]
            self.process = subprocess.Popen(
                [ARMILLARY, "serve", *place], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until(
            "the cluster to be offered", lambda: self.sql("SELECT 1 FROM armillary.clusters WHERE name = 'east'")
        )

    def end(self, number: int = signal.SIGTERM) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)
        self.process.wait(timeout=30)

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def led(self) -> int:
        """How many daemons have led so far."""
        return (self.home / "serve.log").read_text().count("leadership changed")

    def is_well(self) -> bool:
        told = "SELECT synced, ready FROM armillary.fleet WHERE generation = observed_generation"
        return self.sql(told) == [("True", "True")]

    def settle(self, seconds: float = 90.0) -> None:
        until("demo/hello to be Synced and Ready", self.is_well, seconds=seconds, every=0.1)

    def there(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """What is in the deployment's namespace of a kind, by name."""
        found = self.hands.listed(kind, "app.kubernetes.io/managed-by=armillary")
        inside = [
            one for one in found if self.namespace in (one["metadata"].get("namespace"), one["metadata"]["name"])
        ]
        return {one["metadata"]["name"]: one for one in inside}
