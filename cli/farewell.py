"""What `up` says when all is well: where everything is, how to log in, and three things to try next."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from cli.home import Home, default_home
from cli.login import Login
from cli.names import DeploymentName
from drivers.local import supervise

_ON_AGAIN = "UPDATE armillary.components SET replicas = 1 WHERE deployment = '{name}' AND component = 'triggerer'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One thing to try: what it shows, and the command to type."""

    what: str
    command: str


def trials(home: Home, api_url: str, name: DeploymentName, release: str) -> tuple[Trial, ...]:
    """Three things to try next: one by HTTP, one by SQL, and one kill."""
    deployment = home.deployments / release
    found = (
        Trial(
            what="HTTP: switch the triggerer off",
            command=f"curl -s -X PATCH -H 'Content-Type: application/merge-patch+json' "
            f'-H "Authorization: Bearer $(cat {shlex.quote(str(home.token))})" '
            f"""-d '{{"components": {{"triggerer": {{"replicas": 0}}}}}}' {api_url}{name.path}""",
        ),
        Trial(
            what="SQL: and on again, as an administrator would",
            command=f'{command(home)} psql -c "{_ON_AGAIN.format(name=name)}"',
        ),
    )
    pid = pid_of(deployment, "scheduler")
    if pid is None:
        return found
    kill = Trial(what="kill: it comes back, and nothing else restarts", command=f"kill -9 {pid}")
    return (*found, kill)


def pid_of(deployment: Path, unit: str) -> int | None:
    """The process that a unit of a deployment runs as now; None when there is none."""
    pids = (supervise.look(folder).child_pid for folder in sorted(deployment.glob(f"run/{unit}-*")))
    return next((pid for pid in pids if pid), None)


def command(home: Home) -> str:
    """How to call `armillary` so that it finds this home, from where the person is."""
    found = shutil.which("armillary")
    own = str(Path(sys.argv[0]).absolute()) if Path(sys.argv[0]).name == "armillary" else "armillary"
    name = "armillary" if found == own else own
    return name if home.path == default_home() else f"ARMILLARY_HOME={shlex.quote(str(home.path))} {name}"


def show(out: Console, *, login: Login | None, api_url: str, home: Home, tries: tuple[Trial, ...]) -> None:
    """Print it all."""
    out.print()
    if login is not None:
        out.print(Text.assemble(("Airflow    ", "bold"), (login.url, "bold green")))
        out.print(Text.assemble(("           ", ""), f"log in as {login.username} with {login.password}"))
    out.print(Text.assemble(("API        ", "bold"), (api_url, "bold green")))
    out.print(Text(f"           token in {home.token}"))
    if tries:
        out.print(Text(f"\nThree things to try, with `{command(home)} status` beside them:", style="bold"))
    for one in tries:
        out.print(Text(f"  {one.what}"))
        out.print(Text(f"    {one.command}", style="cyan"), soft_wrap=True)
