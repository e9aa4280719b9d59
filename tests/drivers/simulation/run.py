"""One life of a reconciler in ten lines, in a world of a seed's faults, told by its digest: `python -m … SEED`.

Run in several processes, it shows that nothing but the seed decides, the order of hashes included.
"""

import asyncio
import hashlib
import sys
from random import Random

import looptime

from drivers.base import DriverError
from drivers.simulation.driver import SimulationDriver
from drivers.simulation.faults import TERRIBLE, drawn
from drivers.simulation.vandal import Vandal

from .sketch import OWNER, look, make, todo


async def live(seed: int) -> list[str]:
    """Everything that was seen, heard, written and injected."""
    world, driver = make(drawn(Random(seed)) if seed else TERRIBLE, seed)
    told: list[str] = []
    async with asyncio.TaskGroup() as group:
        others = [group.create_task(_listen(driver, told)), group.create_task(Vandal(world).roam())]
        for _ in range(150):
            await _pass(driver, told)
            await asyncio.sleep(2)
        for one in others:
            one.cancel()
    return [*told, repr(world.things()), repr(world.writes), repr(world.injected)]


async def _pass(driver: SimulationDriver, told: list[str]) -> None:
    try:
        async with asyncio.timeout(30):
            observed = await look(driver)
            told.append(repr(observed))
            for action in todo(driver, observed):
                await driver.apply(OWNER, action)
    except (DriverError, TimeoutError) as error:
        told.append(repr(error))


async def _listen(driver: SimulationDriver, told: list[str]) -> None:
    while True:
        try:
            async for owner in driver.watch():
                told += [str(owner)]
        except DriverError as error:
            told.append(str(error))
        await asyncio.sleep(1)


def main(seed: int) -> None:
    """Live on virtual time."""
    loop = looptime.new_event_loop(start=0)
    told = loop.run_until_complete(live(seed))
    loop.close()
    sys.stdout.write(f"{len(told)} {hashlib.sha256(chr(10).join(told).encode()).hexdigest()}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
