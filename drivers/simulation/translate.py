"""From units to simulated objects: one object a unit. Pure.

The digest covers the unit and the addresses it refers to; needs and retention are rules about it, not parts of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from model.digest import digest
from model.names import AddressRef, Kind, Ref, SecretRef, Text
from model.objects import Object, Site
from model.units import (
    AnyUnit,
    Credentials,
    Database,
    Environment,
    Identity,
    Process,
    Route,
    Settings,
    Task,
    Volume,
    secrets_of,
)

UNITS: frozenset[type[AnyUnit]] = frozenset(
    {Environment, Settings, Credentials, Volume, Database, Identity, Process, Task, Route}
)


def kinds(cluster: str = "") -> frozenset[Kind]:
    """The kinds of object in a cluster. They begin with its name, if it has one."""
    return frozenset(_kind(one, cluster) for one in UNITS)


def _kind(unit: type[AnyUnit], cluster: str) -> Kind:
    return f"{cluster}/Sim.{unit.__name__}" if cluster else f"Sim.{unit.__name__}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What a simulated write needs to know."""

    secrets: tuple[SecretRef, ...] = ()
    replicas: int = 0
    is_process: bool = False
    is_task: bool = False


_REMEMBERED_PER_UNIT = 8
_REMEMBERED_UNITS = 4096
_remembered: dict[tuple[str, str, str], deque[tuple[AnyUnit, Site, tuple[Object, ...]]]] = {}
"""What was translated lately. Lives ask for the same again and again, and comparing costs less than a digest."""


def translate(unit: AnyUnit, site: Site, cluster: str = "") -> tuple[Object, ...]:
    """The one object of a unit."""
    key = (cluster, site.release, unit.name)
    for known, where, objects in _remembered.get(key, ()):
        if (known is unit or known == unit) and (where is site or where == site):
            return objects
    objects = _translated(unit, site, cluster)
    if len(_remembered) >= _REMEMBERED_UNITS:
        _remembered.clear()
    _remembered.setdefault(key, deque(maxlen=_REMEMBERED_PER_UNIT)).appendleft((unit, site, objects))
    return objects


def _translated(unit: AnyUnit, site: Site, cluster: str) -> tuple[Object, ...]:
    bare = replace(unit, needs=frozenset(), retain=False)
    body = Body(
        secrets=tuple(sorted(secrets_of(unit))),
        replicas=_replicas(unit),
        is_process=isinstance(unit, Process),
        is_task=isinstance(unit, Task),
    )
    return (
        Object(
            ref=Ref(_kind(type(unit), cluster), f"{site.release}.{unit.name}"),
            unit=unit.name,
            digest=digest(bare, _addresses(unit, site)),
            frozen_digest=_frozen(unit),
            retain=unit.retain,
            irreplaceable=isinstance(unit, Database),
            body=body,
        ),
    )


def _replicas(unit: AnyUnit) -> int:
    match unit:
        case Process(replicas=replicas):
            return 1 if replicas is None else replicas
        case Task():
            return 1
        case _:
            return 0


def _frozen(unit: AnyUnit) -> str:
    """What nobody may change in place here: anything of a task, the ports of a process, the image of a worker."""
    match unit:
        case Task():
            return digest(replace(unit, needs=frozenset(), retain=False))
        case Process(name="worker", ports=ports, image=image):
            return digest(ports, image)
        case Process(ports=ports):
            return digest(ports)
        case _:
            return ""


def _addresses(unit: AnyUnit, site: Site) -> dict[str, str]:
    found = {part for value in _texts(unit).values() for part in value if isinstance(part, AddressRef)}
    return dict(_resolved(found, site))


def _resolved(found: set[AddressRef], site: Site) -> Iterator[tuple[str, str]]:
    for one in sorted(found):
        number = site.ports.get((one.unit, one.port))
        yield f"{one.unit}:{one.port}", str(number) if number is not None else ":".join(map(str, site.database))


def _texts(unit: AnyUnit) -> Mapping[str, Text]:
    match unit:
        case Settings(files=texts) | Credentials(files=texts) | Process(env=texts) | Task(env=texts):
            return texts
        case _:
            return {}
