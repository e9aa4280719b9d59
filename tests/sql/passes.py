"""The engine's passes over a simulated world, with the real store: what becomes of a fleet that was asked for."""

from __future__ import annotations

from drivers.simulation.driver import SimulationDriver
from drivers.simulation.world import World
from model.names import Owner
from model.objects import Site
from model.spec import Snapshot
from reconciler.ledger import Ledger
from reconciler.limits import Limits
from reconciler.reconcile import Tools, reconcile
from reconciler.render import secrets_to_mint, site_of
from state.database import Database
from state.keyring import Keyring
from state.secrets import Secrets
from state.store import Store

PASSES_MAX = 60
IDLE_PASSES = 3


class _Clock:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


async def settle(database: Database, keyring: Keyring) -> None:
    """Passes of every owner until none does anything more: what is recorded then is what the fleet came to."""
    clock = _Clock()
    secrets, store = Secrets(database, keyring), Store(database, keyring)
    driver = SimulationDriver(
        world=World(clock=lambda: clock.seconds, sleep=clock.sleep), reveal=secrets.reveal, cluster=""
    )
    ledger = Ledger(Limits())
    ledger.lead(1, float("-inf"))
    tools = Tools(store=store, secrets=secrets, drivers=(driver,), site_of=_site)
    while await secrets.seal_inbox():
        pass
    for owner in sorted(await store.owners(), key=str):
        await _give_secrets(await store.load(owner), database, keyring)
        await _settle(owner, tools, ledger, clock)
    await store.close()


async def _settle(owner: Owner, tools: Tools, ledger: Ledger, clock: _Clock) -> None:
    """Passes of one owner until nothing was done in some of them: converged, or paused, or held."""
    idle = 0
    for _ in range(PASSES_MAX):
        ended = await reconcile(owner, tools, ledger, epoch=1, should_stop=lambda _taken: False)
        idle = 0 if ended.plan.now else idle + 1
        if idle == IDLE_PASSES:
            return
        await clock.sleep(min(ended.again_in_seconds or 5.0, 60.0))
    raise AssertionError(f"{owner} has not settled after {PASSES_MAX} passes: {ended}")


async def _give_secrets(before: Snapshot, database: Database, keyring: Keyring) -> None:
    """What a pass would generate, at version 1: versions are drawn, and would be another in each fleet."""
    for name in sorted(secrets_to_mint(before)):
        sealed = keyring.seal(str(before.owner), name, 1, f"of {name}")
        await database.write_value(
            "INSERT INTO core.secrets (owner, name, version, key_id, ciphertext)"
            " VALUES (%(owner)s, %(name)s, 1, %(key_id)s, %(ciphertext)s) RETURNING version",
            {"owner": str(before.owner), "name": name, "key_id": sealed.key_id, "ciphertext": sealed.ciphertext},
        )


def _site(before: Snapshot) -> Site | None:
    return site_of(before, installation="simulated", home="/home", database=("127.0.0.1", 5432))
