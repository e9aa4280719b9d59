"""Supervision, as Python sees it: start a program under a shim, look at it, ask it to stop.

Used by the local driver for everything it runs, and by the command line for PostgreSQL and the daemon. Nothing
here is the parent of what runs, and nothing here waits for it: whoever calls may die at any moment.

A run folder is one program's place (`rundir` lists its files). Whether it is alive is judged by its locks alone,
never by a pid: a lock is let go by the kernel, whatever happens, and nobody else can come to hold it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import psutil

from drivers.local import kin, shim
from drivers.local.rundir import is_held, read_json, write_json

Condition = Literal[
    "absent",  # no such folder, or nothing was ever started in it
    "queued",  # a shim waits for its predecessor to end
    "starting",
    "running",
    "waiting",  # the program ended and will be started again
    "stopping",
    "unsupervised",  # something of it runs, but its shim is gone
    "lost",  # its shim was killed before it could say how the program ended
    "ended",
]
_SHIM = Path(shim.__file__)
_INHERITED = ("PATH", "LANG", "LC_ALL", "HOME", "TZ")
_INHERITED_NETWORK = (
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)


class SuperviseError(Exception):
    """A program could not be started or removed. The message says what to do and holds no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a shim runs.

    `command[0]` is an absolute path; `env` is complete, nothing is inherited. `digest` says what it is, so that
    starting the same again does nothing; without one it is computed. `secrets` are the values in `env` that must
    not be shown. `user` is `(uid, gid)` to run as, when started by root.
    """

    command: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    cwd: str
    log: str
    mode: Literal["process", "task"] = "process"
    digest: str = ""
    user: tuple[int, int] | None = None
    stop_signal: str = "SIGTERM"
    grace_seconds: float = 20.0
    timeout_seconds: float | None = None
    log_bytes_max: int = 16 * 1024 * 1024
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a program ended: its code, or the name of the signal that ended it. `at` is Unix time."""

    code: int | None
    signal: str | None
    at: float
    duration_seconds: float
    timed_out: bool = False
    stopped: bool = False

    def __str__(self) -> str:
        if self.timed_out:
            return f"did not end within {self.duration_seconds:.0f} s"
        return f"was ended by {self.signal}" if self.signal else f"exited with code {self.code}"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is in a run folder now. `is_current`: what runs is what unit.json says, and nobody edited that."""

    condition: Condition
    uid: str = ""
    digest: str = ""
    is_current: bool = False
    is_edited: bool = False
    is_queued: bool = False
    shim_pid: int | None = None
    child_pid: int | None = None
    started_at: float | None = None
    restarts: int = 0
    last_exit: Exit | None = None

    @property
    def is_alive(self) -> bool:
        """Whether anything of it is still there: the shim, or what it started."""
        return self.condition not in ("absent", "lost", "ended")

    @property
    def is_supervised(self) -> bool:
        """Whether a shim keeps it."""
        return self.condition in ("starting", "running", "waiting")


def environment(extra: Mapping[str, str], *, network: bool = True) -> dict[str, str]:
    """A complete environment: the few variables worth inheriting from this process, then `extra`."""
    names = _INHERITED + (_INHERITED_NETWORK if network else ())
    inherited = {name: os.environ[name] for name in names if name in os.environ}
    return {"PATH": os.defpath, "LANG": "C.UTF-8", **inherited, **extra}


def start(run_dir: Path, program: Program, *, restart: bool = False) -> str:
    """Have a program run in a folder, instead of whatever runs there. Returns the uid of this start.

    Returns once a shim accepted it, which takes milliseconds; a predecessor ends first, in its own grace. The same
    program, already kept and as it should be, is left alone unless `restart`. Raises SuperviseError.
    """
    if not hasattr(signal, program.stop_signal):
        raise SuperviseError(f"{program.stop_signal!r} is no signal of this machine; SIGTERM is the usual one")
    folder = Path(os.path.realpath(run_dir))
    unit = _unit(program)
    state = look(folder)
    if not restart and state.digest == unit["digest"] and state.is_current and state.is_supervised:
        return state.uid
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_json(str(folder / "unit.json"), unit)
    except OSError as error:
        raise SuperviseError(f"{folder} cannot be written: {error.strerror}; free or permit it") from error
    _spawn(folder, "run")
    return str(unit["uid"])


def look(run_dir: Path) -> State:
    """What is in a run folder now. Modifies nothing."""
    path = os.path.realpath(run_dir)
    is_queued, is_supervised, is_alive = (is_held(f"{path}/{name}") for name in ("next.lock", "shim.lock", "lock"))
    state = _state_at(f"{path}/state.json", *_stamp(f"{path}/state.json"))
    unit_uid, is_torn = _unit_at(f"{path}/unit.json", *_stamp(f"{path}/unit.json"))
    is_edited = is_torn and (is_supervised or is_alive)
    condition = _condition(path, state, queued=is_queued, supervised=is_supervised, alive=is_alive)
    if is_supervised and str(state.get("uid")) in _asked_to_stop(path):
        condition = "stopping"
    return State(
        condition=condition,
        uid=str(state.get("uid") or ""),
        digest=str(state.get("digest") or ""),
        is_current=not is_edited and state.get("uid") == unit_uid,
        is_edited=is_edited,
        is_queued=is_queued,
        shim_pid=state.get("shim_pid") if is_supervised else None,
        child_pid=state.get("child_pid") if is_alive else None,
        started_at=state.get("started_at"),
        restarts=int(state.get("restarts") or 0),
        last_exit=_exit(state.get("last_exit")),
    )


def stop(run_dir: Path) -> bool:
    """Ask for everything in a run folder to end: its stop signal, its grace, then SIGKILL. Repeatable.

    Returns whether there was anything to end. Raises SuperviseError.
    """
    folder = Path(os.path.realpath(run_dir))
    state = look(folder)
    pid, _ = _waiting(folder)
    if state.is_alive:
        # Written first: until it heard the signal, a shim looks as if it would run on, and must not be counted on.
        with suppress(OSError):
            (folder / "stop").write_text(f"{state.uid} {pid if state.is_queued else 0}")
    if state.is_queued:
        _signal_waiting(folder)
    if state.condition in ("unsupervised", "lost"):
        _spawn(folder, "end")
    elif state.shim_pid is not None and _is_shim(state.shim_pid, folder):
        kin.send([state.shim_pid], signal.SIGTERM)
    return state.condition not in ("absent", "ended")


async def ended(run_dir: Path, timeout_seconds: float) -> bool:
    """Wait until nothing of a run folder is alive. False when something still is after the timeout."""
    deadline = time.monotonic() + timeout_seconds
    while look(run_dir).is_alive:
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(0.05)
    return True


def remove(run_dir: Path) -> None:
    """Remove a run folder in which nothing is alive. Raises SuperviseError when something is."""
    if look(run_dir).is_alive:
        raise SuperviseError(f"{run_dir} still runs something: stop it first")
    shutil.rmtree(run_dir, ignore_errors=True)


def members(run_dir: Path) -> tuple[int, ...]:
    """The processes of a run folder, its shim not among them."""
    folder = os.path.realpath(run_dir)
    state = look(Path(folder))
    if state.shim_pid is not None:
        return tuple(sorted(kin.relatives(state.shim_pid, state.child_pid or 0)))
    return tuple(sorted(kin.leftovers(folder))) if state.is_alive else ()


def tail(log: Path, lines: int, *, secrets: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The last lines of a log that are not empty, without the secrets."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 64 * 1024))
            text = file.read().decode(errors="replace")
    except OSError:
        return ()
    kept = [line.strip() for line in text.splitlines() if line.strip()][-lines:]
    return tuple(scrub(line, secrets) for line in kept)


def scrub(line: str, secrets: tuple[str, ...]) -> str:
    """A text with every secret masked."""
    for secret in sorted((one for one in secrets if one), key=len, reverse=True):
        line = line.replace(secret, "***")
    return line


def secrets_of(run_dir: Path) -> tuple[str, ...]:
    """The values that must be masked in whatever a run folder's program printed."""
    return tuple(read_json(str(run_dir / "unit.json")).get("secrets") or ())


