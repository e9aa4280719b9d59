"""A small world for the local driver's tests: a home, a driver on it, one deployment's site, and units to put."""

import asyncio
import hashlib
import json
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from drivers.local import kin, supervise
from drivers.local.driver import LocalDriver
from drivers.local.pace import Pace
from model.names import Owner, Ref, SecretRef, text
from model.objects import Health, Object, Observed, Seen, Site
from model.plan import Cause, Create, Delete, Replace, Stop, Update
from model.units import AnyUnit, Environment, Probe, Process, StopBy, Task

VERSION = "0.0.1"
IMAGE = f"airflow:{VERSION}"
INSTALLATION = "8d1f6c1e-test"
OWNER = Owner("deployment", "12")
RELEASE = "demo-hello"
SECRET = "s3cr3t-and-long"
PASSWORD = SecretRef(str(OWNER), "password", 1)
QUICK = Pace(settled_seconds=0.2, calm_seconds=0.5)
SLEEPER = "import time\nwhile True: time.sleep(60)"

SERVER = """
import http.server, json, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if os.path.exists(sys.argv[2] + "/hang"):
            import time; time.sleep(60)
        body = open(sys.argv[2] + "/answer").read().encode()
        self.send_response(200); self.end_headers(); self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


async def reveal(reference: SecretRef) -> str:
    assert reference == PASSWORD
    return SECRET


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def fake_runtime(home: Path, lock: Path) -> None:
    """A runtime that is this Python: enough for children that are not Airflow."""
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:24]
    folder = home / "runtimes" / f"{VERSION}-{digest[:8]}"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    (folder / "runtime.json").write_text(json.dumps({"lock": digest}))


def process(name: str = "scheduler", script: str = SLEEPER, *arguments: str, **more) -> Process:
    more.setdefault("stop", StopBy(grace_seconds=5.0))
    more.setdefault("env", {})
    return Process(name=name, component=name, image=IMAGE, command=("python", "-c", script, *arguments), **more)


def task(script: str, **more) -> Task:
    more.setdefault("env", {})
    return Task(
        name="migrate", component="migrate", image=IMAGE, command=("python", "-c", script), key="schema/1", **more
    )


def probe(unit: str = "api-server", **expect: str) -> Probe:
    return Probe(
        unit=unit, port="http", path="/health", expect={f"/{name}": value for name, value in expect.items()}
    )


@dataclass
class World:
    home: Path
    locks: Mapping[str, Path]
    driver: LocalDriver
    ports: dict[tuple[str, str], int] = field(default_factory=dict)
    pace: Pace = QUICK

    @property
    def root(self) -> Path:
        return self.home / "deployments" / RELEASE

    @property
    def site(self) -> Site:
        return Site(
            installation=INSTALLATION,
            cluster="local",
            owner=OWNER,
            release=RELEASE,
            root=str(self.root),
            ports=dict(self.ports),
        )

    def object(self, unit: AnyUnit) -> Object:
        (one,) = self.driver.translate(unit, self.site)
        return one

    async def put(self, *units: AnyUnit) -> Ref:
        """Create each unit's object, the environment first. Returns the last one's name."""
        wanted = [Environment(name="environment", component="environment", image=IMAGE), *units]
        for one in [self.object(unit) for unit in wanted]:
            await self.driver.apply(OWNER, Create(object=one, cause=Cause.GENERATION, why="asked"))
        return one.ref

    async def update(self, unit: AnyUnit, uid: str = "") -> None:
        one = self.object(unit)
        await self.driver.apply(OWNER, Update(object=one, cause=Cause.DRIFT, why="drift", uid=uid))

    async def replace(self, unit: AnyUnit) -> None:
        one = self.object(unit)
        await self.driver.apply(OWNER, Replace(object=one, cause=Cause.RETRY, why="failed"))

    async def stop(self, ref: Ref) -> None:
        action = Stop(ref=ref, unit=ref.name.partition(".")[2], cause=Cause.GENERATION, why="a task")
        await self.driver.apply(OWNER, action)

    async def delete(self, ref: Ref, uid: str = "") -> str:
        action = Delete(ref=ref, unit=ref.name.partition(".")[2], cause=Cause.GENERATION, why="asked", uid=uid)
        return (await self.driver.apply(OWNER, action)).uid

    async def delete_all(self) -> None:
        """What a reconciler does: delete what is seen, again and again, the environment last."""
        while seen := (await self.observe()).seen:
            last = [ref for ref in seen if ref.kind == "Environment"]
            for ref in [ref for ref in seen if ref not in last] or last:
                await self.delete(ref)
            await asyncio.sleep(0.05)

    async def observe(self, *wanted: Ref) -> Observed:
        return await self.driver.observe(OWNER, frozenset(wanted))

    async def see(self, ref: Ref) -> Seen:
        return (await self.observe(ref)).seen[ref]

    async def until_seen(self, ref: Ref, is_so: Callable[[Seen], bool], seconds: float = 15.0) -> Seen:
        deadline = time.monotonic() + seconds
        while not is_so(seen := await self.see(ref)):
            assert time.monotonic() < deadline, seen
            await asyncio.sleep(0.02)
        return seen

    async def healthy(self, ref: Ref) -> Seen:
        return await self.until_seen(ref, lambda seen: seen.health is Health.HEALTHY and not seen.drift)

    async def drifted(self, ref: Ref) -> str:
        seen = await self.until_seen(ref, lambda seen: bool(seen.drift))
        return seen.drift[0].what

    def run(self, name: str = "scheduler", replica: int = 0) -> Path:
        return self.root / "run" / f"{name}-{replica}"

    def state(self, name: str = "scheduler", replica: int = 0) -> supervise.State:
        return supervise.look(self.run(name, replica))

    def log(self, name: str = "scheduler", replica: int = 0) -> str:
        return (self.run(name, replica) / "output.log").read_text()

    async def reopen(self) -> None:
        """Another daemon takes over."""
        await self.driver.close()
        self.driver = make_driver(self.home, self.locks, self.pace)
        await self.driver.open()

    async def clean(self) -> None:
        """End everything, whatever a test left behind."""
        folders = [*self.home.glob("deployments/*/run/*"), *self.home.glob("runtimes/*.build")]
        for folder in folders:
            supervise.stop(folder)
        for folder in folders:
            assert await supervise.ended(folder, 20.0), supervise.look(folder)
        await self.driver.close()
        assert marked(self.home) == []


def make_driver(home: Path, locks: Mapping[str, Path], pace: Pace = QUICK) -> LocalDriver:
    return LocalDriver(home=home, installation=INSTALLATION, reveal=reveal, locks=locks, pace=pace)


def marked(folder: Path) -> list[int]:
    """Every process of this machine that a shim started in a folder."""
    prefix = f"{kin.MARK}={folder}".encode()
    return [pid for pid in kin.processes() if any(one.startswith(prefix) for one in environment_of(pid))]


def alive() -> set[int]:
    """Every process that has not ended. One whose new parent has not buried it yet has ended."""
    return {pid for pid, (state, _, _) in kin.processes().items() if state != "Z"}


def environment_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


async def until(is_so: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to be in time"
        await asyncio.sleep(0.02)


async def within(seconds: float, awaited: Awaitable[object]) -> object:
    async with asyncio.timeout(seconds):
        return await awaited


PLAIN = {"WORD": text("plain")}
