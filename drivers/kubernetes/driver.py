"""The Kubernetes driver: the contract of `drivers.base`, on one cluster.

Looks are served from what watches know: at rest nothing else is sent. What is written is applied by server-side
apply under a field manager of our own; what is not ours is never touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

from drivers.base import Applied, Conflict, Refused, Reveal, Stamp, Unavailable
from drivers.kubernetes import stamps
from drivers.kubernetes.body import Body, Manifest
from drivers.kubernetes.cache import Cache
from drivers.kubernetes.client import Client
from drivers.kubernetes.compare import extras, with_nothing_else
from drivers.kubernetes.encode import encode, manifest_of
from drivers.kubernetes.fields import owned_by_apply, owns
from drivers.kubernetes.kinds import RESOURCES, Resource
from drivers.kubernetes.look import Eyes, Look, look, standing, strangers, told
from drivers.kubernetes.names import (
    DIGEST,
    Place,
    holder_of,
    is_ours,
    kind_of,
    manager_of,
    place_of,
    ref_of,
    selector_of,
)
from drivers.kubernetes.see import see
from drivers.kubernetes.settings import Settings
from drivers.kubernetes.shelf import number_of
from drivers.kubernetes.translate import KINDS, UNITS, translate
from drivers.kubernetes.watch import Patience
from model.names import Kind, Owner, Ref
from model.objects import Object, Observed, Seen, Site
from model.plan import Action, Create, Delete, Replace, Stop, Update
from model.units import AnyUnit

_WRITTEN_MAX = 5
_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)


class KubernetesDriver:
    """A driver on one cluster. `client` is opened and closed with it."""

    units: frozenset[type[AnyUnit]] = UNITS

    def __init__(
        self,
        *,
        client: Client,
        cluster: str,
        installation: str,
        settings: Settings,
        reveal: Reveal,
        patience: Patience | None = None,
    ) -> None:
        self.cluster = cluster
        self.kinds: frozenset[Kind] = frozenset(kind_of(kind, cluster) for kind in KINDS)
        self._client = client
        self._cache = Cache(client, installation, patience)
        self._eyes = Eyes(client=client, cache=self._cache, installation=installation)
        self._installation = installation
        self._manager = manager_of(installation)
        self._settings = settings
        self._reveal = reveal
        self._rendered: dict[Ref, Object] = {}  # as asked for last: what drift is measured by

    async def open(self) -> None:
        """Connect, and see that it answers. Changes nothing. Raises Unavailable."""
        try:
            await self._client.open()
            await self._client.version()
            await self._cache.open()
        except Refused as error:
            await self.close()
            raise Unavailable(str(error)) from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Let go. What runs on the cluster runs on."""
        await self._cache.close()
        await self._client.close()

    def translate(self, unit: AnyUnit, site: Site) -> tuple[Object, ...]:
        """The objects of a unit. Raises Refused for what no cluster can do."""
        objects = translate(unit, site, self._settings)
        self._rendered.update({one.ref: one for one in objects})
        return objects

    async def observe(self, owner: Owner, wanted: frozenset[Ref], *, fresh: bool = False) -> Observed:
        """Everything of the owner's, as the watches know it, or by lists of each kind. Raises Unavailable."""
        found = await look(self._eyes, owner, wanted, fresh=fresh)
        refs = {ref_of(place, self.cluster): (place, live) for place, live in found.live.items()}
        return Observed(
            seen={ref: self._seen(ref, place, live, owner, found) for ref, (place, live) in sorted(refs.items())},
            foreign=dict(found.foreign),
            blind={kind_of(kind, self.cluster): why for kind, why in found.blind.items()},
            as_of={kind_of(kind, self.cluster): version for kind, version in found.as_of.items()},
        )

    async def apply(self, owner: Owner, action: Action) -> Applied:
        """Carry out one action. Raises Unavailable, Refused, Conflict."""
        place = place_of(action.ref)
        live = await standing(self._client, place)
        if live is not None:
            self._require_ours(live, owner, action)
        match action:
            case Create() | Update():
                return await self._put(owner, action.object, live)
            case Replace():
                return await self._replace(owner, action, live)
            case Stop():
                return await self._stop(place, live)
            case Delete():
                self._rendered.pop(action.ref, None)
                return await self._delete(place, live)

    async def owners(self) -> frozenset[Owner]:
        """Every owner of whom anything exists. Raises Unavailable, also when only the watches still stand."""
        await self._client.version()
        known = self._cache.owners()
        return await self._listed_owners() if known is None else known

    async def watch(self) -> AsyncIterator[Owner]:
        """Owners whose objects changed. Ends only when closed."""
        async for owner in self._cache.news():
            yield owner

    async def read_stamp(self) -> Stamp | None:
        """What the cluster remembers of who keeps it. Raises Unavailable."""
        return await stamps.read_stamp(self._client, self._installation)

    async def write_stamp(self, stamp: Stamp) -> None:
        """Remember who keeps it. Raises Unavailable."""
        await stamps.write_stamp(self._client, self._installation, stamp)

    def _seen(self, ref: Ref, place: Place, live: Manifest, owner: Owner, found: Look) -> Seen:
        wanted = self._rendered.get(ref)
        annotations = live["metadata"].get("annotations") or {}
        is_as_rendered = wanted is not None and annotations.get(DIGEST) == wanted.digest
        applied = manifest_of(wanted, owner, self._installation) if wanted is not None and is_as_rendered else None
        pods = found.pods.get((place.namespace, place.name), 0) if place.kind in ("Deployment", "Job") else 0
        return see(ref, live, applied, pods)

    def _require_ours(self, live: Manifest, owner: Owner, action: Action) -> None:
        if not is_ours(live, self._installation, owner):
            raise Conflict(told(action.ref, live))
        uid = "" if isinstance(action, Create) else action.uid
        if uid and uid != live["metadata"]["uid"]:
            raise Conflict(f"{action.ref} is not the object that was seen; another was made in its place")

    async def _put(self, owner: Owner, wanted: Object, live: Manifest | None) -> Applied:
        if live is not None and "deletionTimestamp" in live["metadata"]:
            raise Unavailable(f"{wanted.ref} is still being deleted; it can be made once it is gone")
        manifest = await encode(wanted, owner, self._installation, self._reveal)
        if live is None:
            return await self._make(owner, wanted, manifest)
        manifest["metadata"]["uid"] = live["metadata"]["uid"]  # another in its place is not written over
        body: Body = wanted.body
        resource, kind = RESOURCES[body.place.kind], body.place.kind
        if not owns(live, self._manager, "Apply") and owns(live, self._manager, "Update"):
            live = await self._written(resource, live, lambda one: owned_by_apply(one, self._manager))
        if extras(manifest, live, kind):
            await self._written(resource, live, lambda one: with_nothing_else(manifest, one, kind))
        written: Manifest = await self._client.apply(resource, manifest)
        if owns(written, self._manager, "Update"):
            written = await self._written(resource, written, lambda one: owned_by_apply(one, self._manager))
        return _applied(written)

    async def _make(self, owner: Owner, wanted: Object, manifest: Manifest) -> Applied:
        """Make what was not there a moment ago. Not by an apply, which would take over what came in between."""
        body: Body = wanted.body
        try:
            return _applied(await self._client.create(RESOURCES[body.place.kind], manifest))
        except Conflict as error:
            live = await standing(self._client, body.place)
            if live is None:
                raise Unavailable(f"{wanted.ref} came and went while it was made") from error
            if not is_ours(live, self._installation, owner):
                raise Conflict(told(wanted.ref, live)) from error
            return await self._put(owner, wanted, live)

    async def _written(
        self, resource: Resource, live: Manifest, change: Callable[[Manifest], Manifest]
    ) -> Manifest:
        """Write a whole object, read anew whenever somebody else (its controller, mostly) wrote it meanwhile."""
        for _ in range(_WRITTEN_MAX):
            try:
                return await self._client.put(resource, change(live))
            except Conflict:
                metadata = live["metadata"]
                again = await self._client.get(resource, metadata.get("namespace"), metadata["name"])
                if again is None or again["metadata"]["uid"] != metadata["uid"]:
                    raise
                live = again
        raise Unavailable(
            f"{resource.kind} {live['metadata']['name']} is changed by others faster than it is written"
        )

    async def _replace(self, owner: Owner, action: Replace, live: Manifest | None) -> Applied:
        if live is not None and live["metadata"]["uid"] == action.uid:
            await self._delete(place_of(action.ref), live)
            live = await self._left(place_of(action.ref))
        return await self._put(owner, action.object, live)

    async def _left(self, place: Place) -> Manifest | None:
        """What is left of something that was sent on its way, after a moment's patience."""
        for pause in _PAUSES_SECONDS:
            live = await standing(self._client, place)
            if live is None:
                return None
            await asyncio.sleep(pause)
        return await standing(self._client, place)

    async def _stop(self, place: Place, live: Manifest | None) -> Applied:
        patch: Mapping[str, object] | None = _STOPPED.get(place.kind)
        if live is None or patch is None:
            return _applied(live)
        guarded = {**patch, "metadata": {"uid": live["metadata"]["uid"]}}
        resource = RESOURCES[place.kind]
        return _applied(await self._client.patch(resource, place.namespace, place.name, guarded))

    async def _delete(self, place: Place, live: Manifest | None) -> Applied:
        """Send it on its way. What has pods is gone only when they are."""
        if live is not None and "deletionTimestamp" not in live["metadata"]:
            if place.kind == "Namespace":
                await self._require_alone(place)
            uid = live["metadata"]["uid"]
            how = "Foreground" if place.kind in _STOPPED else "Background"
            resource = RESOURCES[place.kind]
            await self._client.delete(resource, place.namespace or None, place.name, uid=uid, propagation=how)
        return _applied(await standing(self._client, place))

    async def _require_alone(self, place: Place) -> None:
        """A namespace takes everything in it along: it goes only when nothing of anybody else's is in it."""
        others = await strangers(self._client, self._installation, place.name)
        if others:
            raise Refused(
                f"the namespace {place.name} is kept, because others have something in it: {', '.join(others)}; "
                "move or remove that, and it goes by itself"
            )

    async def _listed_owners(self) -> frozenset[Owner]:
        labels = selector_of(self._installation)
        lists = await asyncio.gather(*(self._client.pages(RESOURCES[kind], labels=labels) for kind in KINDS))
        holders = (
            holder_of({**one, "kind": kind}, self._installation)
            for kind, found in zip(KINDS, lists, strict=True)
            for one in found.items
        )
        return frozenset(one for one in holders if one is not None)


_STOPPED: Mapping[str, Mapping[str, object]] = {
    "Deployment": {"spec": {"replicas": 0}},
    "Job": {"spec": {"suspend": True}},
}
"""What makes the pods of a kind end while the object stays."""


def _applied(left: Manifest | None) -> Applied:
    """What a write left: what no cache may be behind."""
    if left is None:
        return Applied()
    metadata = left["metadata"]
    return Applied(uid=metadata["uid"], version=number_of(metadata["resourceVersion"]))