def _stamp(path: str) -> tuple[int, int, int]:
    try:
        status = os.stat(path)  # noqa: PTH116 -- several times a second for each process
    except OSError:
        return 0, 0, 0
    return status.st_mtime_ns, status.st_ino, status.st_size


@lru_cache(maxsize=4096)
def _state_at(path: str, *_stamp: int) -> Mapping[str, Any]:
    """A state.json, parsed once for each time it was written."""
    return read_json(path)


@lru_cache(maxsize=4096)
def _unit_at(path: str, *_stamp: int) -> tuple[str, bool]:
    """A unit.json's uid, and whether it is not as `start` wrote it."""
    unit = read_json(path)
    return str(unit.get("uid")), unit.get("sum") != _sum(unit)


def _unit(program: Program) -> dict[str, Any]:
    env = {name: value for name, value in program.env.items() if name != "PYTHONDONTWRITEBYTECODE"}
    unit: dict[str, Any] = {
        **{name: getattr(program, name) for name in Program.__dataclass_fields__},
        "command": list(program.command),
        "env": env,
        "user": list(program.user) if program.user else None,
        "secrets": list(program.secrets),
    }
    unit["digest"] = program.digest or _sum(unit)[:24]
    unit["uid"] = uuid.uuid4().hex
    unit["sum"] = _sum(unit)
    return unit


