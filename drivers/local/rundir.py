"""The files of a run folder: small JSON written at once, and locks that say what is alive.

Standard library only, because the shim uses it.

    unit.json   what to run; mode 600, because it holds the environment
    lock        flock held by the shim and, inherited, by what the program starts: held = something still runs
    shim.lock   flock held by the shim alone: held = supervised
    next.lock   flock held by a shim that waits for its predecessor; its content is that shim's pid and purpose
    stop        the uid of the start, and the pid of the waiting shim, that were last asked to stop
    state.json  what runs now; exit.json how the last program ended, written when the shim ends
"""

# pathlib and typing alone would cost every supervised process two more MiB.
# ruff: noqa: PTH105, PTH108, PTH123

from __future__ import annotations

import fcntl
import json
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def read_json(path: str) -> dict[str, Any]:
    """The JSON object in a file; empty when there is none or it cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_json(path: str, value: dict[str, Any]) -> None:
    """Replace a file at once, readable by its owner alone. Raises OSError."""
    temporary = f"{path}.{os.urandom(4).hex()}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(value, file)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


def take(path: str, seconds: float) -> int | None:
    """Hold a lock file: its descriptor, or None when it stays held by another for so long."""
    deadline = time.monotonic() + seconds
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            return descriptor
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.02)


def is_held(path: str) -> bool:
    """Whether somebody holds a lock file. A shared probe: two lookers never see each other."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
