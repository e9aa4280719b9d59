"""Starting the world of a home: its PostgreSQL and its daemon, each under a shim, so that they outlive `up`.

What already runs as it should is left alone. Nothing here waits without a deadline, and what does not come up is
explained by the end of its log.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from cli import ending, installation, ports, preflight, store
from cli.errors import CommandError, Failed
from cli.home import Home
from cli.interruption import in_thread
from cli.waiting import until
from drivers.local import supervise
from model.digest import digest
from state import embedded, errors

_STATE_SECONDS = 90.0  # after a crash PostgreSQL replays its log before it answers
_DAEMON_SECONDS = 60.0
_LOOK_SECONDS = 1.0  # between looks whether a program crashes
_CRASHES_MAX = 3  # a program that ended so often within one wait will not come up
_POSTGRES_GRACE_SECONDS = 60.0  # a fast stop writes a checkpoint; killed, the next start replays the log
_DAEMON_GRACE_SECONDS = 20.0  # longer than the daemon's own shutdown grace
_LOG_LINES = 20
_PASSED_ON = ("UV_", "PIP_", "XDG_")
"""Where the daemon finds an index and a cache: it installs runtimes as this user would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """A daemon that answers. `is_ours`: this command started it, so it ends it."""

    url: str
    is_ours: bool


async def start_state(home: Home, given: str | None) -> str:
    """Start the state database unless the user gave one; its URL, once it answers."""
    installation.remember_database(home, given)
    if url := store.given_url(home):
        return url
    with store.told():
        server = await in_thread(lambda: embedded.prepare(home.path))
    _start(home.postgres_run, _postgres(home, server))

    async def answered() -> bool | None:
        return await _answered(server) or None

    await _up(home.postgres_run, until("PostgreSQL to answer", answered, timeout_seconds=_STATE_SECONDS))
    return server.url


async def migrate_state(url: str) -> None:
    """Bring the state database to this release's schema."""
    from state.migrate import migrate  # noqa: PLC0415 - Alembic alone takes half a second to import

    with store.told():
        await migrate(url)


def check_port(home: Home, port: int) -> None:
    """Raise Refused, naming the holder, when somebody else than this home's daemon has the daemon's port."""
    if is_running(home) and _own_port(home) == port:
        return
    preflight.check_port(port)


async def start_daemon(home: Home, port: int) -> Daemon:
    """Start the daemon, or find it running as it should; returns once it says that it is ready.

    One that was started here and does not become ready is stopped again.
    """
    url = f"http://{ports.LOOPBACK}:{port}"
    before = supervise.look(home.daemon_run).uid
    is_ours = _start(home.daemon_run, _daemon(home, port)) != before

    async def ready() -> bool | None:
        return await answers(f"{url}/readyz") or None

    waiting = until("the daemon to be ready", ready, timeout_seconds=_DAEMON_SECONDS, every_seconds=0.1)
    try:
        await _up(home.daemon_run, waiting)
    except BaseException:
        if is_ours:
            await ending.end([home.daemon_run])
        raise
    return Daemon(url=url, is_ours=is_ours)


def is_running(home: Home) -> bool:
    """True while anything keeps the home's daemon."""
    return supervise.look(home.daemon_run).is_alive


async def answers(url: str) -> bool:
    """True when a GET there is answered with 200 within two seconds."""
    timeout = aiohttp.ClientTimeout(total=2.0)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def log_of(folder: Path) -> Path:
    """Where the output of what runs in a platform part's folder goes."""
    return folder / "log"


def _own_port(home: Home) -> int | None:
    """Where the home's daemon says that it listens."""
    try:
        return urlsplit(str(json.loads(home.daemon.read_text())["url"])).port
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _postgres(home: Home, server: embedded.Embedded) -> supervise.Program:
    return supervise.Program(
        command=tuple(server.command),
        env=server.env,
        cwd=str(server.folder),
        log=str(log_of(home.postgres_run)),
        digest=digest("postgres", server.command),
        user=server.user,
        stop_signal="SIGINT",
        grace_seconds=_POSTGRES_GRACE_SECONDS,
    )


def _daemon(home: Home, port: int) -> supervise.Program:
    command = (sys.executable, "-m", "cli.main", "serve", "--home", str(home.path), "--port", str(port))
    passed_on = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    return supervise.Program(
        command=command,
        env=supervise.environment({**passed_on, "PYTHONUNBUFFERED": "1"}),
        cwd=str(home.path),
        log=str(log_of(home.daemon_run)),
        # not the environment: a second `up` from another shell must not restart the daemon
        digest=digest("serve", command, importlib.metadata.version("armillary"), store.given_url(home)),
        grace_seconds=_DAEMON_GRACE_SECONDS,
    )


def _start(folder: Path, program: supervise.Program) -> str:
    folder.parent.mkdir(exist_ok=True)
    try:
        return supervise.start(folder, program)
    except supervise.SuperviseError as error:
        raise Failed(str(error)) from error


async def _up(folder: Path, waiting: Coroutine[Any, Any, object]) -> None:
    """Wait for what runs in a folder; end early when it crashes again and again, and show the end of its log."""
    waiter = asyncio.create_task(waiting)
    begun = supervise.look(folder).restarts
    try:
        with store.told():
            while not (await asyncio.wait({waiter}, timeout=_LOOK_SECONDS))[0]:
                _check_crashes(folder, begun)
            await waiter
    except CommandError as error:
        error.where = error.where or f"its log: {log_of(folder)}"
        error.lines = error.lines or supervise.tail(log_of(folder), _LOG_LINES)
        raise
    finally:
        waiter.cancel()


def _check_crashes(folder: Path, begun: int) -> None:
    state = supervise.look(folder)
    if state.restarts - begun >= _CRASHES_MAX:
        raise Failed(f"{folder.name} does not stay up: it {state.last_exit}, {_CRASHES_MAX} times.")


async def _answered(server: embedded.Embedded) -> bool:
    try:
        await server.wait_ready(_LOOK_SECONDS)
    except errors.Unreachable:
        return False
    return True
