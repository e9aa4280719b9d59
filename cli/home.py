"""The home: the one folder in which an installation keeps everything it has on this machine.

Names the places and nothing more: who writes a file decides what is in it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

ROOT_HOME = Path("/var/lib/armillary")
"""Where root's home is: PostgreSQL drops to an unprivileged user, who cannot enter /root."""


@dataclass(frozen=True, slots=True)
class Home:
    """The places of one installation."""

    path: Path

    @property
    def lock(self) -> Path:
        """Held by a running `armillary up`."""
        return self.path / "home.lock"

    @property
    def installation(self) -> Path:
        """Who this installation is, written once."""
        return self.path / "installation.json"

    @property
    def keyring(self) -> Path:
        """The keys that seal secrets (mode 600)."""
        return self.path / "keyring.json"

    @property
    def token(self) -> Path:
        """The bearer token that the command line uses by itself (mode 600)."""
        return self.path / "token"

    @property
    def daemon(self) -> Path:
        """Where the running daemon listens, written by it."""
        return self.path / "daemon.json"

    @property
    def database(self) -> Path:
        """The URL of the user's own PostgreSQL (mode 600), absent when the embedded one is used."""
        return self.path / "database"

    @property
    def postgres(self) -> Path:
        """The embedded PostgreSQL's folder."""
        return self.path / "postgres"

    @property
    def postgres_run(self) -> Path:
        """The run folder of the embedded PostgreSQL."""
        return self.path / "run" / "postgres"

    @property
    def daemon_run(self) -> Path:
        """The run folder of the daemon."""
        return self.path / "run" / "serve"

    @property
    def runtimes(self) -> Path:
        """Virtual environments, one an Airflow version."""
        return self.path / "runtimes"

    @property
    def deployments(self) -> Path:
        """One folder a deployment, named by its release."""
        return self.path / "deployments"


def default_home() -> Path:
    """Where a home is when nobody says: the XDG data folder, or `/var/lib/armillary` for root."""
    if os.geteuid() == 0:
        return ROOT_HOME
    return platformdirs.user_data_path("armillary")


def resolve(option: Path | None = None, environ: Mapping[str, str] = os.environ) -> Home:
    """The home that is meant: `--home`, else `$ARMILLARY_HOME`, else the default. Always absolute."""
    chosen = option or Path(environ.get("ARMILLARY_HOME") or default_home())
    return Home(chosen.expanduser().absolute())
