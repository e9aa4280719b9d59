"""A whole daemon on a real store, beside the simulation's world, which counts every write and every start."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

from drivers.simulation.driver import SimulationDriver
from reconciler.daemon import Daemon
from reconciler.leadership import Leadership
from reconciler.parts import Parts
from reconciler.reconcile import Tools
from reconciler.render import site_of
from reconciler.settings import Settings
from state.database import connect
from state.errors import StateError
from state.keyring import Keyring
from state.leases import Leases
from state.secrets import Secrets
from state.signals import signals
from state.store import Store
from tests.state.fleet import rows

INSTALLATION = "drill"
SECONDS = 60.0
LOOKS = "SELECT status FROM armillary.conditions WHERE deployment = %s AND type = 'Synced'"


@asynccontextmanager
async def daemon_on(url, world, keyring_path):
    """A whole daemon of that database and key ring, working on the world."""
    stop = asyncio.Event()
    database = await connect(url, application_name="drill")
    keyring = Keyring.load_or_create(keyring_path)
    store, secrets = Store(database, keyring), Secrets(database, keyring)
    driver = SimulationDriver(world=world, installation=INSTALLATION, reveal=secrets.reveal, cluster="local")
    await driver.open()

    def site(before):
        return site_of(before, installation=INSTALLATION, home="/nowhere", database=("127.0.0.1", 5432))

    daemon = Daemon(
        Parts(
            tools=Tools(store=store, secrets=secrets, drivers=(driver,), site_of=site),
            index=store,
            seals=secrets,
            leadership=Leadership(Leases(database), name="cluster/local", holder=INSTALLATION),
            signals=lambda: signals(url, stop=stop),
            store_errors=(StateError,),
            settings=Settings(
                home=Path("/nowhere"),
                sweep_interval_seconds=0.2,
                resync_interval_seconds=5,
                shutdown_grace_seconds=1.0,
            ),
            installation=INSTALLATION,
            stamps={"local": driver},
        )
    )
    running = asyncio.create_task(daemon.run(stop))
    try:
        yield
    finally:
        stop.set()
        await running
        await driver.close()
        await store.close()
        await database.close()


async def until(sql, query, *values, is_true, running_seconds=SECONDS):
    """Ask until the answer is as wanted."""
    async with asyncio.timeout(running_seconds):
        while not is_true(await asyncio.to_thread(rows, sql, query, *values)):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def synced(sql, *deployments):
    for name in deployments:
        await until(sql, LOOKS, name, is_true=lambda found: found == [("True",)])
