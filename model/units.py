"""Units: the driver-neutral things that a component renders to. A closed union.

What a unit *is* on a cluster is the driver's business (`Driver.translate`); what it *needs* before it may be
changed is said here. Needs gate changes, never existence: a running process is not stopped because something
it needs has become unhealthy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from model.names import PathRef, SecretRef, Text, UnitName

NeedState = Literal["present", "ready", "stopped", "done"]


@dataclass(frozen=True, slots=True, order=True)
class Need:
    """What must be true of another unit before this one may be created or changed.

    `present`: exists at any digest. `ready`: healthy at the desired digest. `stopped`: nothing of it runs.
    `done`: its milestone is recorded (tasks only).
    """

    unit: UnitName
    state: NeedState


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What all units share. `retain`: kept after a deletion until the deployment's `retain_until`."""

    name: UnitName
    component: str
    needs: frozenset[Need] = frozenset()
    retain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment(Unit):
    """The place where the owner's other units live (a folder, a namespace) and the image they run from.

    `others`: further images that some of them run from.
    """

    image: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Unit):
    """Files that hold no secret: path relative to the unit's folder → content."""

    files: Mapping[str, Text]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials(Unit):
    """Files that hold secrets: path relative to the unit's folder → content. Readable by the owner alone."""

    files: Mapping[str, Text]


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(Unit):
    """A folder whose content belongs to what runs, not to us: created empty, never written by a driver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Database(Unit):
    """One database with two roles: `owner` migrates (DDL), `user` runs (DML only).

    Names are PostgreSQL identifiers, unique for ever because they come from the deployment's release.
    """

    database: str
    owner: str
    owner_password: SecretRef
    user: str
    user_password: SecretRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity(Unit):
    """Whom processes run as. No driver of this release translates it to anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Unit):
    """A public address of a port. No driver of this release translates it to anything."""

    port: str
    target: UnitName
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How to see that a process is healthy: an HTTP GET that must answer 200.

    `unit` and `port` name whose port is asked (not always the probed process's own: the triggerer reports
    through the api-server). `path` may hold JSON pointers in `expect`: pointer → value the answer must hold.
    """

    unit: UnitName
    port: str
    path: str
    expect: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """How to see that a process is healthy that speaks no HTTP: what it answers to a line begins with `hear`."""

    unit: UnitName
    port: str
    say: str
    hear: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopBy:
    """How a process is stopped: the signal's name, then SIGKILL for the whole session after the grace."""

    signal: str = "SIGTERM"
    grace_seconds: float = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """Files of a Settings, Credentials or Volume unit that a process reads.

    `digest` is the content's digest, so that changing the files restarts exactly what reads them;
    empty for volumes.
    """

    unit: UnitName
    holds: Literal["settings", "credentials", "volume"] = "volume"
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Limits asked for. Advisory where the driver has no means to enforce them."""

    cpu_millicores: int | None = None
    memory_mib: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Process(Unit):
    """Something that runs for ever. `replicas` None: somebody else (an autoscaler) decides.

    `alone`: two of it must never run at once, not even while it is changed. `probe` None: what runs is healthy.
    """

    image: str
    command: tuple[str, ...]
    env: Mapping[str, Text]
    replicas: int | None = 1
    ports: Mapping[str, int] = field(default_factory=dict)
    probe: Probe | Exchange | None = None
    stop: StopBy = field(default_factory=StopBy)
    companions: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    resources: Resources = field(default_factory=Resources)
    restarted_at: str = ""
    alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Unit):
    """Something that runs once. It is done iff its milestone `(owner, name, key)` is recorded.

    `key` says what it achieves, e.g. `schema/3.3.2`.
    """

    image: str
    command: tuple[str, ...]
    env: Mapping[str, Text]
    key: str
    mounts: tuple[Mount, ...] = ()
    timeout_seconds: float = 1800.0


AnyUnit = Environment | Settings | Credentials | Volume | Database | Identity | Process | Task | Route


def secrets_of(unit: AnyUnit) -> frozenset[SecretRef]:
    """Every secret that a unit refers to."""
    match unit:
        case Settings(files=texts) | Credentials(files=texts) | Process(env=texts) | Task(env=texts):
            return frozenset(part for value in texts.values() for part in value if isinstance(part, SecretRef))
        case Database(owner_password=first, user_password=second):
            return frozenset({first, second})
        case _:
            return frozenset()


def path_of(unit: UnitName, inside: str = "") -> Text:
    """A text that is the path of a unit's files."""
    return (PathRef(unit, inside),)
