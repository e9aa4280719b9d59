"""The stock of runtimes of a home: which are there, how big they are, who uses them; and removing one.

A runtime is used by the deployments whose records name it and by every run folder that starts from it, also one
that only waits to end. Who could not be read counts as a user: a runtime is removed only when nobody can miss it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivers.local import supervise
from drivers.local.runtime import Lock, RuntimeState, look_runtime, runtime_folder

_FOLDER = re.compile(r"(?P<version>.+)-(?P<digest>[0-9a-f]{8})")
_BUILD = ".build"
_GOING = ".going"  # a runtime that is being removed: nobody finds it under its name any more


class InUseError(Exception):
    """A runtime that somebody needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """One runtime. `folder`: its name under `runtimes`. `is_offered`: this release would build it.

    `used_by`: releases of deployments, sorted. `size_bytes`: of all its files; those that it shares with the
    cache of its installer count too.
    """

    folder: str
    image: str
    state: RuntimeState
    size_bytes: int
    used_by: tuple[str, ...]
    is_offered: bool


def stock(home: Path, locks: Mapping[str, Lock]) -> tuple[Runtime, ...]:
    """Every runtime that is there or on offer. Raises OSError."""
    offered = {runtime_folder(lock): lock for lock in locks.values()}
    users = _users(home)
    return tuple(
        Runtime(
            folder=name,
            image=_lock(name, offered).image,
            state=look_runtime(home, offered[name]) if name in offered else _left_over(home, name),
            size_bytes=_size(home / "runtimes" / name),
            used_by=tuple(sorted(release for release, used in users.items() if name in used)),
            is_offered=name in offered,
        )
        for name in sorted({*offered, *_folders(home)})
    )


def remove(home: Path, folder: str) -> int:
    """Remove a runtime; how many bytes that freed. Raises InUseError naming who uses it, OSError.

    A deployment that comes to need it in this moment has it built again, as one that was damaged.
    """
    users = sorted(release for release, used in _users(home).items() if folder in used)
    if users:
        raise InUseError(f"the runtime {folder} is used by {', '.join(users)}")
    place = home / "runtimes" / folder
    build, going = (place.with_name(folder + ending) for ending in (_BUILD, _GOING))
    if supervise.look(build).is_alive:
        raise InUseError(f"the runtime {folder} is being built")
    size = _size(place)
    for link in place.parent.iterdir():
        if link.is_symlink() and os.readlink(link) == folder:  # noqa: PTH115 - as it is written
            link.unlink()
    if place.exists():
        place.replace(going)
    for one in (going, build):
        if one.exists():
            shutil.rmtree(one)
    return size


def _folders(home: Path) -> Iterator[str]:
    try:
        found = list((home / "runtimes").iterdir())
    except FileNotFoundError:
        return
    yield from (one.name for one in found if _FOLDER.fullmatch(one.name) and not one.is_symlink())


def _lock(folder: str, offered: Mapping[str, Lock]) -> Lock:
    if folder in offered:
        return offered[folder]
    parts = _FOLDER.fullmatch(folder)
    assert parts is not None  # _folders lists no others
    return Lock(version=parts["version"], path=Path(), digest=parts["digest"])


def _left_over(home: Path, folder: str) -> RuntimeState:
    if (home / "runtimes" / folder / "runtime.json").exists():
        return RuntimeState(condition="ready", detail="an earlier release of Armillary made it")
    return RuntimeState(condition="failed", detail="its build broke off")


def _users(home: Path) -> dict[str, frozenset[str]]:
    """By release: the runtimes that it needs. Raises InUseError for what cannot be read, OSError."""
    deployments = home / "deployments"
    if not deployments.exists():
        home.stat()  # no deployment yet; but a home that is gone is not an empty one
        return {}
    return {root.name: frozenset(_named_in(root)) for root in deployments.iterdir() if root.is_dir()}


def _named_in(root: Path) -> Iterator[str]:
    for record in root.glob("objects/Environment*.json"):
        facts = _read(record).get("facts", {})
        known = {facts.get("version", ""): facts.get("lock", ""), **facts.get("others", {})}
        yield from (f"{version}-{lock[:8]}" for version, lock in known.items())
    for program in root.glob("run/*/unit.json"):
        yield from (
            Path(word).parents[1].name for word in _read(program).get("command", ())[:3] if "/bin/" in word
        )


def _read(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}  # it went while we looked
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InUseError(f"{file} cannot be read, so nobody knows what runtime it needs; the next pass mends it")
    return value


def _size(folder: Path) -> int:
    return sum(one.lstat().st_size for one in folder.rglob("*") if not one.is_dir())
