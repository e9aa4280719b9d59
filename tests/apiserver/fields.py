"""Whose the fields of an object are: paths, as `managedFields` keeps them.

A path is a tuple of `f:name` for a field and `k:{"name":"x"}` for an entry of a list that is merged by keys. What
the API keeps as a whole (most lists, selectors) is one leaf. Source: fieldsV1, and the
`x-kubernetes-list-map-keys` of the API's OpenAPI document.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Path = tuple[str, ...]

_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "ownerReferences": ("uid",),
    "subjects": (),
}
_WHOLE = frozenset({"selector", "podSelector", "namespaceSelector", "nodeSelector", "secretKeyRef", "roleRef"})
_HERE = "."
_UNOWNED = frozenset(
    {
        *("apiVersion", "kind", "status"),
        *("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"),
        *("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"),
    }
)


def leaves(found: Mapping[str, Any]) -> dict[Path, Any]:
    """Every path of an object that somebody can own, and its value. An entry of a list with keys is one, too."""
    said = {name: value for name, value in found.items() if name not in {*_UNOWNED, "metadata"}}
    metadata = {name: value for name, value in found.get("metadata", {}).items() if name not in _UNOWNED}
    kind = str(found.get("kind", ""))
    return dict(_of_mapping({**said, **({"metadata": metadata} if metadata else {})}, (), kind))


def _of_mapping(found: Mapping[str, Any], path: Path, kind: str) -> Iterator[tuple[Path, Any]]:
    for name, value in found.items():
        here = (*path, f"f:{name}")
        keys = _keys_of(name, path, kind)
        if isinstance(value, Mapping) and value and name not in _WHOLE:
            yield from _of_mapping(value, here, kind)
        elif isinstance(value, list) and keys and value:
            for entry in value:
                inside = (*here, key_of(entry, keys))
                yield inside, _HERE
                yield from _of_mapping(entry, inside, kind)
        elif value is not None:
            yield here, value


def _keys_of(name: str, path: Path, kind: str) -> tuple[str, ...]:
    if name != "ports":
        return _KEYS.get(name, ())
    if kind == "Service":
        return ("port", "protocol")
    return ("containerPort", "protocol") if path and path[-1].startswith("k:") else ()


def key_of(entry: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    """The element of a path that an entry is: its keys, and what the API takes for those that it does not say."""
    return "k:" + json.dumps({key: entry.get(key, "TCP") for key in keys}, sort_keys=True, separators=(",", ":"))


def value_at(found: Any, path: Path) -> Any:
    """What is at a path; None when nothing is. An entry is `.`."""
    for element in path:
        found = _step(found, element)
        if found is None:
            return None
    return _HERE if path and path[-1].startswith("k:") else found


def _step(found: Any, element: str) -> Any:
    if element.startswith("f:"):
        return found.get(element[2:]) if isinstance(found, Mapping) else None
    wanted = json.loads(element[2:])
    entries = found if isinstance(found, list) else []
    return next((one for one in entries if _is(one, wanted)), None)


def _is(entry: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(entry.get(key, "TCP") == value for key, value in wanted.items())


def put(found: dict[str, Any], path: Path, value: Any) -> None:
    """Set what is at a path, and make what leads there."""
    here: Any = found
    for element, following in zip(path, (*path[1:], ""), strict=True):
        if element.startswith("k:"):
            here = _entry(here, json.loads(element[2:]))
        elif not following:
            here[element[2:]] = value
        else:
            here = _inside(here, element[2:], [] if following.startswith("k:") else {})


def _entry(entries: list[Any], wanted: dict[str, Any]) -> Any:
    found = next((one for one in entries if _is(one, wanted)), None)
    if found is None:
        entries.append(found := dict(wanted))
    return found


def _inside(here: dict[str, Any], name: str, empty: Any) -> Any:
    if not isinstance(here.get(name), type(empty)):
        here[name] = empty
    return here[name]


def remove(found: dict[str, Any], path: Path) -> None:
    """Take away what is at a path, and what that leaves empty; never what an entry is found by."""
    *way, last = path
    if way and way[-1].startswith("k:") and last[2:] in json.loads(way[-1][2:]):
        return
    trail: list[Any] = [found]
    for element in way:
        trail.append(_step(trail[-1], element))
        if trail[-1] is None:
            return
    _drop(trail[-1], last)
    for holder, held, element in reversed(list(zip(trail, trail[1:], way, strict=False))):
        if held in ({}, []):
            _drop(holder, element)


def _drop(holder: Any, element: str) -> None:
    if element.startswith("f:"):
        holder.pop(element[2:], None)
    else:
        holder[:] = [one for one in holder if not _is(one, json.loads(element[2:]))]


def tree(paths: Iterable[Path]) -> dict[str, Any]:
    """Paths as `fieldsV1` writes them."""
    found: dict[str, Any] = {}
    for path in sorted(paths):
        here = found
        for element in path:
            here = here.setdefault(element, {})
        if path[-1].startswith("k:"):
            here[_HERE] = {}
    return found


def paths(fields: Mapping[str, Any], path: Path = ()) -> Iterator[Path]:
    """The paths that a `fieldsV1` says, but for who first wrote a map or a list that others may be in, too."""
    for element, inside in fields.items():
        if element == _HERE:
            yield from [path] if path and path[-1].startswith("k:") else []
        elif inside:
            yield from paths(inside, (*path, element))
        else:
            yield (*path, element)
