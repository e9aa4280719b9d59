"""What must be true of this machine before `armillary up` touches anything.

Each function looks at one thing and raises an error that says what to do. The reader of free space is an
argument, so that a full disk can be tested without filling one.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from cli import ports
from cli.errors import Failed, NotPermitted, Refused
from cli.home import Home

MIB = 1024 * 1024
GIB = 1024 * MIB

PYTHON_MIN, PYTHON_BELOW = (3, 11), (3, 14)
"""The versions that the lock file was resolved for."""

FREE_BYTES_NEW = int(1.5 * GIB)
"""Room for a first start: a runtime (0.4 GiB), PostgreSQL with its log (0.5 GiB), task logs, and slack."""

FREE_BYTES_AGAIN = 200 * MIB
"""Room for going on with a runtime that is already there: PostgreSQL stops working on a full disk."""

FreeSpace = Callable[[Path], int]
"""Reads the free bytes of the file system that a folder is on."""


def free_bytes(folder: Path) -> int:
    """The bytes an ordinary user may still write on the file system of a folder."""
    return shutil.disk_usage(folder).free


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> None:
    """Raise Failed unless this Python is one that Armillary's lock file covers."""
    if not PYTHON_MIN <= version[:2] < PYTHON_BELOW:
        raise Failed(
            f"Python {_dotted(version)} is not supported: {_dotted(PYTHON_MIN)} or newer, "
            f"and older than {_dotted(PYTHON_BELOW)}, is needed.",
            where=sys.executable,
            todo="Make the environment anew with another Python: uv venv --python 3.13",
        )


def check_home(home: Home) -> None:
    """Make the home's folder when it is absent; raise NotPermitted or Failed unless it can be written."""
    try:
        _make(home.path)
        with tempfile.TemporaryFile(dir=home.path):
            pass
    except PermissionError as error:
        raise NotPermitted(
            f"The home {home.path} is not writable for {_user()}.",
            where=f"while writing {error.filename or home.path}",
            todo="Give that folder to this user, or choose another with --home or ARMILLARY_HOME.",
        ) from None
    except (FileExistsError, NotADirectoryError):
        raise Failed(
            f"The home {home.path} is not a folder.", todo="Choose another with --home or ARMILLARY_HOME."
        ) from None
    except OSError as error:
        raise Failed(
            f"The home {home.path} cannot be used: {error.strerror}.",
            todo="Make room there, or choose another with --home or ARMILLARY_HOME.",
        ) from None


def _make(folder: Path) -> None:
    if folder.is_dir():
        return
    folder.mkdir(parents=True)
    # as root, PostgreSQL's own user must be able to pass through; what is secret inside has mode 600
    folder.chmod(0o755 if os.geteuid() == 0 else 0o700)


def check_space(home: Home, free: FreeSpace = free_bytes) -> None:
    """Raise Failed unless there is room: 1.5 GiB before a runtime is installed, 200 MiB afterwards."""
    installed = any(home.runtimes.glob("*/runtime.json"))
    needed = FREE_BYTES_AGAIN if installed else FREE_BYTES_NEW
    found = free(home.path)
    if found < needed:
        raise Failed(
            f"Not enough disk space: {found / GIB:.2f} GiB are free and {needed / GIB:.2f} GiB are needed.",
            where=f"on the file system of {home.path}",
            todo="Make room there, or choose a home on another disk with --home or ARMILLARY_HOME.",
        )


def check_port(port: int) -> None:
    """Raise Refused, naming who holds it, unless the daemon's port is free."""
    if not ports.is_free(port):
        raise Refused(
            f"Port {port} is taken by {ports.holder(port)}.",
            where=f"{ports.LOOPBACK}:{port}, where Armillary's API would listen",
            todo="Stop that process, or choose another port with --port.",
        )


def _user() -> str:
    return f"user {os.geteuid()}"


def _dotted(version: tuple[int, ...]) -> str:
    return f"{version[0]}.{version[1]}"
