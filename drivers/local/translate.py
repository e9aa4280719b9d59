"""From units to local objects. Pure: equal arguments, equal objects.

Addresses are resolved here, because the ports are leased; secrets and the paths of other units stay references
until something is written (`encode`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from drivers.addresses import port_of, resolved, written
from drivers.base import Refused
from drivers.local.body import (
    Body,
    EnvironmentBody,
    FilesBody,
    ProbeBody,
    ProcessBody,
    RunBody,
    TaskBody,
    VolumeBody,
)
from drivers.local.runtime import Lock, runtime_folder
from model.digest import digest
from model.names import AddressRef, Kind, Ref, Text
from model.objects import Object, Site
from model.units import AnyUnit, Credentials, Environment, Exchange, Mount, Probe, Process, Settings, Task, Volume

HOST = "127.0.0.1"
UNITS: frozenset[type[AnyUnit]] = frozenset({Environment, Settings, Credentials, Volume, Process, Task})
KINDS: frozenset[Kind] = frozenset({"Environment", "Files", "Volume", "Process", "Task"})


def translate(unit: AnyUnit, site: Site, locks: Mapping[str, Lock]) -> tuple[Object, ...]:
    """The one object of a unit. Raises Refused for what this machine cannot do."""
    match unit:
        case Environment():
            lock = _lock(unit.image, locks)
            others = {one.version: one.digest for one in (_lock(image, locks) for image in unit.others)}
            body: Body = EnvironmentBody(root=site.root, version=lock.version, lock=lock.digest, others=others)
            return (_object("Environment", site.release, unit, body),)
        case Settings():
            return (_object("Files", _name(unit, site), unit, _files(unit, site, "settings", 0o644)),)
        case Credentials():
            return (_object("Files", _name(unit, site), unit, _files(unit, site, "credentials", 0o600)),)
        case Volume():
            body = VolumeBody(root=site.root, folder=f"volumes/{unit.name}")
            return (_object("Volume", _name(unit, site), unit, body),)
        case Process():
            return (_object("Process", _name(unit, site), unit, _process(unit, site, locks)),)
        case Task():
            body = TaskBody(run=_task_run(unit, site, locks), timeout_seconds=unit.timeout_seconds)
            return (_object("Task", _name(unit, site), unit, body),)
        case _:
            raise Refused(
                f"the local driver cannot make a {type(unit).__name__} ({unit.name}); another driver must"
            )


def _name(unit: AnyUnit, site: Site) -> str:
    return f"{site.release}.{unit.name}"


def _object(kind: Kind, name: str, unit: AnyUnit, body: Body) -> Object:
    return Object(
        ref=Ref(kind, name),
        unit=unit.name,
        digest=digest(kind, body),
        retain=unit.retain,
        body=body,
    )


def _files(unit: Settings | Credentials, site: Site, place: str, mode: int) -> FilesBody:
    for path in unit.files:
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts or not parts.parts:
            raise Refused(f"{unit.name}: {path!r} is not a path inside the unit's folder; write it relative")
    files = {path: resolve(text, site) for path, text in unit.files.items()}
    return FilesBody(root=site.root, folder=f"{place}/{unit.name}", mode=mode, files=files)


def _process(unit: Process, site: Site, locks: Mapping[str, Lock]) -> ProcessBody:
    replicas = 1 if unit.replicas is None else unit.replicas
    if replicas > 1 and unit.ports:
        raise Refused(
            f"{unit.name} listens on a port of its own, and one machine has each port once: "
            f"{replicas} replicas are not possible here; set replicas to 1"
        )
    run = RunBody(
        root=site.root,
        runtime=_runtime(unit.image, locks),
        command=unit.command,
        env={name: resolve(text, site) for name, text in unit.env.items()},
        mounts=_mounts(unit.mounts),
        stop_signal=unit.stop.signal,
        grace_seconds=unit.stop.grace_seconds,
        again=unit.restarted_at,
    )
    ports = {name: port_of(unit.name, name, site) for name in unit.ports}
    return ProcessBody(run=run, replicas=replicas, ports=ports, probe=_probe(unit, site))


def _task_run(unit: Task, site: Site, locks: Mapping[str, Lock]) -> RunBody:
    return RunBody(
        root=site.root,
        runtime=_runtime(unit.image, locks),
        command=unit.command,
        env={name: resolve(text, site) for name, text in unit.env.items()},
        mounts=_mounts(unit.mounts),
        again=unit.key,
    )


def _mounts(mounts: tuple[Mount, ...]) -> dict[str, str]:
    return {mount.unit: mount.digest for mount in mounts}


def _probe(unit: Process, site: Site) -> ProbeBody | None:
    match unit.probe:
        case None:
            return None
        case Exchange(unit=asked, port=port, say=say, hear=hear):
            url = f"tcp://{HOST}:{port_of(asked, port, site)}"
            return ProbeBody(url=url, is_own=asked == unit.name, expect={say: hear})
        case Probe(unit=asked, port=port, path=path, expect=expect):
            number = port_of(asked, port, site)
            return ProbeBody(url=f"http://{HOST}:{number}{path}", is_own=asked == unit.name, expect=dict(expect))


def resolve(text: Text, site: Site) -> Text:
    """A text with its addresses resolved, and neighbouring literals joined."""
    return resolved(text, lambda part: _address(part, site) if isinstance(part, AddressRef) else part)


def _address(reference: AddressRef, site: Site) -> str:
    if reference.unit == "database":
        host, port = site.database
    else:
        host, port = HOST, port_of(reference.unit, reference.port, site)
    return written(reference, host, port, listen=host)


def _runtime(image: str, locks: Mapping[str, Lock]) -> str:
    return runtime_folder(_lock(image, locks))


def _lock(image: str, locks: Mapping[str, Lock]) -> Lock:
    found = next((one for one in locks.values() if one.image == image), None)
    if found is None:
        offered = ", ".join(sorted(one.image for one in locks.values()))
        raise Refused(f"the local driver has no runtime for {image!r}; it has {offered or 'none'}")
    return found
