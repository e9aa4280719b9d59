"""A look at everything of one owner: what the watches know, or a list of each kind by our labels, all at once.

A kind that cannot be listed is blind, with the reason; what is not ours in a place that we want is foreign.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from drivers.base import DriverError, Unavailable
from drivers.kubernetes.body import Manifest
from drivers.kubernetes.cache import LOOKED_AT, Cache
from drivers.kubernetes.client import Client
from drivers.kubernetes.kinds import RESOURCES
from drivers.kubernetes.names import UNIT, Place, holder_of, is_ours, place_of, selector_of
from drivers.kubernetes.shelf import number_of
from drivers.kubernetes.slim import POD, slim
from drivers.kubernetes.translate import KINDS
from model.names import Owner, Ref

_MADE_BY_KUBERNETES = frozenset({("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")})


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look showed. `blind`: kind on the API → why. `pods`: of each unit, those that still run.

    `as_of`: kind on the API → the version of the world in which it was seen.
    """

    live: Mapping[Place, Manifest] = field(default_factory=dict)
    foreign: Mapping[Ref, str] = field(default_factory=dict)
    blind: Mapping[str, str] = field(default_factory=dict)
    pods: Mapping[tuple[str, str], int] = field(default_factory=dict)
    as_of: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Eyes:
    """What one installation looks at one cluster with."""

    client: Client
    cache: Cache
    installation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """The slim objects of one kind, and the version of the world that shows them."""

    objects: tuple[Manifest, ...]
    version: int


async def look(eyes: Eyes, owner: Owner, wanted: frozenset[Ref], *, fresh: bool) -> Look:
    """Everything of the owner's, and what stands in its way. Raises Unavailable when nothing can be seen.

    What the watches know is taken from there, unless it is to be `fresh`.
    """
    lists = await _lists(eyes, owner, fresh=fresh)
    blind = {kind: str(found) for kind, found in lists.items() if isinstance(found, DriverError)}
    shown = {kind: found for kind, found in lists.items() if isinstance(found, _Shown)}
    if POD in blind:
        blind |= dict.fromkeys(("Deployment", "Job"), f"its pods cannot be listed: {blind[POD]}")
    live = {
        place: one
        for kind, found in shown.items()
        if kind != POD and kind not in blind
        for place, one in _ours(found.objects, eyes.installation, owner).items()
    }
    by_name, foreign = await _by_name(eyes, owner, wanted, live.keys() | blind.keys())
    return Look(
        live={**live, **by_name},
        foreign=foreign,
        blind={kind: why for kind, why in blind.items() if kind != POD},
        pods=_running(shown[POD].objects) if POD in shown else {},
        as_of={kind: found.version for kind, found in shown.items() if kind != POD and kind not in blind},
    )


async def _lists(eyes: Eyes, owner: Owner, *, fresh: bool) -> dict[str, _Shown | DriverError]:
    """Each kind, from its watch or by a list. Raises Unavailable when not one can be seen."""
    asked = [kind for kind in LOOKED_AT if fresh or not eyes.cache.is_current(kind)]
    found = await asyncio.gather(*(_list(eyes, kind, owner) for kind in asked))
    unseen = [one for one in found if isinstance(one, Unavailable)]
    if len(unseen) == len(LOOKED_AT):
        raise unseen[0]
    known = {kind: _known(eyes.cache, kind, owner) for kind in LOOKED_AT if kind not in asked}
    return {**known, **dict(zip(asked, found, strict=True))}


def _known(cache: Cache, kind: str, owner: Owner) -> _Shown:
    return _Shown(objects=cache.of(kind, owner), version=cache.as_of(kind, owner))


async def _list(eyes: Eyes, kind: str, owner: Owner) -> _Shown | DriverError:
    try:
        listing = await eyes.client.pages(RESOURCES[kind], labels=selector_of(eyes.installation, owner))
    except DriverError as error:
        return error
    eyes.cache.merge(kind, owner, listing)
    # an item of a list does not say its kind
    objects = tuple(slim({**one, "kind": kind}) for one in listing.items)
    return _Shown(objects=objects, version=number_of(listing.version))


async def _by_name(
    eyes: Eyes, owner: Owner, wanted: frozenset[Ref], seen: AbstractSet[Place | str]
) -> tuple[dict[Place, Manifest], dict[Ref, str]]:
    """What no label finds, and is asked for by its name: what is ours all the same; what stands in our way."""
    places = {place_of(ref): ref for ref in wanted}
    lost = eyes.cache.lost(owner)
    asked = [one for one in sorted(places.keys() | lost, key=str) if one not in seen and one.kind not in seen]
    found = dict(zip(asked, await asyncio.gather(*(standing(eyes.client, one) for one in asked)), strict=True))
    there = {place: one for place, one in found.items() if one is not None}
    ours: dict[Place, Manifest] = {
        place: slim(one) for place, one in there.items() if is_ours(one, eyes.installation, owner)
    }
    for place in lost & (found.keys() - ours.keys()):
        eyes.cache.found_gone(owner, place)
    others = {places[place]: one for place, one in there.items() if place in places and place not in ours}
    return ours, {ref: told(ref, one) for ref, one in sorted(others.items(), key=lambda item: item[0])}


def _ours(found: tuple[Manifest, ...], installation: str, owner: Owner) -> dict[Place, Manifest]:
    """Those whose mark fits: whoever copies our labels onto theirs has not given it to us."""
    return {_place(one): one for one in found if holder_of(one, installation) == owner}


def _place(live: Mapping[str, Any]) -> Place:
    metadata = live["metadata"]
    return Place(kind=live["kind"], namespace=metadata.get("namespace", ""), name=metadata["name"])


async def standing(client: Client, place: Place) -> Manifest | None:
    """What stands in a place, whosever it is."""
    found = await client.get(RESOURCES[place.kind], place.namespace or None, place.name)
    return None if found is None else {**found, "kind": place.kind}


async def strangers(client: Client, installation: str, namespace: str) -> list[str]:
    """What is in a namespace and is not ours, whatever its labels say, nor made by Kubernetes, as `Kind/name`."""
    kinds = [kind for kind in (*KINDS, POD) if RESOURCES[kind].namespaced]
    lists = await asyncio.gather(*(client.pages(RESOURCES[kind], namespace=namespace) for kind in kinds))
    return sorted(
        f"{kind}/{one['metadata']['name']}"
        for kind, found in zip(kinds, lists, strict=True)
        for one in found.items
        if holder_of({**one, "kind": kind}, installation) is None
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