def _sum(unit: Mapping[str, Any]) -> str:
    body = json.dumps({name: value for name, value in unit.items() if name != "sum"}, sort_keys=True)
    return hashlib.sha256(body.encode()).hexdigest()


def _exit(value: Mapping[str, Any] | None) -> Exit | None:
    if not value:
        return None
    return Exit(
        code=value.get("code"),
        signal=value.get("signal"),
        at=float(value.get("at") or 0.0),
        duration_seconds=float(value.get("duration") or 0.0),
        timed_out=bool(value.get("timed_out")),
        stopped=bool(value.get("stopped")),
    )


def _condition(path: str, state: Mapping[str, Any], *, queued: bool, supervised: bool, alive: bool) -> Condition:
    if supervised:
        recorded = state.get("state")
        if recorded in ("running", "waiting"):
            return "running" if recorded == "running" else "waiting"
        return "stopping" if recorded in ("stopping", "ended") else "starting"
    if alive:
        return "unsupervised" if not queued else "queued"
    if queued:
        return "queued"
    if Path(path, "exit.json").exists():
        return "ended"
    return "lost" if Path(path, "unit.json").exists() else "absent"


def _is_shim(pid: int, folder: Path) -> bool:
    """Whether a pid is that folder's shim: never signal whoever was given the number since."""
    try:
        return str(folder) in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False


def _asked_to_stop(path: str) -> list[str]:
    """The uid of a start, and the pid of a waiting shim, that were last asked to stop."""
    return list(_words_at(f"{path}/stop", *_stamp(f"{path}/stop")))


@lru_cache(maxsize=4096)
def _words_at(path: str, *_stamp: int) -> tuple[str, ...]:
    try:
        return tuple(Path(path).read_text().split())
    except OSError:
        return ()


def _waiting(folder: Path) -> tuple[int, str]:
    """The pid and the purpose of the shim that waits in a folder, or last did."""
    try:
        pid, _, purpose = (folder / "next.lock").read_text().partition(" ")
    except OSError:
        return 0, ""
    return (int(pid), purpose) if pid.isdigit() else (0, "")


def _signal_waiting(folder: Path) -> None:
    """End the shim that waits in a folder."""
    pid, _ = _waiting(folder)
    if pid and is_held(str(folder / "next.lock")) and _is_shim(pid, folder):
        kin.send([pid], signal.SIGTERM)


def _spawn(folder: Path, purpose: Literal["run", "end"]) -> None:
    """Start a shim. Another that already waits to run takes over what unit.json now says."""
    command = [sys.executable, "-I", "-S", str(_SHIM), str(folder)] + ["--end"] * (purpose == "end")
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline:
        result = _run(command)
        if result.returncode == 0:
            return
        if result.returncode != shim.QUEUED:
            reason = (result.stderr.decode(errors="replace").strip() or "no reason given").splitlines()[-1]
            raise SuperviseError(f"the shim of {folder} did not start: {reason}")
        pid, waiting_to = _waiting(folder)
        if waiting_to == purpose and str(pid) not in _asked_to_stop(str(folder)):
            return
        _signal_waiting(folder)
    raise SuperviseError(f"the shim of {folder} did not get its turn within 10 s; look at what runs there")


def _run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    env = {"PATH": os.defpath, "LANG": "C.UTF-8"}
    try:
        return subprocess.run(
            command,
            env=env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=15.0,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SuperviseError(f"no shim could be started: {error}") from error
