"""The simulation driver: the contract, kept in a world that does not keep its own.

Holds nothing but what a daemon's process would: a new driver on the same world is a restarted daemon.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from drivers.base import Applied, Conflict, Reveal, Stamp, Unavailable
from drivers.simulation import translate as pure
from drivers.simulation.cache import Cache
from drivers.simulation.calls import answer, permit, reach
from drivers.simulation.hints import Hints
from drivers.simulation.register import View
from drivers.simulation.thing import Thing
from drivers.simulation.translate import Body
from drivers.simulation.world import Pen, World
from model.digest import digest
from model.names import Kind, Owner, Ref, SecretRef
from model.objects import Object, Observed, Site
from model.plan import Action, Create, Delete, Replace, Stop, Update
from model.units import AnyUnit


async def _no_secrets(reference: SecretRef) -> str:
    raise Unavailable(f"this simulation was given no secrets, and {reference.name} is wanted")


class SimulationDriver:
    """A driver on a world. `reveal` is called while something that refers to secrets is written.

    `cluster`: the name that the kinds begin with, so that drivers on several worlds share none; empty: no such
    beginning. `name` says which daemon this driver is of. A world tells its news to one driver of each name.
    """

    units: frozenset[type[AnyUnit]] = pure.UNITS

    def __init__(
        self,
        *,
        world: World,
        installation: str = "simulated",
        reveal: Reveal = _no_secrets,
        cluster: str = "",
        name: str = "armillary",
    ) -> None:
        self.cluster = cluster
        self.name = name
        self.kinds: frozenset[Kind] = pure.kinds(cluster)
        self._world = world
        self._installation = installation
        self._reveal = reveal
        self._ordered = tuple(sorted(self.kinds))
        self._cache = Cache(world, self._ordered)
        self._hints = Hints(world, installation, self._cache.lag_seconds)

    async def open(self) -> None:
        """Reach the world and list it, so that changes from now on are news. Raises Unavailable."""
        await reach(self._world)
        self._cache.fill()
        self._hints.is_closed = False
        self._world.listeners[self.name] = self._hints

    async def close(self) -> None:
        """Let go. The world goes on."""
        self._hints.close()
        if self._world.listeners.get(self.name) is self._hints:
            del self._world.listeners[self.name]

    def translate(self, unit: AnyUnit, site: Site) -> tuple[Object, ...]:
        """The one object of a unit."""
        return pure.translate(unit, site, self.cluster)

    async def observe(self, owner: Owner, wanted: frozenset[Ref], *, fresh: bool = False) -> Observed:
        """Everything of the owner's, or what this world lets one see of it. Raises Unavailable."""
        world = self._world
        await reach(world)
        is_cached = world.faults.is_cached and not fresh
        blind = self._blind()
        view = self._cache.look() if is_cached else world.view()
        observed = Observed(
            seen={one.ref: one for one in view.of(self._claim(owner)) if one.ref.kind not in blind},
            foreign=self._foreign(owner, wanted, view, blind),
            blind=blind,
            as_of={kind: at for kind, at in self._as_of(view, fresh=fresh).items() if kind not in blind},
        )
        await world.delay()
        return observed

    async def apply(self, owner: Owner, action: Action) -> Applied:
        """Carry out one action. Raises Unavailable, before or after the effect, Refused and Conflict."""
        await reach(self._world)
        thing = self._world.thing(action.ref)
        if thing is not None:
            self._require_ours(thing, owner, "" if isinstance(action, Create) else action.uid)
        permit(self._world, action.ref, is_new=thing is None and isinstance(action, Create))
        pen = Pen(by=self.name, installation=self._installation, owner=str(owner))
        match action:
            case Create() | Update() | Replace():
                thing = await self._put(pen, action)
            case Stop() if thing is not None:
                self._world.stop(thing, pen)
            case Delete() if thing is not None:
                self._world.delete(thing, pen)
        left = self._world.thing(action.ref)
        applied = Applied(uid=left.uid if left else "", version=self._world.version)
        await answer(self._world)
        return applied

    async def owners(self) -> frozenset[Owner]:
        """Every owner of whom something exists. Raises Unavailable."""
        await reach(self._world)
        if self._world.chance(self._world.faults.blind, "broken list"):
            raise Unavailable("the list of owners broke off in the middle (410), and a part of it is no list")
        return frozenset(map(Owner.parse, self._world.owners(self._installation)))

    async def watch(self) -> AsyncIterator[Owner]:
        """Owners whose things changed; some are lost, some come twice. Raises Unavailable."""
        if not self._hints.is_closed:
            self._world.listeners[self.name] = self._hints  # in the place of a daemon of that name that died
        async for owner in self._hints.listen():
            yield owner

    async def read_stamp(self) -> Stamp | None:
        """Who leads the cluster, as was written last. Raises Unavailable."""
        await reach(self._world)
        return self._world.stamp

    async def write_stamp(self, stamp: Stamp) -> None:
        """Say who leads the cluster. Raises Unavailable, before or after the effect."""
        await reach(self._world)
        self._world.write_stamp(stamp)
        await answer(self._world)

    async def _put(self, pen: Pen, action: Create | Update | Replace) -> Thing:
        body: Body = action.object.body
        values = [await self._reveal(one) for one in body.secrets]
        # a digest, so that whatever prints the world prints no secret
        content = digest(action.object.digest, *values)
        return await self._world.put(action.object, pen, content, again=isinstance(action, Replace))

    def _claim(self, owner: Owner) -> tuple[str, str]:
        return (self._installation, str(owner))

    def _require_ours(self, thing: Thing, owner: Owner, uid: str) -> None:
        if thing.claim != self._claim(owner):
            raise Conflict(_holder(thing))
        if uid and uid != thing.uid:
            raise Conflict(f"{thing.ref} is not the object that was seen; another was made in its place")

    def _foreign(
        self, owner: Owner, wanted: frozenset[Ref], view: View, blind: Mapping[Kind, str]
    ) -> dict[Ref, str]:
        found: dict[Ref, str] = {}
        claim = self._claim(owner)
        for ref in wanted:
            thing = view.get(ref)
            if thing is not None and thing.claim != claim and ref.kind not in blind:
                found[ref] = _holder(thing)
        # a set has no order that is the same in every run
        return dict(sorted(found.items()))

    def _as_of(self, view: View, *, fresh: bool) -> Mapping[Kind, int]:
        """The versions that a look shows, where later looks may be at a cache that is behind them."""
        if fresh and self._world.faults.is_cached:
            return dict.fromkeys(self._ordered, self._world.version)
        return view.as_of

    def _blind(self) -> dict[Kind, str]:
        """The kinds that this look does not show, and why."""
        world = self._world
        blind = {kind: why for kind, why in world.blind.items() if kind in self.kinds}
        if world.faults.forbidden > 0:
            kind = world.random.choice(self._ordered)
            world.befall(f"forbidden {kind}", world.faults.forbidden)
            blind |= {
                one: f"{one}: 403, may not be listed"
                for one in self._ordered
                if world.is_under(f"forbidden {one}")
            }
        if world.chance(world.faults.blind, "broken list"):
            kind = world.random.choice(self._ordered)
            blind[kind] = f"{kind}: the list broke off in the middle (410), and a part of it is no list"
        return blind


def _holder(thing: Thing) -> str:
    mark = thing.mark
    whose = f"belongs to {mark.owner} of {mark.installation}" if mark else "carries no mark"
    return f"{thing.ref} {whose}; remove or rename it"
