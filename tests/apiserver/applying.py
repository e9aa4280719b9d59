"""What a write makes of an object: by server-side apply, update and merge patch; whose the fields are then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from tests.apiserver.errors import Refusal
from tests.apiserver.fields import Path, leaves, paths, put, remove, tree, value_at

Manifest = dict[str, Any]
_Who = tuple[str, str]


def applied(live: Manifest | None, manifest: Manifest, manager: str, *, force: bool) -> Manifest:
    """The object after a server-side apply. Raises Refusal when others have fields of it, unless it is forced."""
    before = deepcopy(live) if live is not None else _bare(manifest)
    owned, wanted, me = owners_of(before), leaves(manifest), (manager, "Apply")
    lost = {path for path, value in wanted.items() if value_at(before, path) != value}
    taken = {who: theirs & lost for who, theirs in owned.items() if who != me and theirs & lost}
    if taken and not force:
        named = ", ".join(sorted({manager for manager, _ in taken}))
        raise Refusal(409, "Conflict", f"Apply failed with conflicts: fields are owned by {named}")
    others = {who: theirs - lost for who, theirs in owned.items() if who != me}
    after = deepcopy(before)
    for path in sorted(owned.get(me, set()) - wanted.keys(), key=len):  # an entry before what is in it
        if not any(_is_at_or_below(path, theirs) for theirs in others.values()):
            remove(after, path)
    for path, value in wanted.items():
        put(after, path, deepcopy(value))
    return with_owners(after, {**others, me: set(wanted)})


def updated(live: Manifest, asked: Manifest, manager: str) -> Manifest:
    """The object after a whole write: what differs is the writer's now, and what is gone is nobody's."""
    before, after = leaves(live), leaves(asked)
    mine = {path for path, value in after.items() if before.get(path) != value}
    claimed = asked["metadata"].get("managedFields")
    owned = owners_of(live if claimed is None else asked)
    kept = {who: (theirs & after.keys()) - mine for who, theirs in owned.items()}
    me = (manager, "Update")
    return with_owners(asked, {**kept, me: kept.get(me, set()) | mine})


def created(asked: Manifest, manager: str) -> Manifest:
    """An object that was not there: all that it says is its maker's."""
    return with_owners(asked, {(manager, "Update"): set(leaves(asked))})


def merged(live: Any, patch: Any) -> Any:
    """RFC 7396, the JSON merge patch."""
    if not isinstance(patch, Mapping):
        return deepcopy(patch)
    found = dict(live) if isinstance(live, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name), value)
    return found


def owners_of(found: Manifest) -> dict[_Who, set[Path]]:
    """Manager and operation → the paths that are theirs."""
    entries = found["metadata"].get("managedFields") or ()
    return {(one["manager"], one["operation"]): set(paths(one["fieldsV1"])) for one in entries if one}


def with_owners(found: Manifest, owned: Mapping[_Who, Iterable[Path]]) -> Manifest:
    """The object, saying whose its fields are."""
    entries = [
        {"manager": who, "operation": how, "fieldsType": "FieldsV1", "fieldsV1": tree(theirs)}
        for (who, how), theirs in sorted(owned.items())
        if theirs
    ]
    return {**found, "metadata": {**found["metadata"], "managedFields": entries}}


def _bare(manifest: Manifest) -> Manifest:
    metadata = {name: manifest["metadata"][name] for name in ("name", "namespace") if name in manifest["metadata"]}
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": metadata}


def _is_at_or_below(path: Path, theirs: set[Path]) -> bool:
    return any(one[: len(path)] == path for one in theirs)
