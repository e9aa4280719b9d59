"""The simulation driver: the contract, kept in a world that does not keep its own.

Holds nothing but what a daemon's process would: a new driver on the same world is a restarted daemon.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

from drivers.base import Applied, Conflict, Reveal, Unavailable
from drivers.simulation import translate as pure
from drivers.simulation.thing import Mark, Thing, is_ours, see
from drivers.simulation.translate import Body
from drivers.simulation.world import World
from model.digest import digest
from model.names import Kind, Owner, Ref, SecretRef
from model.objects import Object, Observed, Seen, Site
from model.plan import Action, Create, Delete, Replace, Stop, Update
from model.units import AnyUnit


async def _no_secrets(reference: SecretRef) -> str:
    raise Unavailable(f"this simulation was given no secrets, and {reference.name} is wanted")


class SimulationDriver:
    """A driver on a world. `reveal` is called while something that refers to secrets is written."""

    kinds: frozenset[Kind] = pure.KINDS
    units: frozenset[type[AnyUnit]] = pure.UNITS

    def __init__(self, *, world: World, installation: str = "simulated", reveal: Reveal = _no_secrets) -> None:
        self._world = world
        self._installation = installation
        self._reveal = reveal
        self._closing = asyncio.Event()
        self._earlier: dict[Owner, Observed] = {}
        self._last: dict[Owner, dict[Ref, Seen]] = {}

    async def open(self) -> None:
        """Reach the world, and remember how it is, so that changes from now on are news. Raises Unavailable."""
        await self._reach()
        self._last = self._by_owner()

    async def close(self) -> None:
        """Let go. The world goes on."""
        self._closing.set()

    def translate(self, unit: AnyUnit, site: Site) -> tuple[Object, ...]:
        """The one object of a unit."""
        return pure.translate(unit, site)

    async def observe(self, owner: Owner, wanted: frozenset[Ref]) -> Observed:
        """Everything of the owner's, or what this world lets one see of it. Raises Unavailable."""
        await self._reach()
        if owner in self._earlier and self._world.chance(self._world.faults.stale):
            return self._earlier[owner]
        now, blind = self._world.clock(), self._blind()
        things = [one for one in self._world.things() if one.kind not in blind]
        observed = Observed(
            seen={one.ref: see(one, now) for one in things if is_ours(one, self._installation, str(owner))},
            foreign={one.ref: _holder(one) for one in things if one.ref in wanted and not self._is(one, owner)},
            blind=blind,
        )
        self._earlier[owner] = observed
        await self._world.delay()
        return observed

    async def apply(self, owner: Owner, action: Action) -> Applied:
        """Carry out one action. Raises Unavailable, before or after the effect, and Conflict."""
        await self._reach()
        thing = self._world.thing(action.ref)
        if thing is not None:
            self._require_ours(thing, owner, "" if isinstance(action, Create) else action.uid)
        match action:
            case Create() | Update() | Replace():
                applied = await self._put(owner, action)
            case Stop():
                applied = Applied(uid=thing.uid if thing else "")
                if thing is not None:
                    self._world.stop(thing, str(owner))
            case Delete():
                if thing is not None:
                    self._world.delete(thing, str(owner))
                left = self._world.thing(action.ref)
                applied = Applied(uid=left.uid if left else "")
        await self._world.delay()
        if self._world.chance(self._world.faults.unavailable_after):
            raise Unavailable("the simulated world did not say whether it heard")
        return applied

    async def owners(self) -> frozenset[Owner]:
        """Every owner of whom something exists. Raises Unavailable."""
        await self._reach()
        return frozenset(self._by_owner())

    async def watch(self) -> AsyncIterator[Owner]:
        """Owners whose things changed; some are lost, some come twice. Raises Unavailable."""
        while not self._closing.is_set():
            if self._world.is_down:
                raise Unavailable("the simulated world is down")
            for owner in self._news():
                yield owner
            await self._pause()

    async def _pause(self) -> None:
        closing = asyncio.ensure_future(self._closing.wait())
        pause = asyncio.ensure_future(self._world.sleep(self._world.faults.hint_interval))
        try:
            await asyncio.wait((closing, pause), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in (closing, pause):
                one.cancel()
                with suppress(asyncio.CancelledError):
                    await one

    async def _reach(self) -> None:
        await self._world.delay()
        if self._world.is_down or self._world.chance(self._world.faults.unavailable_before):
            raise Unavailable("the simulated world does not answer")

    async def _put(self, owner: Owner, action: Create | Update | Replace) -> Applied:
        body: Body = action.object.body
        values = [await self._reveal(one) for one in body.secrets]
        # a digest, so that whatever prints the world prints no secret
        content = digest(action.object.digest, *values)
        mark = Mark(installation=self._installation, owner=str(owner), object=action.ref)
        thing = await self._world.put(action.object, mark, content, again=isinstance(action, Replace))
        return Applied(uid=thing.uid)

    def _is(self, thing: Thing, owner: Owner) -> bool:
        return is_ours(thing, self._installation, str(owner))

    def _require_ours(self, thing: Thing, owner: Owner, uid: str) -> None:
        if not self._is(thing, owner):
            raise Conflict(_holder(thing))
        if uid and uid != thing.uid:
            raise Conflict(f"{thing.ref} is not the object that was seen; another was made in its place")

    def _blind(self) -> dict[Kind, str]:
        blind = dict(self._world.blind)
        if self._world.chance(self._world.faults.blind):
            kind = self._world.random.choice(sorted(self.kinds))
            blind[kind] = f"{kind} could not be listed: 403"
        return blind

    def _by_owner(self) -> dict[Owner, dict[Ref, Seen]]:
        found: dict[Owner, dict[Ref, Seen]] = {}
        now = self._world.clock()
        for one in self._world.things():
            if one.mark and one.mark.installation == self._installation and one.mark.object == one.ref:
                found.setdefault(Owner.parse(one.mark.owner), {})[one.ref] = see(one, now)
        return found

    def _news(self) -> Iterator[Owner]:
        before, self._last = self._last, self._by_owner()
        for owner in sorted(before.keys() | self._last.keys()):
            if before.get(owner) == self._last.get(owner) or self._world.chance(self._world.faults.lost_hints):
                continue
            yield owner
            if self._world.chance(self._world.faults.repeated_hints):
                yield owner


def _holder(thing: Thing) -> str:
    mark = thing.mark
    whose = f"belongs to {mark.owner} of {mark.installation}" if mark else "carries no mark"
    return f"{thing.ref} {whose}; remove or rename it"
