"""What of an applied object differs on the cluster. Pure.

Only what was applied is compared: what the server defaults and what others add elsewhere is theirs. Lists that the
API merges by keys are compared by these keys (`x-kubernetes-list-map-keys` of its OpenAPI document), all others as
a whole. In the subtrees that are ours alone (`extras`) what others add is told too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drivers.kubernetes.quantities import canonical

Path = tuple[str, ...]

_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "secrets": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "ownerReferences": ("uid",),
}
"""By the name of the list: in the kinds that we write, no two lists of one name have other keys."""
_PORT_KEYS: Mapping[str, tuple[str, ...]] = {"Service": ("port", "protocol"), "": ("containerPort", "protocol")}
_DEFAULTS = {"protocol": "TCP"}  # of a key that an entry does not say
_SETS = frozenset({"finalizers", "accessModes"})
_QUANTITIES = frozenset({"requests", "limits", "hard", "capacity"})
_SECRET = frozenset({"data", "stringData"})
_WRITTEN_ONLY = frozenset({"stringData"})
_ALONE = frozenset({"containers", "initContainers", "env", "volumes", "volumeMounts", "ports"})
_NAMES = frozenset({"apiVersion", "kind"})  # an item of a list says neither
_DATA: Path = ("data",)
_EXCLUSIVE: Mapping[str, Path] = {
    "ConfigMap": _DATA,
    "Secret": _DATA,
    "Service": ("spec",),
    "Deployment": ("spec", "template", "spec"),
    "Job": ("spec", "template", "spec"),
}
"""Where whatever somebody adds changes what runs: a file, a port, an environment variable, a container."""
_SHOWN_MAX = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference: where, what was applied, what is there. Never a Secret's value."""

    path: str
    wanted: str
    found: str

    def __str__(self) -> str:
        return f"{self.path} is {self.found}, and was applied as {self.wanted}"


def differences(applied: Mapping[str, Any], live: Mapping[str, Any], kind: str) -> tuple[Difference, ...]:
    """Where the live object is not as it was applied, in the order of the applied manifest."""
    said = {name: value for name, value in applied.items() if name not in _NAMES}
    return tuple(_of_mapping(said, live, (), kind))


def extras(applied: Mapping[str, Any], live: Mapping[str, Any], kind: str) -> tuple[Difference, ...]:
    """What somebody added where everything is ours: an entry of a pod's lists, a port, a key of a ConfigMap."""
    path = _EXCLUSIVE.get(kind, ())
    wanted, found = _at(applied, path), _at(live, path)
    if not wanted:
        return ()  # also a Secret, when it is compared without its values
    if path == _DATA:
        added = sorted(found.keys() - wanted.keys())
        return tuple(Difference(path=f"data.{name}", wanted="nothing", found="there") for name in added)
    return tuple(_added(wanted, found, path, kind))


