"""What a conformance run needs of a driver beside the driver: hands on its world, and words about it."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from drivers.base import Driver, Unavailable
from model.names import Owner, Ref
from model.objects import Health, Object, Observed, Seen, Site
from model.plan import Action, Cause, Create, Delete, Update
from model.units import AnyUnit

_WELL = (Health.HEALTHY, Health.DONE, Health.STOPPED)


class Rig(ABC):
    """A driver in a world of its own. `units`: one of each class that it translates, in the order of making."""

    driver: Driver
    owner: Owner
    site: Site
    units: tuple[AnyUnit, ...]
    secrets: tuple[str, ...]  # values that must never be seen
    other_image: str = "airflow:2"
    deadline_seconds: float = 20.0

    # What each driver's rig says about its world.

    @abstractmethod
    def other(self) -> Owner:
        """Somebody else, of the same installation."""

    @property
    @abstractmethod
    def vandals(self) -> Mapping[str, Callable[[], None]]:
        """Ways to change what is there, each of which must be seen as drift, or as absence."""

    @abstractmethod
    def unreachable(self) -> AbstractContextManager[None]:
        """The world is there and cannot be reached while inside."""

    @abstractmethod
    def plant(self) -> None:
        """Put something of somebody else's in the place of the first object, where nothing was."""

    @abstractmethod
    def fingerprint(self) -> object:
        """Everything about the world that a write would change."""

    @abstractmethod
    def make_driver(self) -> Driver:
        """Another driver on the same world, not open yet."""

    @abstractmethod
    async def clean(self) -> None:
        """Leave nothing behind."""

    # The rest follows.

    async def tick(self) -> None:
        """Let a moment pass in the world."""
        await asyncio.sleep(0.02)

    async def let_run(self, share: int) -> None:
        """Let what is under way run a little: the greater the share, the further it comes."""
        await asyncio.sleep(0.001 * 1.4**share)

    @property
    def objects(self) -> tuple[Object, ...]:
        return tuple(one for unit in self.units for one in self.driver.translate(unit, self.site))

    @property
    def refs(self) -> frozenset[Ref]:
        return frozenset(one.ref for one in self.objects)

    async def observe(self, owner: Owner | None = None) -> Observed:
        return await self.driver.observe(owner or self.owner, self.refs)

    async def look(self) -> Observed:
        """A look as the engine takes it: who cannot be asked is blind."""
        try:
            return await self.observe()
        except Unavailable as error:
            return Observed(blind=dict.fromkeys(self.driver.kinds, str(error)))

    async def blinded(self) -> Observed:
        """Look until nothing can be seen. Until then a cache shows what it knew, kind by kind, and says so."""
        deadline = time.monotonic() + self.deadline_seconds
        while (observed := await self.look()).blind.keys() != self.driver.kinds:
            assert observed.as_of, "who has no cache sees nothing at once"
            assert observed.seen.keys() == {ref for ref in self.refs if ref.kind not in observed.blind}
            assert time.monotonic() < deadline, observed
            await self.tick()
        return observed

    async def apply(self, action: Action) -> str:
        return (await self.driver.apply(self.owner, action)).uid

    async def put(self) -> dict[Ref, str]:
        """Create everything; the uids that were answered."""
        return {one.ref: await self.apply(create(one)) for one in self.objects}

    async def until(self, is_so: Callable[[Observed], bool]) -> Observed:
        """Look until it is so."""
        deadline = time.monotonic() + self.deadline_seconds
        while not is_so(observed := await self.observe()):
            assert time.monotonic() < deadline, observed
            await self.tick()
        return observed

    async def settled(self) -> Observed:
        """Look until everything is there, as applied, and well."""
        wanted = {one.ref: one.digest for one in self.objects}
        return await self.until(lambda observed: _is_settled(observed, wanted))

    async def put_and_settle(self) -> Observed:
        await self.put()
        return await self.settled()

    async def repair(self) -> None:
        """What passes do: make what is absent, update what differs, until nothing does."""
        deadline = time.monotonic() + self.deadline_seconds
        while wrong := self._wrong(await self.observe()):
            assert time.monotonic() < deadline, wrong
            for action in wrong:
                await self.apply(action)
            await self.tick()

    async def delete_all(self) -> None:
        """What passes do: delete what is there, in reversed order of making, until nothing is."""
        deadline = time.monotonic() + self.deadline_seconds
        while seen := (await self.observe()).seen:
            assert time.monotonic() < deadline, seen
            for one in reversed([one for one in self.objects if one.ref in seen]):
                await self.driver_delete(one, seen[one.ref].uid, is_last=len(seen) == 1)
            await self.tick()

    async def driver_delete(self, one: Object, uid: str, *, is_last: bool) -> None:
        """Delete; the first object may be the place of the others and go last."""
        if is_last or one.ref != self.objects[0].ref:
            await self.apply(delete(one, uid))

    async def reopen(self) -> None:
        """The daemon is started again."""
        await self.driver.close()
        self.driver = self.make_driver()
        await self.driver.open()

    def _wrong(self, observed: Observed) -> list[Action]:
        assert not observed.blind, observed.blind
        assert not observed.foreign, observed.foreign
        wrong: list[Action] = []
        for one in self.objects:
            seen = observed.seen.get(one.ref)
            if seen is None:
                wrong.append(create(one))
            elif seen.digest != one.digest or seen.drift:
                wrong.append(update(one, seen.uid))
        return wrong


def create(one: Object) -> Create:
    return Create(object=one, cause=Cause.GENERATION, why="asked")


def update(one: Object, uid: str = "") -> Update:
    return Update(object=one, cause=Cause.DRIFT, why="drift", uid=uid)


def delete(one: Object, uid: str) -> Delete:
    return Delete(ref=one.ref, unit=one.unit, cause=Cause.GENERATION, why="no longer asked", uid=uid)


def _is_settled(observed: Observed, wanted: Mapping[Ref, str]) -> bool:
    digests = {ref: seen.digest for ref, seen in observed.seen.items()}
    return digests == wanted and all(is_well(seen) for seen in observed.seen.values())


def is_well(seen: Seen) -> bool:
    return not seen.drift and seen.health in _WELL
