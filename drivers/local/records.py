"""Records: what was last applied to each object of a deployment's folder, and whose folder it is.

    owner.json                     the mark: installation, owner, release
    objects/<kind>.<unit>.json     one object: uid, digests, and what is needed to see drift without its body

Every record carries the mark too, so that a lost owner.json does not make our own things look like somebody
else's, and a checksum, so that one that was edited or torn is known to be. A record whose digest is null was
begun and not finished.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from drivers.local.rundir import write_json
from model.names import Kind, Owner, Ref, UnitName

MARK_FILE = "owner.json"
OBJECTS = "objects"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Whose a folder is."""

    installation: str
    owner: str
    release: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One object, as last applied. `facts` depend on its kind. `is_stopped`: by a Stop, until applied again."""

    mark: Mark
    kind: Kind
    unit: UnitName
    uid: str
    digest: str | None = None
    frozen_digest: str = ""
    is_stopped: bool = False
    is_deleting: bool = False
    is_readable: bool = True
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def ref(self) -> Ref:
        """The object's name."""
        release = self.mark.release
        return Ref(self.kind, release if self.kind == "Environment" else f"{release}.{self.unit}")


class JsonFiles:
    """JSON objects in files, read again only when the file changed."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[tuple[int, int, int], dict[str, Any] | None]] = {}

    def read(self, path: Path) -> dict[str, Any] | None:
        """The object in a file; None when it holds none. Raises FileNotFoundError, and OSError when unseen."""
        key = str(path)
        try:
            status = path.stat()
        except FileNotFoundError:
            self._seen.pop(key, None)
            raise
        stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
        known = self._seen.get(key)
        if known is None or known[0] != stamp:
            known = self._seen[key] = (stamp, _parse(path))
        return known[1]


def _parse(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, FileNotFoundError):
        return None
    if not isinstance(value, dict) or ("sum" in value and value["sum"] != _sum(value)):
        return None
    return value


class Records:
    """The records of one installation, in `home/deployments`."""

    def __init__(self, home: Path, installation: str) -> None:
        self.home = home
        self.deployments = home / "deployments"
        self.installation = installation
        self._files = JsonFiles()

    def root(self, release: str) -> Path:
        """A release's folder."""
        return self.deployments / release

    def folders(self) -> Iterator[tuple[Mark, Path]]:
        """Every folder of this installation, with its mark. Raises OSError when that cannot be seen."""
        if not self.deployments.exists():
            self.home.stat()  # no deployment yet; but a home that is gone is not an empty one
            return
        for name in sorted(os.listdir(self.deployments)):  # noqa: PTH208 -- names alone, and much faster
            root = self.deployments / name
            mark = self.mark(root)
            if mark is not None and mark.installation == self.installation and mark.release == name:
                yield mark, root

    def of(self, owner: Owner) -> list[tuple[Mark, Path]]:
        """The folders of one owner. Raises OSError."""
        return [(mark, root) for mark, root in self.folders() if mark.owner == str(owner)]

    def is_blank(self, root: Path) -> bool:
        """Whether nothing is in a folder, or only what a first write of ours left behind when it was cut off."""
        return all(path == root / OBJECTS or path.name.endswith(".new") for path in root.rglob("*"))

    def mark(self, root: Path) -> Mark | None:
        """Whose a folder is: by its records, or else by its owner.json. None: nobody's of Armillary."""
        for path in chain(_record_paths(root), (root / MARK_FILE,)):
            try:
                value = self._files.read(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            mark = _mark(value or {})
            if mark is not None:
                return mark
        return None

    def all(self, mark: Mark, root: Path) -> list[Record]:
        """Every record of a folder; one that cannot be parsed is there without digest. Raises OSError."""
        found = []
        for path in _record_paths(root):
            kind, _, unit = path.stem.partition(".")
            record = self._read(mark, path, kind, unit)
            if record is not None:
                found.append(record)
        return found

    def find(self, mark: Mark, root: Path, kind: Kind, unit: UnitName) -> Record | None:
        """One record. Raises OSError."""
        return self._read(mark, _path(root, kind, unit), kind, unit)

    def _read(self, mark: Mark, path: Path, kind: Kind, unit: UnitName) -> Record | None:
        try:
            value = self._files.read(path)
        except FileNotFoundError:
            return None
        fresh = Record(mark=mark, kind=kind, unit=unit, uid="", is_readable=False)
        if value is None or "sum" not in value:
            return fresh
        return replace(
            fresh,
            uid=str(value["uid"]),
            digest=value.get("digest"),
            frozen_digest=str(value.get("frozen_digest") or ""),
            is_stopped=bool(value.get("is_stopped")),
            is_deleting=bool(value.get("is_deleting")),
            is_readable=True,
            facts=value["facts"],
        )

    def write(self, root: Path, record: Record) -> None:
        """Record an object. Raises OSError."""
        (root / OBJECTS).mkdir(mode=0o700, parents=True, exist_ok=True)
        body = {**asdict(record), **asdict(record.mark)}
        del body["mark"], body["is_readable"]
        body["sum"] = _sum(body)
        write_json(str(_path(root, record.kind, record.unit)), body)

    def drop(self, root: Path, record: Record) -> None:
        """Forget an object. Raises OSError."""
        _path(root, record.kind, record.unit).unlink(missing_ok=True)


def _sum(value: dict[str, Any]) -> str:
    body = json.dumps({name: one for name, one in value.items() if name != "sum"}, sort_keys=True)
    return hashlib.sha256(body.encode()).hexdigest()[:24]


def new_uid() -> str:
    """A uid for a new object."""
    return uuid.uuid4().hex


def _record_paths(root: Path) -> Iterator[Path]:
    folder = root / OBJECTS
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 -- names alone, and much faster
    except (FileNotFoundError, NotADirectoryError):
        return
    yield from (folder / name for name in names if name.endswith(".json"))


def _path(root: Path, kind: Kind, unit: UnitName) -> Path:
    return root / OBJECTS / f"{kind}.{unit}.json"


def _mark(value: dict[str, Any]) -> Mark | None:
    try:
        return Mark(
            installation=str(value["installation"]), owner=str(value["owner"]), release=str(value["release"])
        )
    except KeyError:
        return None