def with_nothing_else(applied: Mapping[str, Any], live: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The live object with ours in it and without what somebody added, which no apply of ours takes away."""
    return {**live, **{name: _merged(value, live.get(name), (name,), kind) for name, value in applied.items()}}


def _at(manifest: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """What stands at a path, if only an empty map."""
    for name in path:
        manifest = manifest.get(name) or {}
    return manifest if path else {}


def _merged(wanted: Any, found: Any, path: Path, kind: str) -> Any:
    if isinstance(wanted, Mapping):
        there = found or {}
        ours = {name: _merged(value, there.get(name), (*path, name), kind) for name, value in wanted.items()}
        return ours if path == _DATA else {**there, **ours}
    keys = _keys_of(path, kind) if isinstance(wanted, list) else ()
    if not keys:
        return wanted
    entries = {_key(one, keys): one for one in found or ()}
    return [_merged(one, entries.get(_key(one, keys)), path, kind) for one in wanted]


# --- what was applied -----------------------------------------------------------------------------------


def _of(wanted: Any, found: Any, path: Path, kind: str) -> Iterator[Difference]:
    if isinstance(wanted, Mapping):
        yield from _of_mapping(wanted, found if isinstance(found, Mapping) else {}, path, kind)
    elif isinstance(wanted, Sequence) and not isinstance(wanted, str):
        yield from _of_list(wanted, found if isinstance(found, list | tuple) else (), path, kind)
    elif not _is_equal(wanted, found, path):
        yield _difference(path, wanted, found, kind)


def _of_mapping(
    wanted: Mapping[str, Any], found: Mapping[str, Any], path: Path, kind: str
) -> Iterator[Difference]:
    for name, value in wanted.items():
        if value is not None and not (kind == "Secret" and not path and name in _WRITTEN_ONLY):
            yield from _of(value, found.get(name), (*path, name), kind)


def _of_list(wanted: Sequence[Any], found: Sequence[Any], path: Path, kind: str) -> Iterator[Difference]:
    keys = _keys_of(path, kind)
    if keys:
        there = {_key(one, keys): one for one in found}
        for one in wanted:
            key = _key(one, keys)
            here = (*path[:-1], f"{path[-1]}[{','.join(map(str, key))}]")
            if key in there:
                yield from _of(one, there[key], here, kind)
            else:
                yield _difference(here, one, None, kind)
    elif path[-1] in _SETS:
        if not set(wanted) <= set(found):
            yield _difference(path, wanted, found, kind)
    elif not _are_equal(wanted, found, path, kind):
        yield _difference(path, wanted, found, kind)


def _are_equal(wanted: Sequence[Any], found: Sequence[Any], path: Path, kind: str) -> bool:
    """Whether two whole lists are the same, as far as their entries say something."""
    return len(wanted) == len(found) and not any(
        difference for one, other in zip(wanted, found, strict=True) for difference in _of(one, other, path, kind)
    )


def _is_equal(wanted: Any, found: Any, path: Path) -> bool:
    if wanted == found and isinstance(wanted, bool) == isinstance(found, bool):
        return True
    is_absent = found is None and wanted in ("", 0, False)  # the server leaves out what is empty
    return is_absent or (_is_quantity(path) and _is_same_quantity(wanted, found))


def _is_quantity(path: Path) -> bool:
    return (len(path) > 1 and path[-2] in _QUANTITIES) or path[-1] == "sizeLimit"


def _is_same_quantity(wanted: Any, found: Any) -> bool:
    try:
        return canonical(wanted) == canonical(found)
    except ValueError:
        return False


# --- what others added ----------------------------------------------------------------------------------


def _added(wanted: Mapping[str, Any], found: Mapping[str, Any], path: Path, kind: str) -> Iterator[Difference]:
    for name in sorted(_ALONE & found.keys()):
        here = (*path, name)
        keys = _keys_of(here, kind)
        ours = {_key(one, keys): one for one in wanted.get(name) or ()}
        for one in found[name] or ():
            key = _key(one, keys)
            inside = (*path, f"{name}[{','.join(map(str, key))}]")
            if key in ours:
                yield from _added(ours[key], one, inside, kind)
            else:
                yield Difference(path=_told(inside), wanted="nothing", found="there")


# --- how it is told -------------------------------------------------------------------------------------


def _keys_of(path: Path, kind: str) -> tuple[str, ...]:
    if path[-1] == "ports":
        return _PORT_KEYS.get(kind, _PORT_KEYS[""]) if kind != "NetworkPolicy" else ()
    return _KEYS.get(path[-1], ())


def _key(entry: Any, keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(entry.get(key, _DEFAULTS.get(key)) for key in keys) if isinstance(entry, Mapping) else (entry,)


def _difference(path: Path, wanted: Any, found: Any, kind: str) -> Difference:
    if kind == "Secret" and path[0] in _SECRET:
        return Difference(path=_told(path), wanted="one value", found="another value")
    return Difference(path=_told(path), wanted=_shown(wanted), found=_shown(found))


def _told(path: Path) -> str:
    return ".".join(path)


def _shown(value: Any) -> str:
    if value is None:
        return "not there"
    shown = repr(value)
    return shown if len(shown) <= _SHOWN_MAX else shown[:_SHOWN_MAX] + " …"
