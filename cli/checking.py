"""`armillary up --check`: the whole of `up` in a home that exists only for it, then nothing is left of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import psutil

from cli import ending, ports
from cli.errors import CommandError, Failed, Misused
from cli.home import Home
from cli.progress import Screen
from cli.up import Up, Wish

_LAST_SECONDS = 10.0


async def check(wish: Wish, screen: Screen) -> None:
    """Run `up` on a temporary home and a free port; whatever happens, remove both. Raises what `up` raised."""
    if wish.database is not None:
        raise Misused(
            "--check makes a database of its own and leaves nothing behind; yours would keep what it made.",
            todo="Leave out --database, and unset ARMILLARY_DATABASE.",
        )
    home = Home(_folder())
    screen.say(f"checking in {home.path}")
    try:
        await Up(replace(wish, home=home, port=ports.free_port(), stays=False, is_trial=True), screen).run()
    finally:
        await _remove(home, screen)
    screen.say("the check passed, and nothing of it is left", "bold green")


def _folder() -> Path:
    """A folder that PostgreSQL's unprivileged user can enter: as root, its own part of it must be open too."""
    folder = Path(tempfile.mkdtemp(prefix="armillary-check-"))
    if os.geteuid() == 0:
        folder.chmod(0o711)
    return folder


async def _remove(home: Home, screen: Screen) -> None:
    try:
        await ending.down(home, screen.say)
    except CommandError as error:
        screen.say(error.what, "red")
    left = _processes(home.path)
    for process in left:
        process.kill()
    gone, alive = psutil.wait_procs(left, timeout=_LAST_SECONDS)
    shutil.rmtree(home.path, ignore_errors=True)
    if gone or alive or home.path.exists():
        names = ", ".join(f"process {one.pid}" for one in (*gone, *alive)) or str(home.path)
        raise Failed(f"The check left something behind: {names}.", where=str(home.path))


def _processes(folder: Path) -> list[psutil.Process]:
    """Processes that work in a folder or were started from it. It is ours alone, so they are ours."""
    return [process for process in psutil.process_iter() if _is_of(process, str(folder))]


def _is_of(process: psutil.Process, folder: str) -> bool:
    try:
        words = [process.cwd(), *process.cmdline()]
    except psutil.Error:
        return False
    return any(word == folder or word.startswith(f"{folder}/") for word in words)
