"""Names of things: who owns, what exists, and references that are resolved late.

A `Text` is how a value travels through the core: literal parts and references. Secrets stay references
(owner, name, version) everywhere but in a driver's encoder, so no plan, event or log can hold one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scope = Literal["deployment", "platform"]
Kind = str
UnitName = str


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """Who a unit belongs to, and what a key in the queue names: `deployment/<id>` or `platform/<cluster>`."""

    scope: Scope
    id: str

    def __str__(self) -> str:
        return f"{self.scope}/{self.id}"

    @classmethod
    def parse(cls, text: str) -> Owner:
        """Read `deployment/12`; raises ValueError for anything that is not an owner."""
        scope, _, identifier = text.partition("/")
        if scope == "deployment" and identifier:
            return cls("deployment", identifier)
        if scope == "platform" and identifier:
            return cls("platform", identifier)
        raise ValueError(f"{text!r} is not an owner: write deployment/<id> or platform/<cluster>")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where an owner's work queues: its cluster, and the workspace it is fair to. Both may be unknown (empty)."""

    cluster: str = ""
    workspace: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in the history of desired state: the number of its newest change, and what only that change had.

    Numbers come again after a restore from a backup; `token` does not, so it tells which history it is of.
    """

    number: int = 0
    token: str = ""


@dataclass(frozen=True, slots=True)
class Due:
    """A key that is worth a pass: where it queues, and the generation that is asked for."""

    place: Place
    generation: int


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """The name of one object: its kind and a name unique within that kind.

    Kinds are unique to a driver, and a driver serves one cluster (or, as databases do, all): where an
    installation has several clusters of one sort, their kinds begin with the cluster's name.
    """

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class SecretRef:
    """One version of one secret. The value is only ever resolved by a driver's encoder."""

    owner: str
    name: str
    version: int


@dataclass(frozen=True, slots=True, order=True)
class AddressRef:
    """Where a unit of the same owner can be reached: `host:port`, or one half of it.

    `listen` is the interface that the unit itself has to bind so that it can be.
    """

    unit: UnitName
    port: str
    part: Literal["host:port", "host", "port", "listen"] = "host:port"


@dataclass(frozen=True, slots=True, order=True)
class PathRef:
    """Where a driver puts the files of a unit of the same owner; `inside` is a path relative to that."""

    unit: UnitName
    inside: str = ""


Part = str | SecretRef | AddressRef | PathRef
Text = tuple[Part, ...]


def text(*parts: Part) -> Text:
    """A Text from its parts: `text("http://", AddressRef("api-server", "http"))`."""
    return parts


def secrets_in(value: Text) -> frozenset[SecretRef]:
    """The secrets that a text refers to."""
    return frozenset(part for part in value if isinstance(part, SecretRef))
