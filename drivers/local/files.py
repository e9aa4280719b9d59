"""Files of a deployment: written at once, seen by content and mode, removed only when they are ours.

A manifest (path → content hash and mode) is what a look compares with. Files that are not in it are somebody
else's: they are never read, changed or removed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from drivers.base import Conflict

Manifest = Mapping[str, Mapping[str, Any]]


def manifest_of(files: Mapping[str, bytes], mode: int) -> dict[str, dict[str, Any]]:
    """What will be compared with: path → content hash and mode."""
    return {path: {"sha256": _hash(content), "mode": mode} for path, content in sorted(files.items())}


def write_files(folder: Path, files: Mapping[str, bytes], mode: int) -> None:
    """Write files under a folder, each at once; what is as it should be stays. Raises OSError, Conflict."""
    _make_folder(folder)
    for path, content in files.items():
        target = folder / path
        for parent in reversed(PurePosixPath(path).parents[:-1]):
            _make_folder(folder / parent)
        if target.is_dir() and not target.is_symlink():
            raise Conflict(f"{target} is a folder where a file of ours must go; move it away")
        if not _is_as(target, _hash(content), mode):
            write_file(target, content, mode)


def write_file(target: Path, content: bytes, mode: int) -> None:
    """Replace one file at once; never seen with another mode than its own. Raises OSError."""
    temporary = target.with_name(f".{target.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fchmod(descriptor, mode)
    temporary.replace(target)


def remove_files(folder: Path, paths: Iterable[str]) -> list[str]:
    """Remove our files, what Python compiled of them, and the folders that are empty then.

    Returns the names of what others put there and what therefore remains. Raises OSError.
    """
    folders = {folder}
    for path in paths:
        target = folder / path
        target.unlink(missing_ok=True)
        for compiled in (target.parent / "__pycache__").glob(f"{target.stem}.*.pyc"):
            compiled.unlink(missing_ok=True)
        folders |= {folder / parent for parent in PurePosixPath(path).parents}
        folders.add(target.parent / "__pycache__")
    remove_empty(folders)
    return [str(one.relative_to(folder)) for one in sorted(folder.rglob("*")) if not one.is_dir()]


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of some folders that are empty, innermost first."""
    for one in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        with suppress(OSError):
            one.rmdir()


class Sightings:
    """Content hashes of files, computed again only when a file's status changed."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, ...], str]] = {}

    def drift(self, folder: Path, name: str, manifest: Manifest) -> list[str]:
        """Sentences naming each file that is not as it was written. Raises OSError."""
        found = []
        for path, wanted in manifest.items():
            what = self._difference(folder / path, wanted)
            if what:
                found.append(f"{name}/{path} {what}")
        return found

    def _difference(self, path: Path, wanted: Mapping[str, Any]) -> str:
        try:
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            self._known.pop(str(path), None)
            return "is gone"
        if not stat.S_ISREG(status.st_mode):
            return "is no longer a plain file"
        mode = stat.S_IMODE(status.st_mode)
        if mode != wanted["mode"]:
            return f"has mode {mode:o} instead of {wanted['mode']:o}"
        return "" if self._hash(path, status) == wanted["sha256"] else "was edited"

    def _hash(self, path: Path, status: os.stat_result) -> str:
        stamp = (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)
        known = self._known.get(str(path))
        if known is None or known[0] != stamp:
            known = self._known[str(path)] = (stamp, _hash(path.read_bytes()))
        return known[1]


def _make_folder(folder: Path) -> None:
    if folder.is_symlink():
        raise Conflict(f"{folder} is a link where a folder of ours must go; remove it")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _is_as(path: Path, content_hash: str, mode: int) -> bool:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    is_plain = stat.S_ISREG(status.st_mode) and stat.S_IMODE(status.st_mode) == mode
    return is_plain and _hash(path.read_bytes()) == content_hash


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
