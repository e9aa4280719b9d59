"""A look at everything of one owner: a list of each kind by our labels, all at once. Modifies nothing.

A kind that cannot be listed is blind, with the reason; what is not ours in a place that we want is foreign.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from drivers.base import DriverError, Unavailable
from drivers.kubernetes.body import Manifest
from drivers.kubernetes.client import Client
from drivers.kubernetes.kinds import RESOURCES
from drivers.kubernetes.names import INSTALLATION, UNIT, Place, holder_of, is_ours, place_of, selector_of
from drivers.kubernetes.translate import KINDS
from model.names import Owner, Ref

_POD = "Pod"
_MADE_BY_KUBERNETES = frozenset({("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")})


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look showed. `blind`: kind on the API → why. `pods`: of each unit, those that still run."""

    live: Mapping[Place, Manifest] = field(default_factory=dict)
    foreign: Mapping[Ref, str] = field(default_factory=dict)
    blind: Mapping[str, str] = field(default_factory=dict)
    pods: Mapping[tuple[str, str], int] = field(default_factory=dict)


async def look(client: Client, installation: str, owner: Owner, wanted: frozenset[Ref]) -> Look:
    """Everything of the owner's, and what stands in its way. Raises Unavailable when nothing can be seen."""
    lists = await _lists(client, selector_of(installation, owner), (*KINDS, _POD))
    blind = {kind: str(found) for kind, found in lists.items() if isinstance(found, DriverError)}
    if _POD in blind:
        blind |= dict.fromkeys(("Deployment", "Job"), f"its pods cannot be listed: {blind[_POD]}")
    live = {
        place: one
        for kind, found in lists.items()
        if kind not in (_POD, *blind) and not isinstance(found, DriverError)
        for place, one in _ours(found, kind, installation, owner).items()
    }
    pods = lists[_POD]
    missing = [ref for ref in sorted(wanted) if place_of(ref) not in live and place_of(ref).kind not in blind]
    found = {ref: one for ref, one in (await _standing(client, missing)).items() if one is not None}
    hidden = {place_of(ref): one for ref, one in found.items() if is_ours(one, installation, owner)}
    return Look(
        live={**live, **hidden},
        foreign={ref: told(ref, one) for ref, one in found.items() if place_of(ref) not in hidden},
        blind={kind: why for kind, why in blind.items() if kind != _POD},
        pods={} if isinstance(pods, DriverError) else _running(pods),
    )


async def _lists(
    client: Client, labels: str, kinds: tuple[str, ...]
) -> dict[str, tuple[Manifest, ...] | DriverError]:
    found = await asyncio.gather(*(_list(client, labels, kind) for kind in kinds))
    unseen = [one for one in found if isinstance(one, Unavailable)]
    if len(unseen) == len(kinds):
        raise unseen[0]
    return dict(zip(kinds, found, strict=True))


async def _list(client: Client, labels: str, kind: str) -> tuple[Manifest, ...] | DriverError:
    try:
        return (await client.pages(RESOURCES[kind], labels=labels)).items
    except DriverError as error:
        return error


def _ours(found: tuple[Manifest, ...], kind: str, installation: str, owner: Owner) -> dict[Place, Manifest]:
    """Those whose mark fits: whoever copies our labels onto theirs has not given it to us."""
    whole = ({**one, "kind": kind} for one in found)  # an item of a list does not say its kind
    return {_place(one): one for one in whole if holder_of(one, installation) == owner}


def _place(live: Mapping[str, Any]) -> Place:
    metadata = live["metadata"]
    return Place(kind=live["kind"], namespace=metadata.get("namespace", ""), name=metadata["name"])


async def _standing(client: Client, refs: list[Ref]) -> dict[Ref, Manifest | None]:
    """What stands where nothing with our labels does."""
    found = await asyncio.gather(*(standing(client, place_of(ref)) for ref in refs))
    return dict(zip(refs, found, strict=True))


async def standing(client: Client, place: Place) -> Manifest | None:
    """What stands in a place, whosever it is."""
    found = await client.get(RESOURCES[place.kind], place.namespace or None, place.name)
    return None if found is None else {**found, "kind": place.kind}


async def strangers(client: Client, installation: str, namespace: str) -> list[str]:
    """What is in a namespace and is not ours, nor made by Kubernetes itself, as `Kind/name`."""
    kinds = [kind for kind in (*KINDS, _POD) if RESOURCES[kind].namespaced]
    lists = await asyncio.gather(*(client.pages(RESOURCES[kind], namespace=namespace) for kind in kinds))
    return sorted(
        f"{kind}/{one['metadata']['name']}"
        for kind, found in zip(kinds, lists, strict=True)
        for one in found.items
        if (one["metadata"].get("labels") or {}).get(INSTALLATION) != installation
        and not one["metadata"].get("ownerReferences")
        and (kind, one["metadata"]["name"]) not in _MADE_BY_KUBERNETES
    )


def told(ref: Ref, live: Manifest) -> str:
    """A sentence about something that is not ours, and what to do."""
    labels = live["metadata"].get("labels") or {}
    by = labels.get("app.kubernetes.io/managed-by") or "nobody that it names"
    return f"{ref} is there and does not carry our mark (it is managed by {by}); remove or rename it"


def _running(pods: tuple[Manifest, ...]) -> Counter[tuple[str, str]]:
    """Pods that have not ended, by namespace and unit: those on their way out still run."""
    return Counter(
        (one["metadata"]["namespace"], (one["metadata"].get("labels") or {}).get(UNIT, ""))
        for one in pods
        if (one.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
    )
