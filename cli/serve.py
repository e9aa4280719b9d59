"""`armillary serve`: the composition root. Wires store, drivers, daemon and API, and nothing else.

Everything that runs outlives this process: it adopts what is there, and lets go of it on the way down.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from pydantic import ValidationError

from api.app import create_app
from api.context import Context
from cli import garbage, installation, ports, store
from cli.clusters import LOCAL, drivers_of
from cli.errors import Refused
from cli.home import Home
from drivers.base import SupportsStamp, Unavailable
from drivers.local.driver import LocalDriver
from model.names import SecretRef
from model.objects import Site
from model.spec import Snapshot
from reconciler.bulkhead import Bulkhead
from reconciler.daemon import Daemon
from reconciler.leadership import Leadership
from reconciler.logs import configure
from reconciler.parts import Parts
from reconciler.reconcile import Tools
from reconciler.render import site_of
from reconciler.settings import Settings
from state import clusters
from state.database import Database, connect
from state.desired import Desired
from state.errors import StateError
from state.keyring import Keyring
from state.leases import Leases
from state.revisions import require_current
from state.secrets import Secrets
from state.signals import signals
from state.store import Store
from state.tokens import Tokens

log = structlog.get_logger()


async def serve(*, home: Path, database: str | None, host: str | None, port: int | None) -> None:
    """Run until SIGTERM or SIGINT. What is None is left to the environment, the home's file and the defaults.

    Raises CommandError for what a person can mend.
    """
    settings = _settings(home, {"database": database, "host": host, "port": port})
    configure(settings.log_format)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        stack.enter_context(_alone(Home(home)))
        with store.told():
            await _run(settings, stop, stack)


def _settings(home: Path, flags: Mapping[str, Any]) -> Settings:
    """The settings with the flags that were given. Raises Refused naming each wrong value."""
    try:
        return Settings(home=home, **{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        wrong = "; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors(include_input=False))
        raise Refused(
            f"The settings cannot be used: {wrong}.",
            where=f"{home / 'armillary.toml'}, or the environment's ARMILLARY_ variables",
            todo="Correct or remove them; docs/operations.md lists all settings.",
        ) from None


async def _run(settings: Settings, stop: asyncio.Event, stack: AsyncExitStack) -> None:
    home = Home(settings.home)
    url = settings.database or store.url_of(home)
    await require_current(url)
    database = await stack.enter_async_context(_database(url))
    keyring = Keyring.load_or_create(home.keyring)
    secrets = Secrets(database, keyring)
    await clusters.offer(database, settings.kubernetes, driver="kubernetes")
    identity = installation.identify(home)
    leadership = Leadership(Leases(database), name=f"cluster/{LOCAL}", holder=identity)
    drivers = await _drivers(
        stack, settings, secrets, identity, url, may_write=lambda: leadership.epoch is not None
    )
    local = next(one.inner for one in drivers if isinstance(one.inner, LocalDriver))
    states = Store(database, keyring)
    stack.push_async_callback(states.close)
    daemon = Daemon(
        Parts(
            tools=Tools(
                store=states,
                secrets=secrets,
                drivers=drivers,
                site_of=_sites(settings, identity, settings.databases or url),
            ),
            index=states,
            seals=secrets,
            leadership=leadership,
            signals=lambda: signals(url, stop=stop),
            store_errors=(StateError,),
            settings=settings,
            installation=identity,
            stamps={one.inner.cluster: one.inner for one in drivers if isinstance(one.inner, SupportsStamp)},
        )
    )
    context = _context(database, secrets, daemon, local)
    await stack.enter_async_context(_listening(home, settings, context))
    log.info("daemon started", home=str(home.path), host=settings.host, port=settings.port)
    stack.enter_context(garbage.paced())
    await daemon.run(stop)


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """Hold the home's daemon lock; raises Refused while another daemon serves it."""
    descriptor = os.open(home.path / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Refused(
            "Another daemon serves this home already.",
            where=f"home: {home.path}",
            todo="Use that one (armillary status), or stop the world with: armillary down",
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


@asynccontextmanager
async def _database(url: str) -> AsyncIterator[Database]:
    database = await connect(url, application_name="armillary-daemon")
    try:
        yield database
    finally:
        await database.close()


async def _drivers(
    stack: AsyncExitStack,
    settings: Settings,
    secrets: Secrets,
    identity: str,
    url: str,
    *,
    may_write: Callable[[], bool],
) -> tuple[Bulkhead, ...]:
    """The drivers of all clusters, open. One that cannot be opened now is blind until it can."""

    async def reveal(secret: SecretRef) -> str:
        """A secret for a driver's encoder, in the drivers' own terms when it cannot be had."""
        try:
            return await secrets.reveal(secret)
        except StateError as error:
            raise Unavailable(str(error)) from error

    inner = drivers_of(settings, identity=identity, databases=settings.databases or url, reveal=reveal)
    drivers = tuple(Bulkhead(one, may_write=may_write) for one in inner)
    for driver in drivers:
        try:
            await driver.open()
        except Unavailable as error:
            log.warning("driver not open yet", driver=type(driver.inner).__name__, why=str(error))
        stack.push_async_callback(driver.close)
    return drivers


def _sites(settings: Settings, identity: str, databases_url: str) -> Callable[[Snapshot], Site | None]:
    """How a snapshot's owner finds its place: the home's folders and the databases' server."""
    parts = urlsplit(databases_url)
    address = (parts.hostname or ports.LOOPBACK, parts.port or 5432)

    def site(before: Snapshot) -> Site | None:
        return site_of(before, installation=identity, home=str(settings.home), database=address)

    return site


def _context(database: Database, secrets: Secrets, daemon: Daemon, local: LocalDriver) -> Context:
    return Context(
        desired=Desired(database),
        tokens=Tokens(database),
        engine=daemon,
        reveal=secrets.reveal,
        logs=local.log_paths,
        usage=local.usage,
    )


@asynccontextmanager
async def _listening(home: Home, settings: Settings, context: Context) -> AsyncIterator[None]:
    """Serve the API while inside, and say in the home where. Raises Refused naming a taken port's holder."""
    runner = web.AppRunner(create_app(context), access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, settings.host, settings.port).start()
        except OSError as error:
            raise Refused(
                f"Port {settings.port} is taken by {ports.holder(settings.port)}.",
                where=f"{settings.host}:{settings.port} ({error.strerror})",
                todo="Stop that program, or choose another port with --port.",
            ) from error
        home.daemon.write_text(
            json.dumps({"url": f"http://{settings.host}:{settings.port}", "pid": os.getpid()}) + "\n"
        )
        yield
    finally:
        await runner.cleanup()
