"""Names, labels and annotations: how a deployment's units are called on a cluster, and whose an object is.

A mark is the two labels that a selector finds us by, and an annotation that only fits this one object: somebody
who copies our labels onto an object of theirs does not make it ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.digest import digest
from model.names import Kind, Owner, Ref, UnitName

INSTALLATION = "armillary.io/installation"
OWNER = "armillary.io/owner"
UNIT = "armillary.io/unit"
MARK = "armillary.io/mark"
DIGEST = "armillary.io/digest"
FROZEN_DIGEST = "armillary.io/frozen-digest"
CONTENT = "armillary.io/content"
RESTARTED_AT = "armillary.io/restarted-at"

_NAME_MAX = 63  # of a namespace, a Service, and a label's value


def namespace_of(release: str) -> str:
    """Where a deployment lives. Releases are unique for ever, so namespaces are."""
    return f"armillary-{release}"[:_NAME_MAX].rstrip("-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one object stands: its kind on the API, its namespace (empty: of the cluster), its name."""

    kind: str
    namespace: str
    name: str


def ref_of(place: Place, cluster: str) -> Ref:
    """The object's name in plans: `east.Deployment/armillary-demo-hello-1/scheduler`."""
    name = f"{place.namespace}/{place.name}" if place.namespace else place.name
    return Ref(kind_of(place.kind, cluster), name)


def kind_of(kind: str, cluster: str) -> Kind:
    """The kind as the core knows it: each cluster has its own."""
    return f"{cluster}.{kind}" if cluster else kind


def place_of(ref: Ref) -> Place:
    """Where an object of that name stands."""
    namespace, _, name = ref.name.rpartition("/")
    return Place(kind=ref.kind.rpartition(".")[2], namespace=namespace, name=name)


def owner_label(owner: Owner) -> str:
    """An owner as a label's value, which may hold no slash."""
    return f"{owner.scope}.{owner.id}"


def owner_of(label: str) -> Owner:
    """Read such a value. Raises ValueError for anything else."""
    return Owner.parse(label.replace(".", "/", 1))


def mark_of(installation: str, owner: Owner, place: Place) -> str:
    """What the mark of an object says: it fits no other object and no other owner."""
    return digest(installation, str(owner), place.kind, place.namespace, place.name)


def labels_of(installation: str, owner: Owner, unit: UnitName) -> dict[str, str]:
    """The labels of every object of a unit."""
    return {
        "app.kubernetes.io/managed-by": "armillary",
        INSTALLATION: installation,
        OWNER: owner_label(owner),
        UNIT: unit,
    }


def selector_of(installation: str, owner: Owner | None = None) -> str:
    """The label selector of everything of an installation, or of one owner."""
    whose = f"{INSTALLATION}={installation}"
    return whose if owner is None else f"{whose},{OWNER}={owner_label(owner)}"


def manager_of(installation: str) -> str:
    """The name under which the API server notes which fields are ours."""
    return f"armillary-{installation}"


def holder_of(found: Mapping[str, Any], installation: str) -> Owner | None:
    """Whose an object of this installation is; None when it is not of this installation."""
    labels = found["metadata"].get("labels") or {}
    try:
        owner = owner_of(labels.get(OWNER, ""))
    except ValueError:
        return None
    return owner if is_ours(found, installation, owner) else None


def is_ours(found: Mapping[str, Any], installation: str, owner: Owner) -> bool:
    """Whether an object is this owner's: by the mark that only fits it, or by labels on what we wrote ourselves.

    So neither who takes our labels away, nor who takes our mark away, nor who copies either, changes whose it is.
    """
    metadata = found["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    place = Place(kind=found["kind"], namespace=metadata.get("namespace", ""), name=metadata["name"])
    if annotations.get(MARK) == mark_of(installation, owner, place):
        return True
    if (labels.get(INSTALLATION), labels.get(OWNER)) != (installation, owner_label(owner)):
        return False
    entries = metadata.get("managedFields") or ()
    return any(one["manager"] == manager_of(installation) for one in entries)
