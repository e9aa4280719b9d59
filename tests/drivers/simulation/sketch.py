"""What the tests of the simulation share: units of three sorts, a reconciler in ten lines, and words for both."""

import asyncio

from drivers.base import Conflict, Refused, Unavailable
from drivers.simulation.driver import SimulationDriver
from drivers.simulation.faults import POLITE, Faults
from drivers.simulation.world import World
from model.names import Owner, SecretRef, text
from model.objects import Health, Object, Observed, Site
from model.plan import Action, Cause, Create, Delete, Replace, Update
from model.units import AnyUnit, Process, Settings, Task

OWNER = Owner("deployment", "12")
SITE = Site(installation="simulated", cluster="sim", owner=OWNER, release="demo", root="/nowhere")
SECRET = SecretRef(str(OWNER), "password", 1)
UNITS: tuple[AnyUnit, ...] = (
    Settings(name="settings", component="environment", files={"a": text("1")}),
    Task(name="migrate", component="migrate", image="i", command=("do",), env={"K": (SECRET,)}, key="1"),
    Process(
        name="scheduler", component="scheduler", image="i", command=("run",), env={"K": (SECRET,)}, replicas=2
    ),
)


async def reveal(_: SecretRef) -> str:
    return "s3cret"


def make(faults: Faults = POLITE, seed: int = 1) -> tuple[World, SimulationDriver]:
    world = World(seed=seed, faults=faults)
    return world, SimulationDriver(world=world, reveal=reveal)


def objects(driver: SimulationDriver) -> dict[str, Object]:
    return {unit.name: driver.translate(unit, SITE)[0] for unit in UNITS}


def create(one: Object) -> Create:
    return Create(object=one, cause=Cause.GENERATION, why="asked")


async def look(driver: SimulationDriver) -> Observed:
    return await driver.observe(OWNER, frozenset(one.ref for one in objects(driver).values()))


def todo(driver: SimulationDriver, observed: Observed) -> list[Action]:
    """A reconciler in ten lines."""
    actions: list[Action] = []
    for one in objects(driver).values():
        seen = observed.seen.get(one.ref)
        if one.ref.kind in observed.blind:
            continue
        if seen is None:
            actions.append(create(one))
        elif seen.health is Health.FAILED:
            actions.append(Replace(object=one, cause=Cause.RETRY, why="failed", uid=seen.uid))
        elif seen.digest != one.digest or seen.drift:
            kind = Replace if seen.frozen_digest != one.frozen_digest else Update
            actions.append(kind(object=one, cause=Cause.DRIFT, why="drift", uid=seen.uid))
    return actions


def is_settled(driver: SimulationDriver, observed: Observed) -> bool:
    well = (Health.HEALTHY, Health.DONE)
    return len(observed.seen) == len(UNITS) and all(
        one.health in well
        and not one.drift
        and one.digest == objects(driver)[one.ref.name.partition(".")[2]].digest
        for one in observed.seen.values()
    )


async def converge(driver: SimulationDriver) -> int:
    """Passes until settled."""
    for number in range(400):
        try:
            observed = await look(driver)
            if not observed.blind and is_settled(driver, observed):
                return number
            for action in todo(driver, observed):
                await driver.apply(OWNER, action)
        except (Unavailable, Conflict, Refused):
            pass
        await asyncio.sleep(3)
    raise AssertionError(await look(driver))


def update(one: Object, uid: str = "") -> Update:
    return Update(object=one, cause=Cause.DRIFT, why="drift", uid=uid)


def delete(one: Object, uid: str = "") -> Delete:
    return Delete(ref=one.ref, unit=one.unit, cause=Cause.GENERATION, why="no longer asked", uid=uid)


async def hear(driver: SimulationDriver, seconds: float) -> list[Owner]:
    """What a watcher hears until the driver is closed."""

    async def listen() -> list[Owner]:
        return [one async for one in driver.watch()]

    listening = asyncio.ensure_future(listen())
    await asyncio.sleep(seconds)
    await driver.close()
    return await listening
