"""One `armillary up` at a time on one home: a lock that ends with its holder, however that ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.errors import Refused

_MODE = 0o644  # others may read who holds it


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock while inside; raises Refused naming the process that holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
    try:
        _take(descriptor, path)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # read by position: the holder may be writing its number at this moment
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
        raise Refused(
            f"Another `armillary up` (process {holder}) is at work on this home.",
            where=f"home: {path.parent}",
            todo="Let it finish, press Ctrl-C there, or choose another home with --home.",
        ) from None
