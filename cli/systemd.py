"""`armillary install`: the systemd unit that keeps a home's world up, through logouts and reboots.

The unit's main process is `armillary up`, which adopts what runs. Only that one is systemd's to signal: Airflow
and PostgreSQL outlive it, and end in their order, by `armillary down`, when the service is stopped.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Annotated

import platformdirs
import typer
from rich.text import Text

from cli.errors import Misused, NotPermitted, Refused
from cli.home import Home, resolve
from cli.output import console
from cli.running import PORT, PortOption
from cli.session import HomeOption

_NAME = "armillary.service"
_SYSTEM = Path("/etc/systemd/system")
_MARK = "# Written by `armillary install`: run that again instead of editing; `systemctl edit` adds what is yours."
_PLAIN = re.compile(r"[\w@+:,./=-]+")

_UNIT = """{mark}
[Unit]
Description=Armillary: Apache Airflow for many teams ({home})
{ordering}
[Service]
Type=exec
ExecStart={up}
# A new daemon, while Airflow runs on: what is to be done after an upgrade.
ExecReload=/bin/kill -INT $MAINPID
# Also called when `up` ended by itself; then nothing is stopped, and it is started again.
ExecStop=/bin/sh -c 'test -z "$$MAINPID" || exec "$$0" "$$@"' {down}
# `down` ends by itself: each process has a grace of its own.
TimeoutStopSec=infinity
KillMode=process
KillSignal=SIGINT
Restart=always
RestartSec=5
# One of Airflow's processes that the kernel ends for memory is replaced; the others are not to end with it.
OOMPolicy=continue
LimitNOFILE=65536

[Install]
WantedBy={target}
"""


def install(
    *,
    systemd: Annotated[bool, typer.Option("--systemd", help="Write a systemd unit.")] = False,
    show: Annotated[bool, typer.Option("--print", help="Only print it.")] = False,
    port: PortOption = PORT,
    home: HomeOption = None,
) -> None:
    """Have the service manager keep everything up: for root the machine's, for others the user's own."""
    if not systemd:
        raise Misused("Say which service manager: armillary install --systemd")
    text = unit(resolve(home), port=port, is_root=os.geteuid() == 0)
    if show:
        typer.echo(text, nl=False)
        return
    file = place(is_root=os.geteuid() == 0)
    write(file, text)
    out = console()
    out.print(Text(f"wrote {file}"))
    for line in _next(is_root=os.geteuid() == 0):
        out.print(Text(f"  {line}", style="cyan"), soft_wrap=True)


def place(*, is_root: bool) -> Path:
    """Where the service manager looks for the unit."""
    return (_SYSTEM if is_root else platformdirs.user_config_path("systemd") / "user") / _NAME


def unit(home: Home, *, port: int, is_root: bool) -> str:
    """The unit's text. Paths in it are absolute, so that it means the same home for ever."""
    command = (str(_program()), "{}", "--home", str(home.path))
    up, down = ([one.format(verb) for one in command] for verb in ("up", "down"))
    network = "Wants=network-online.target\nAfter=network-online.target\n"
    return _UNIT.format(
        mark=_MARK,
        home=str(home.path).replace("%", "%%"),
        ordering=network if is_root else "",
        up=" ".join(map(_quoted, [*up, "--port", str(port)])),
        down=" ".join(map(_quoted, down)),
        target="multi-user.target" if is_root else "default.target",
    )


def write(file: Path, text: str) -> None:
    """Put the unit in its place. Raises Refused for a unit of somebody else's, NotPermitted."""
    try:
        if file.exists() and not file.read_text().startswith(_MARK):
            raise Refused(
                f"{file} was not written by Armillary.",
                todo="Move it away, or compare it with: armillary install --systemd --print",
            )
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_name(f".{file.name}.new")
        new.write_text(text)
        new.replace(file)
    except PermissionError as error:
        raise NotPermitted(
            f"{error.filename} cannot be written.", todo="Run it as who may, or write it yourself from --print."
        ) from None


def _next(*, is_root: bool) -> tuple[str, ...]:
    if is_root:
        return ("systemctl daemon-reload", "systemctl enable --now armillary", "journalctl -fu armillary")
    return (
        "systemctl --user daemon-reload",
        "systemctl --user enable --now armillary",
        "loginctl enable-linger    # so that it runs while you are logged out",
    )


def _program() -> Path:
    """The `armillary` that was called, as an absolute path: a service manager knows no PATH of ours."""
    called = Path(sys.argv[0])
    found = called if called.name == "armillary" else Path(sys.executable).with_name("armillary")
    return found.absolute()


def _quoted(word: str) -> str:
    """A word of a command line as systemd.service(5) reads it."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if _PLAIN.fullmatch(word) else f'"{escaped}"'
