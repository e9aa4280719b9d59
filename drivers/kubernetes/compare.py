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
_QUANTITIES = frozenset({"requests", "limits", "hard", "capacity", "default", "defaultRequest"})
_SECRET = frozenset({"data", "stringData"})
_WRITTEN_ONLY = frozenset({"stringData"})
_ALONE = frozenset({"containers", "initContainers", "env", "volumes", "volumeMounts", "ports"})
_ATOMIC = frozenset(
    {"selector", "podSelector", "namespaceSelector", "nodeSelector", "secretKeyRef", "configMapKeyRef"}
)
"""Maps that the API keeps as a whole (`x-kubernetes-map-type: atomic`): a key more is another value."""
_WHOLE: Mapping[str, Path] = dict.fromkeys(
    ("NetworkPolicy", "ResourceQuota", "LimitRange", "PodDisruptionBudget"), ("spec",)
)
"""Where a word more changes what ours say, and the server adds none but a protocol: who else may come in."""
_CLOSED = frozenset(
    {
        "env",
        "volumes",
        "volumeMounts",
        "configMap",
        "secret",
        "persistentVolumeClaim",
        "securityContext",
        "seccompProfile",
        "capabilities",
        "resources",
        "requests",
        "limits",
    }
)
"""In a pod: maps, and entries of lists, in which the server fills in nothing where we say something."""
_NEVER_FILLED_IN = frozenset(
    {
        *(
            "args",
            "command",
            "envFrom",
            "lifecycle",
            "livenessProbe",
            "readinessProbe",
            "resources",
            "startupProbe",
        ),
        *("workingDir", "exec", "grpc", "httpGet", "tcpSocket", "dnsConfig", "hostAliases", "hostIPC"),
        *("hostNetwork", "hostPID", "priorityClassName", "runtimeClassName", "securityContext"),
        *("shareProcessNamespace", "externalIPs", "loadBalancerIP"),
    }
)
"""What no server says of itself in a pod's template, a container, a probe or a Service.

Where pods may run (node selectors, affinity, tolerations) is left to whoever runs the cluster.
"""
_NAMES = frozenset({"apiVersion", "kind"})  # an item of a list says neither
_DATA: Path = ("data",)
_BINARY_DATA: Path = ("binaryData",)
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
    if kind == "Secret" and not wanted:
        return ()  # it is compared without its values
    if path == _DATA:
        added = sorted((name, key) for (name,) in (_DATA, _BINARY_DATA) for key in _more(applied, live, name))
        return tuple(Difference(path=f"{name}.{key}", wanted="nothing", found="there") for name, key in added)
    return tuple(_added(wanted, found, path, kind)) if wanted else ()


def with_nothing_else(applied: Mapping[str, Any], live: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The live object with ours in it and without what somebody added, which no apply of ours takes away."""
    kept = {name: value for name, value in live.items() if (name,) != _BINARY_DATA}
    return {**kept, **{name: _merged(value, live.get(name), (name,), kind) for name, value in applied.items()}}


def _more(applied: Mapping[str, Any], live: Mapping[str, Any], name: str) -> set[str]:
    """The keys that a map of data has beyond ours."""
    return set(live.get(name) or ()) - set(applied.get(name) or ())


def _at(manifest: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """What stands at a path, if only an empty map."""
    for name in path:
        manifest = manifest.get(name) or {}
    return manifest if path else {}


def _merged(wanted: Any, found: Any, path: Path, kind: str) -> Any:
    if isinstance(wanted, Mapping):
        there = found if isinstance(found, Mapping) else {}
        ours = {name: _merged(value, there.get(name), (*path, name), kind) for name, value in wanted.items()}
        return {**{name: one for name, one in there.items() if not _is_extra(name, one, path, kind)}, **ours}
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
    if _is_whole(path, kind):
        for name in sorted(found.keys() - wanted.keys()):
            if found[name] != _DEFAULTS.get(name):
                yield _difference((*path, name), None, found[name], kind)


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
    is_left_out = found is None and wanted == "" and path[-1] == "value" and _name_of(path[:-1]) == "env"
    return is_left_out or (_is_quantity(path) and _is_same_quantity(wanted, found))


def _is_quantity(path: Path) -> bool:
    return (len(path) > 1 and path[-2] in _QUANTITIES) or path[-1] == "sizeLimit"


def _is_same_quantity(wanted: Any, found: Any) -> bool:
    try:
        return canonical(wanted) == canonical(found)
    except ValueError:
        return False


# --- what others added ----------------------------------------------------------------------------------


def _added(wanted: Mapping[str, Any], found: Mapping[str, Any], path: Path, kind: str) -> Iterator[Difference]:
    for name, value in sorted(found.items()):
        here = (*path, name)
        if name in _ALONE:
            yield from _added_entries(wanted.get(name) or (), value or (), here, kind)
        elif name not in wanted:
            if _is_extra(name, value, path, kind):
                yield Difference(path=_told(here), wanted="nothing", found="there")
        elif isinstance(wanted[name], Mapping) and isinstance(value, Mapping):
            yield from _added(wanted[name], value, here, kind)


def _added_entries(wanted: Sequence[Any], found: Sequence[Any], path: Path, kind: str) -> Iterator[Difference]:
    keys = _keys_of(path, kind)
    ours = {_key(one, keys): one for one in wanted}
    for one in found:
        key = _key(one, keys)
        inside = (*path[:-1], f"{path[-1]}[{','.join(map(str, key))}]")
        if key in ours:
            yield from _added(ours[key], one, inside, kind)
        else:
            yield Difference(path=_told(inside), wanted="nothing", found="there")


def _is_extra(name: str, value: Any, path: Path, kind: str) -> bool:
    """Whether what we do not say at a path can only be somebody's who added it."""
    alone = _EXCLUSIVE.get(kind, ())
    if not alone or path[: len(alone)] != alone or value in (None, "", []):
        return False
    if (
        value == {} and _name_of(path) != "volumes"
    ):  # `emptyDir: {}` is a volume, all else that is empty is nothing
        return False
    return alone == _DATA or name in _NEVER_FILLED_IN or _name_of(path) in _CLOSED


# --- how it is told -------------------------------------------------------------------------------------


def _is_whole(path: Path, kind: str) -> bool:
    whole = _WHOLE.get(kind)
    return bool(path) and (_name_of(path) in _ATOMIC or (whole is not None and path[: len(whole)] == whole))


def _name_of(path: Path) -> str:
    """The last name of a path, without the key of an entry."""
    return path[-1].partition("[")[0] if path else ""


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
