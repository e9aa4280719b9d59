"""The objects of one kind, by owner, as the watch of that kind has told them. No input or output.

Versions (`resourceVersion`) are compared as numbers: since Kubernetes 1.35 that is promised, and it was so before.
An object that left is `lost` until a look has asked for it by name: it may only have lost our label.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from drivers.kubernetes.answers import Gone
from drivers.kubernetes.names import OWNER, Place, holder_of, owner_of
from drivers.kubernetes.slim import POD, packed, slim, unpacked
from model.names import Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """One object: whose it is, its version, and what a look needs of it."""

    owner: Owner
    version: int
    packed: bytes


class Shelf:
    """What is known of one kind. `version`: of the world that it shows; everything up to there is in it."""

    def __init__(self, kind: str, installation: str) -> None:
        self.version = 0
        self._kind = kind
        self._installation = installation
        self._kept: dict[Place, _Kept] = {}
        self._places: dict[Owner, set[Place]] = {}
        self._lost: dict[Owner, set[Place]] = {}
        self._floors: dict[Owner, int] = {}

    def __len__(self) -> int:
        return len(self._kept)

    # Told by the watch. Each returns the owners of whom a look would show something else.

    def fill(self, items: Iterable[Mapping[str, Any]], version: int) -> set[Owner]:
        """Everything anew, from a whole list. The version may be an older one: the world went back."""
        self._floors.clear()
        self.version = version
        there: set[Place] = set()
        changed: set[Owner] = set()
        for item in items:
            there.add(place := self._place(item))
            changed |= self._keep(place, item)
        for place in self._kept.keys() - there:
            changed |= self._lose(place)
        return changed

    def changed(self, found: Mapping[str, Any]) -> set[Owner]:
        """An object was made or changed. Told twice, it says nothing. Raises Gone when it comes out of order."""
        place, version = self._place(found), version_of(found)
        known, owner = self._kept.get(place), self._holder(found)
        if known is not None and version <= known.version:
            return set()
        self.reached(version)
        if owner is not None and version <= self._floors.get(owner, 0):
            return set()
        return self._keep(place, found)

    def left(self, found: Mapping[str, Any]) -> set[Owner]:
        """An object left what the labels select: it is gone, or our label is. Raises Gone like `changed`."""
        place, version = self._place(found), version_of(found)
        known = self._kept.get(place)
        if known is None or known.version > version:
            self.version = max(self.version, version)
            return set()
        self.reached(version)
        return self._lose(place)

    def reached(self, version: int) -> None:
        """All up to a version was told. Raises Gone when more was: something is missed, or the world went back."""
        if version < self.version:
            raise Gone(
                f"{self._kind}: the watch went from version {self.version} back to {version}; it is listed anew"
            )
        self.version = version

    def merge(self, owner: Owner, items: Iterable[Mapping[str, Any]], version: int) -> None:
        """A list of one owner's objects. What the watch tells later, and is older, is ignored."""
        if version <= self.as_of(owner):
            return
        self._floors[owner] = version
        listed = {self._place(item): item for item in items}
        for place, item in listed.items():
            self._keep(place, item)
        for place in self._places.get(owner, set()) - listed.keys():
            self._lose(place)

    # Asked by looks.

    def of(self, owner: Owner) -> tuple[dict[str, Any], ...]:
        """The slim objects of an owner."""
        return tuple(unpacked(self._kept[place].packed) for place in sorted(self._places.get(owner, ()), key=str))

    def as_of(self, owner: Owner) -> int:
        """The version of the world that `of` shows."""
        return max(self.version, self._floors.get(owner, 0))

    def lost(self, owner: Owner) -> frozenset[Place]:
        """Places of an owner where something was that left, and nobody asked since."""
        return frozenset(self._lost.get(owner, ()))

    def found_gone(self, owner: Owner, place: Place) -> None:
        """It was asked for, and is not there any more, or not ours."""
        places = self._lost.get(owner, set())
        places.discard(place)
        if not places:
            self._lost.pop(owner, None)

    def owners(self) -> frozenset[Owner]:
        """Everybody of whom something is there, or may be."""
        return frozenset(self._places.keys() | self._lost.keys())

    def bytes(self) -> int:
        """How much is kept, packed."""
        return sum(len(one.packed) for one in self._kept.values())

    # How.

    def _keep(self, place: Place, found: Mapping[str, Any]) -> set[Owner]:
        before, owner = self._kept.get(place), self._holder(found)
        if owner is None:
            return self._lose(place) if before else set()
        kept = _Kept(owner=owner, version=version_of(found), packed=packed(slim({**found, "kind": self._kind})))
        if before is not None and before.owner != owner:
            self._lose(place)
        self._kept[place] = kept
        self._places.setdefault(owner, set()).add(place)
        self.found_gone(owner, place)
        if before is None:
            return {owner}
        return set() if (before.owner, before.packed) == (owner, kept.packed) else {before.owner, owner}

    def _lose(self, place: Place) -> set[Owner]:
        owner = self._kept.pop(place).owner
        places = self._places[owner]
        places.discard(place)
        if not places:
            del self._places[owner]
        if self._kind != POD:
            self._lost.setdefault(owner, set()).add(place)
        return {owner}

    def _holder(self, found: Mapping[str, Any]) -> Owner | None:
        """Whose it is. A pod is made by others, so it has our labels and no mark."""
        if self._kind != POD:
            return holder_of({**found, "kind": self._kind}, self._installation)
        try:
            return owner_of((found["metadata"].get("labels") or {}).get(OWNER, ""))
        except ValueError:
            return None

    def _place(self, found: Mapping[str, Any]) -> Place:
        metadata = found["metadata"]
        return Place(kind=self._kind, namespace=metadata.get("namespace", ""), name=metadata["name"])


def version_of(found: Mapping[str, Any]) -> int:
    """The version of an object. Raises ValueError for what is no number."""
    return int(found["metadata"]["resourceVersion"])


def number_of(version: str) -> int:
    """A version as a number; 0, which is before all others, where a server counts in another way."""
    return int(version) if version.isdecimal() else 0
