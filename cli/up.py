"""`armillary up`: from a folder that may be empty to an Airflow that has run a DAG, one stage after the other.

Each stage takes what is there as it is, so that a second `up` adopts what the first one made, and one that was
interrupted goes on where it stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli import converging, ending, farewell, installation, lock, portrange, preflight, quickstart, tryout, world
from cli.airflow import Airflow
from cli.client import Client, Endpoint
from cli.errors import NotFound, Refused
from cli.home import Home
from cli.login import Login, login_of
from cli.names import DeploymentName
from cli.preflight import FreeSpace, free_bytes
from cli.progress import Screen
from cli.stopwatch import Stopwatch

_ATTEND_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the person asked for.

    `stays`: until Ctrl-C, instead of returning when all is Ready. `is_trial`: in a home that will be removed.
    """

    home: Home
    port: int
    database: str | None = None
    stays: bool = True
    is_trial: bool = False
    timeout_seconds: float
    free: FreeSpace = free_bytes


@dataclass(slots=True)
class Up:
    """One run of `up`: its wish, and where it speaks. `is_complete`: every stage ended well."""

    wish: Wish
    screen: Screen
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    is_complete: bool = False

    async def run(self) -> None:
        """All stages. Raises CommandError; what was started before stays as it is and can be gone on with."""
        home = self.wish.home
        preflight.check_python()
        preflight.check_home(home)
        with lock.held(home.lock):
            preflight.check_space(home, self.wish.free)
            world.check_port(home, self.wish.port)
            await self._state()
            async with self._daemon() as daemon, Client(_endpoint(home, daemon.url)) as api:
                await self._fleet(api)
                self.screen.say(f"took {self.stopwatch.summary()}", "bright_black")
                self.screen.say_times()
                self.is_complete = True
                if self.wish.stays:
                    await self._stay(daemon)

    async def _state(self) -> None:
        installation.identify(self.wish.home)
        with self.stopwatch.stage("state database"):
            url = await world.start_state(self.wish.home, self.wish.database)
        self.screen.say("the state database answers")
        with self.stopwatch.stage("schema"):
            await world.migrate_state(url)
            await portrange.settle(url, scattered=self.wish.is_trial)
            await installation.credentials(self.wish.home, url)

    @asynccontextmanager
    async def _daemon(self) -> AsyncIterator[world.Daemon]:
        with self.stopwatch.stage("daemon"):
            daemon = await world.start_daemon(self.wish.home, self.wish.port)
        self.screen.say(f"the daemon is ready at {daemon.url}" if daemon.is_ours else f"adopted {daemon.url}")
        try:
            yield daemon
        except asyncio.CancelledError:
            await self._leave(daemon)
            raise

    async def _leave(self, daemon: world.Daemon) -> None:
        """Stop the daemon if this `up` started it; a failure leaves it running, so that it can be asked why."""
        if daemon.is_ours:
            await ending.end([self.wish.home.daemon_run])
            self.screen.say("the daemon is stopped; Airflow and PostgreSQL run on until `armillary down`")
        else:
            self.screen.say("everything runs on until `armillary down`")

    async def _fleet(self, api: Client) -> None:
        changes = await quickstart.submit_if_empty(api)
        for change in changes:
            self.screen.say(f"{change.result} {change.kind} {change.name} through the API")
        name = quickstart.NAME
        document = await _document(api, name)
        if document is None or not _should_run(document):
            farewell.show(self.screen.out, login=None, api_url=api.url, home=self.wish.home, tries=())
            return
        if not changes:
            await converging.caught_up(api, name)
        login = await self._ready(api, name)
        if _has_the_dag(document):
            await self._try_out(login)
        if not self.wish.is_trial:  # nobody can try what is gone in a moment
            tries = farewell.trials(self.wish.home, api.url, name, str(document["release"]))
            farewell.show(self.screen.out, login=login, api_url=api.url, home=self.wish.home, tries=tries)

    async def _ready(self, api: Client, name: DeploymentName) -> Login:
        with self.stopwatch.stage("Airflow ready"):
            await converging.ready(
                api, name, self.screen, timeout_seconds=self.wish.timeout_seconds, alive=self._check_daemon
            )
        self.screen.say(f"{name} is Ready", "green")
        return await login_of(api, name)

    async def _try_out(self, login: Login) -> None:
        with self.stopwatch.stage("first DAG run"):
            async with Airflow(login.url, login.username, login.password) as airflow:
                proof = await tryout.try_out(airflow, self.screen.say)
        self.screen.say("the DAG succeeded; its task logged:" if proof.is_new else "the DAG had succeeded before:")
        self.screen.say(proof.line, "bold green")

    def _check_daemon(self) -> None:
        if not world.is_running(self.wish.home):
            raise Refused("The daemon was stopped while `up` waited.", todo="Start again: armillary up")

    async def _stay(self, daemon: world.Daemon) -> None:
        ours = "Ctrl-C stops the daemon; Airflow and PostgreSQL run on until `armillary down`."
        self.screen.out.print(f"\n{ours if daemon.is_ours else 'Ctrl-C leaves: everything runs on.'}")
        while world.is_running(self.wish.home):  # noqa: ASYNC110 - nobody tells us: its shim is not our child
            await asyncio.sleep(_ATTEND_SECONDS)
        self.screen.say("the daemon was stopped from elsewhere")


def _endpoint(home: Home, url: str) -> Endpoint:
    return Endpoint(url, home.token.read_text().strip())


async def _document(api: Client, name: DeploymentName) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = await api.get(name.path)
    except NotFound:
        return None
    return found


def _should_run(document: dict[str, Any]) -> bool:
    rests = any(document.get(key) for key in ("hibernated", "deletion_requested_at", "paused_until"))
    return not rests and _replicas(document, "api-server") > 0


def _has_the_dag(document: dict[str, Any]) -> bool:
    """True when the DAG of the try-out can run there: nobody gave it other DAGs, or stopped what runs them."""
    runs = all(_replicas(document, component) > 0 for component in ("scheduler", "dag-processor"))
    return runs and (Path(document["dags_folder"]) / f"{tryout.DAG}.py").is_file()


def _replicas(document: dict[str, Any], component: str) -> int:
    return int(document["components"][component]["replicas"])
