"""The rigs: the simulation, a real PostgreSQL, and real processes of this machine."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from psycopg.conninfo import make_conninfo

from drivers.base import Driver
from drivers.local import supervise
from drivers.simulation.driver import SimulationDriver
from drivers.simulation.faults import Faults
from drivers.simulation.vandal import Vandal
from drivers.simulation.world import World
from model.names import Owner, PathRef, SecretRef, text
from model.objects import Site
from model.units import (
    AnyUnit,
    Credentials,
    Database,
    Environment,
    Identity,
    Process,
    Route,
    Settings,
    Task,
    Volume,
)
from tests.conformance.rig import Rig
from tests.drivers.local import world as local
from tests.drivers.postgres.relay import Relay
from tests.drivers.postgres.world import World as Databases

OTHER = Owner("deployment", "13")


class SimulationRig(Rig):
    """Time is a number that moves when somebody waits."""

    secrets = ("s1mulated",)

    def __init__(self) -> None:
        self.now = 0.0
        slow = Faults(
            lingering=(1.0, 5.0), draining=(1.0, 3.0), starting=(1.0, 5.0), task=(1.0, 5.0), latency=(0.0, 1.0)
        )
        self.world = World(seed=7, faults=slow, clock=lambda: self.now, sleep=self.sleep)
        self.owner = Owner("deployment", "12")
        self.password = SecretRef(str(self.owner), "password", 1)
        self.site = Site(installation="i", cluster="sim", owner=self.owner, release="demo-hello", root="/nowhere")
        self.units = self.make_units()
        self.driver = self.make_driver()

    def make_units(self) -> tuple[AnyUnit, ...]:
        secret = text("x", self.password)
        return (
            Environment(name="environment", component="environment", image="airflow:1"),
            Settings(name="settings", component="environment", files={"airflow.cfg": text("a = 1")}),
            Credentials(name="credentials", component="environment", files={"key": secret}),
            Volume(name="logs", component="environment", retain=True),
            Database(
                name="database",
                component="database",
                database="demo-hello",
                owner="demo-hello-owner",
                owner_password=self.password,
                user="demo-hello",
                user_password=self.password,
            ),
            Identity(name="identity", component="environment"),
            Process(
                name="scheduler", component="scheduler", image="airflow:1", command=("run",), env={"KEY": secret}
            ),
            Task(
                name="migrate",
                component="migrate",
                image="airflow:1",
                command=("do",),
                env={"KEY": secret},
                key="1",
            ),
            Route(name="route", component="api-server", port="http", target="scheduler", path="/"),
        )

    def other(self) -> Owner:
        return OTHER

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.now += seconds

    async def tick(self) -> None:
        await self.sleep(1.0)

    async def let_run(self, share: int) -> None:
        for _ in range(share):
            await asyncio.sleep(0)

    async def reveal(self, reference: SecretRef) -> str:
        return self.secrets[0]

    def make_driver(self) -> Driver:
        return SimulationDriver(world=self.world, installation="i", reveal=self.reveal)

    @property
    def vandals(self) -> Mapping[str, Callable[[], None]]:
        vandal = Vandal(self.world)
        edits = {f"edit {ref}": lambda ref=ref: vandal.edit(ref) for ref in sorted(self.refs)}
        removals = {f"remove {ref}": lambda ref=ref: vandal.remove(ref) for ref in sorted(self.refs)}
        process = next(ref for ref in self.refs if ref.kind == "Sim.Process")
        return {**edits, **removals, "kill": lambda: vandal.kill(process)}

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        self.world.is_down = True
        yield
        self.world.is_down = False

    def plant(self) -> None:
        Vandal(self.world).plant(self.objects[0].ref)

    def fingerprint(self) -> object:
        return self.world.things(), tuple(self.world.writes)

    async def clean(self) -> None:
        await self.driver.close()


class PostgresRig(Rig):
    """The session's real server, through a relay that can be cut."""

    def __init__(self, url: str, relay: Relay) -> None:
        self.relay = relay
        self.world = Databases(url=url, admin_url=make_conninfo(url, port=relay.port))
        self.owner = self.world.owner
        self.site = self.world.site
        self.units = (self.world.unit,)
        self.driver = self.world.driver

    @property
    def secrets(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(self.world.passwords.values())

    def other(self) -> Owner:
        return OTHER

    def make_driver(self) -> Driver:
        return self.world.make_driver()

    @property
    def vandals(self) -> Mapping[str, Callable[[], None]]:
        do, inside = self.world.do, self.world.inside
        return {
            "a role that may do everything": lambda: do("ALTER ROLE {user} SUPERUSER") and None,
            "a database open to all": lambda: do("GRANT CONNECT ON DATABASE {db} TO PUBLIC") and None,
            "a schema of somebody else's": lambda: inside("ALTER SCHEMA public OWNER TO postgres") and None,
            "a dropped role": self._drop_role,
        }

    def _drop_role(self) -> None:
        self.world.inside("DROP OWNED BY {user}")
        self.world.do("DROP ROLE {user}")

    def unreachable(self) -> AbstractContextManager[None]:
        return self.relay.cut()

    def plant(self) -> None:
        self.world.do("CREATE ROLE {owner} NOLOGIN")
        self.world.do("CREATE DATABASE {db}")

    def fingerprint(self) -> object:
        do = self.world.do
        rows = [
            *do("SELECT oid, xmin::text FROM pg_authid ORDER BY 1"),
            *do("SELECT oid, xmin::text FROM pg_database ORDER BY 1"),
            *do("SELECT objoid, xmin::text, description FROM pg_shdescription ORDER BY 1"),
        ]
        if do("SELECT FROM pg_database WHERE datname = %(d)s", d=self.world.release):
            rows += self.world.inside("SELECT oid, xmin::text FROM pg_namespace ORDER BY 1")
            rows += self.world.inside("SELECT objoid, xmin::text FROM pg_description ORDER BY 1")
            rows += self.world.inside("SELECT oid, xmin::text FROM pg_default_acl ORDER BY 1")
        return rows

    async def clean(self) -> None:
        await self.driver.close()
        await self.relay.close()
        self.world.clean()


class LocalRig(Rig):
    """Folders and small Python processes."""

    secrets = (local.SECRET,)

    def __init__(self, folder: Path) -> None:
        lock = folder / "lock.txt"
        lock.write_text("# nothing to install\n")
        home = folder / "home"
        local.fake_runtime(home, lock)
        self.locks = {local.VERSION: lock, "2": _other(lock)}
        self.world = local.World(home=home, locks=self.locks, driver=local.make_driver(home, self.locks))
        self.owner = local.OWNER
        self.site = self.world.site
        self.driver = self.world.driver
        secret = {"KEY": text("x", local.PASSWORD), "CFG": text(PathRef("settings", "airflow.cfg"))}
        self.units = (
            Environment(name="environment", component="environment", image=local.IMAGE),
            Settings(name="settings", component="environment", files={"airflow.cfg": text("a = 1")}),
            Credentials(name="credentials", component="environment", files={"key": text("x", local.PASSWORD)}),
            Volume(name="logs", component="environment", retain=True),
            local.process("scheduler", env=secret),
            local.task("print('done')", env=secret),
        )

    def other(self) -> Owner:
        return OTHER

    def make_driver(self) -> Driver:
        return local.make_driver(self.world.home, self.locks)

    @property
    def vandals(self) -> Mapping[str, Callable[[], None]]:
        root = self.world.root
        return {
            "an edited file": lambda: (root / "settings/settings/airflow.cfg").write_text("a = 2") and None,
            "a removed file": (root / "credentials/credentials/key").unlink,
            "a readable credential": lambda: (root / "credentials/credentials/key").chmod(0o644),
            "a removed volume": (root / "volumes/logs").rmdir,
            "an edited mark": lambda: (root / "run/scheduler-0/unit.json").write_text("{}") and None,
            "a killed shim": self._kill_shim,
        }

    def _kill_shim(self) -> None:
        deadline = time.monotonic() + 10.0
        while (pid := supervise.look(self.world.run()).shim_pid) is None and time.monotonic() < deadline:
            time.sleep(0.05)  # it starts in the background
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Something that is no folder stands where the deployments were, as with a broken mount."""
        folder = self.world.home / "deployments"
        folder.mkdir(exist_ok=True)
        away = folder.rename(folder.with_name("away"))
        folder.write_text("")
        yield
        folder.unlink()
        away.rename(folder)

    def plant(self) -> None:
        self.world.root.mkdir(parents=True)
        (self.world.root / "theirs.txt").write_text("theirs")

    def fingerprint(self) -> object:
        home = self.world.home
        files = sorted(path for path in home.rglob("*"))
        facts = [
            (str(path), path.lstat().st_mtime_ns, path.lstat().st_size, path.lstat().st_mode) for path in files
        ]
        return facts, local.marked(home)

    async def clean(self) -> None:
        self.world.driver = self.driver  # type: ignore[assignment]
        await self.world.clean()


def _other(lock: Path) -> Path:
    """The lock of another version."""
    other = lock.with_name("other.txt")
    other.write_text("# nothing either\n")
    return other
