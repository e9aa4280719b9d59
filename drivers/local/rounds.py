"""Rounds: looking at every folder again and again, in full only where something moved.

A stamp of a folder is what a few cheap system calls tell about it: when its files were written, and which locks
are held. While the stamp stays the same and nothing is on its way, nothing new is to be seen.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from drivers.local.probes import Target
from drivers.local.records import OBJECTS, Mark, Records
from drivers.local.rundir import is_held
from drivers.local.see import Sight, View
from model.names import Owner, Ref
from model.objects import Health, Seen

Stamp = tuple[object, ...]
_FULL_SECONDS = 10.0  # even where nothing moved: the stamp is for speed, not for truth
_AT_REST = frozenset({Health.HEALTHY, Health.STOPPED, Health.DONE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """One folder as it was when last looked at in full."""

    owner: str
    seen: dict[Ref, Seen]
    foreign: dict[Ref, str]
    targets: dict[Ref, Target]
    paths: tuple[str, ...]
    stamp: Stamp
    is_restless: bool
    looked_at: float


class Rounds:
    """All folders of an installation. `tidy` is called for each folder that is looked at in full."""

    def __init__(
        self, records: Records, sight: Sight, tidy: Callable[[Mark, Path], None], version: Callable[[], int]
    ) -> None:
        self._records = records
        self._sight = sight
        self._tidy = tidy
        self._version = version  # of the probes' answers
        self._folders: dict[str, Folder] = {}
        self.cost_seconds = 0.0  # of a core, for the last round: waiting for a busy machine is not counted

    def go(self) -> frozenset[Owner]:
        """Look everywhere; the owners whose state is not what it was. Raises OSError."""
        began = time.thread_time()
        found: dict[str, Folder] = {}
        changed = set()
        for mark, root in self._records.folders():
            before = self._folders.get(mark.release)
            now = found[mark.release] = self._look(mark, root, before)
            if before is None or _news(before) != _news(now):
                changed.add(mark.owner)
        changed |= {one.owner for release, one in self._folders.items() if release not in found}
        self._folders = found
        self.cost_seconds = time.thread_time() - began
        return frozenset(Owner.parse(one) for one in changed)

    def targets(self) -> dict[Ref, Target]:
        """Everything that is to be probed now."""
        return {ref: target for one in self._folders.values() for ref, target in one.targets.items()}

    def _look(self, mark: Mark, root: Path, before: Folder | None) -> Folder:
        # The stamp is taken before the look, so that what moves meanwhile differs from it next time.
        stamp = (self._version(), *stamp_of(str(root), before.paths if before else ()))
        if before is not None and _is_same(before, mark, stamp):
            return before
        view = View()
        self._sight.folder(mark, root, view)
        self._tidy(mark, root)
        paths = tuple(sorted(view.paths))
        return Folder(
            owner=mark.owner,
            seen=view.seen,
            foreign=view.foreign,
            targets=view.targets,
            paths=paths,
            stamp=stamp,
            is_restless=before is None or before.paths != paths or not _is_at_rest(view),
            looked_at=time.monotonic(),
        )


def stamp_of(root: str, paths: Iterable[str]) -> Stamp:
    """What cheap system calls tell about a folder and the files that matter to it."""
    records = tuple(_time(entry.path) for entry in _entries(f"{root}/{OBJECTS}"))
    runs = tuple(_run_stamp(entry.path) for entry in _entries(f"{root}/run"))
    return records, runs, tuple(_time(path) for path in paths)


def _run_stamp(path: str) -> Stamp:
    is_supervised = is_held(f"{path}/shim.lock")
    is_alive = is_supervised or is_held(f"{path}/lock")
    return path, is_supervised, is_alive, _time(f"{path}/state.json"), _time(f"{path}/unit.json")


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _time(path: str) -> Stamp | None:
    """When a file was last written or changed; of a folder only which one it is, for others write into it."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    is_folder = status.st_mode & 0o170000 == 0o040000
    return (status.st_ino, status.st_mode) if is_folder else (status.st_ino, status.st_mode, status.st_ctime_ns)


def _is_same(before: Folder, mark: Mark, stamp: Stamp) -> bool:
    is_fresh = time.monotonic() - before.looked_at < _FULL_SECONDS
    return is_fresh and not before.is_restless and before.stamp == stamp and before.owner == mark.owner


def _is_at_rest(view: View) -> bool:
    return not view.foreign and all(one.health in _AT_REST and not one.drift for one in view.seen.values())


def _news(folder: Folder) -> tuple[object, ...]:
    return folder.owner, folder.seen, folder.foreign
