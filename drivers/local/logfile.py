"""A program's log on disk, bounded: what is too much is moved aside, and of what was moved aside three are kept.

Standard library only, and little of it: the shim imports this.
"""

# ruff: noqa: PTH105, PTH107, PTH110, PTH116

from __future__ import annotations

import errno
import os

_KEPT = 3
_CHUNK_BYTES = 1 << 16


def opened(path: str, bytes_max: int) -> int:
    """A descriptor that appends to the log. A log of more than `bytes_max` is moved aside first.

    On a full disk what is written goes nowhere: better without a log than not at all.
    """
    try:
        if os.stat(path).st_size > bytes_max:
            _shift(path)
            os.replace(path, f"{path}.1")
    except OSError:
        pass  # none yet
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def bound(path: str, bytes_max: int) -> None:
    """Move aside what a running program wrote, when it is more than `bytes_max` (0: never); it goes on writing.

    The file stays the same one, emptied, because the program holds it open and appends. What it writes in the
    instant between the end of the copy and the cut is lost. Where there is no room for a copy nothing is moved.
    """
    aside = f"{path}.new"
    try:
        if bytes_max and os.stat(path).st_size > bytes_max:
            _copy(path, aside)
            _shift(path)
            os.replace(aside, f"{path}.1")
            os.truncate(path, 0)
    except OSError:
        _remove(aside)


def _copy(path: str, to: str) -> None:
    source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    target = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        while chunk := os.read(source, _CHUNK_BYTES):
            if os.write(target, chunk) < len(chunk):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), to)
    finally:
        os.close(source)
        os.close(target)


def _shift(path: str) -> None:
    for older in range(_KEPT - 1, 0, -1):
        if os.path.exists(f"{path}.{older}"):
            os.replace(f"{path}.{older}", f"{path}.{older + 1}")


def _remove(path: str) -> None:
    try:
        os.remove(path)
    except OSError:
        return  # there is none
