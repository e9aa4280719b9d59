"""The end of a log file, and what is added to it. Blocking: call it in a thread. Bounded in what it reads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_BYTES_MAX = 1 << 20
"""At most so much of the end is read: lines may be long, and logs are bigger than memory."""
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far a file was read. Another file in its place is read from its beginning."""

    inode: int
    offset: int


def tail(path: Path, lines: int) -> tuple[bytes, Position]:
    """The last lines of a file, and where they end. Raises OSError."""
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        begin = max(0, found.st_size - _BYTES_MAX)
        file.seek(begin)
        content = file.read(found.st_size - begin)
    kept = b"".join(content.splitlines(keepends=True)[-lines:]) if lines else b""
    return kept, Position(inode=found.st_ino, offset=begin + len(content))


def added(path: Path, position: Position) -> tuple[bytes, Position]:
    """What was added since, at most a chunk; all of a file that took its place; nothing while none is there.

    Raises OSError for a file that is there and cannot be read.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return b"", position
    with file:
        found = os.fstat(file.fileno())
        is_same = found.st_ino == position.inode and found.st_size >= position.offset
        offset = position.offset if is_same else 0
        file.seek(offset)
        content = file.read(_CHUNK_BYTES)
    return content, Position(inode=found.st_ino, offset=offset + len(content))
