"""The local driver: deployments as folders and processes of this machine.

One background task polls: it looks at everything of ours a few times a second, starts and ends probes
accordingly, and tells watchers whose state changed. Looks and writes happen in threads; nothing here is the
parent of what runs, so closing the driver, or killing the daemon, changes nothing.
"""

from __future__ import annotations

import asyncio
import errno
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import structlog

from drivers.base import Applied, Reveal, Stamp, Unavailable, Usage
from drivers.local import stamps
from drivers.local import translate as pure
from drivers.local.act import Hands, Put
from drivers.local.body import Body, FilesBody, ProcessBody, TaskBody, VolumeBody
from drivers.local.encode import encode
from drivers.local.pace import Pace
from drivers.local.probes import Probes
from drivers.local.records import Mark, Records
from drivers.local.rounds import Rounds
from drivers.local.runtime import read_locks, shipped_locks
from drivers.local.see import Sight, View
from drivers.local.supervise import SuperviseError
from drivers.local.usage import usage
from model.names import Kind, Owner, Ref, Text, UnitName
from model.objects import Object, Observed, Site
from model.plan import Action, Create, Delete, Replace, Stop, Update
from model.units import AnyUnit

log = structlog.get_logger()
Result = TypeVar("Result")

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_FIRST_ANSWERS_SECONDS = 2.0


class LocalDriver:
    """Airflow on this machine. `home` is the installation's folder, `locks` the runtimes on offer."""

    cluster = "local"
    kinds: frozenset[Kind] = pure.KINDS
    units: frozenset[type[AnyUnit]] = pure.UNITS

    def __init__(
        self,
        *,
        home: Path,
        installation: str,
        reveal: Reveal,
        locks: Mapping[str, Path] | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._locks = read_locks(shipped_locks() if locks is None else locks)
        self._reveal = reveal
        self._records = Records(home.resolve(), installation)
        self._news = asyncio.Event()
        self._pace = pace or Pace()
        self._probes = Probes(self._news.set, self._pace)
        self._sight = Sight(self._records, self._probes, self._pace)
        self._hands = Hands(records=self._records, locks=self._locks, sight=self._sight, forgotten=self._forget)
        self._rounds = Rounds(self._records, self._sight, self._tidy, lambda: self._probes.version)
        self._bodies: dict[Ref, Body] = {}  # of everything translated: its ports and places, for looks
        self._busy: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._watchers: set[_Watcher] = set()
        self._poller: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Look at what of ours runs, and go on looking. Changes nothing. Raises Unavailable."""
        await self._poll()
        await self._probes.heard(_FIRST_ANSWERS_SECONDS)  # else what runs well would be told as not asked yet
        self._poller = asyncio.create_task(self._poll_for_ever(), name="local poll")
        self._poller.add_done_callback(self._poll_ended)

    async def close(self) -> None:
        """Stop looking. What runs, runs on."""
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)
            self._poller = None
        await self._probes.close()

    def translate(self, unit: AnyUnit, site: Site) -> tuple[Object, ...]:
        """The object of a unit. Raises Refused for what this machine cannot do."""
        objects = pure.translate(unit, site, self._locks)
        for one in objects:
            self._bodies[one.ref] = one.body
        return objects

    async def read_stamp(self) -> Stamp | None:
        """What this machine remembers of who keeps it. Raises Unavailable."""
        return await asyncio.to_thread(stamps.read_stamp, self._records.home)

    async def write_stamp(self, stamp: Stamp) -> None:
        """Remember who keeps it. Raises Unavailable."""
        await asyncio.to_thread(stamps.write_stamp, self._records.home, stamp)

    async def observe(
        self,
        owner: Owner,
        wanted: frozenset[Ref],
        *,
        fresh: bool = False,  # noqa: ARG002 - nothing is ever cached
    ) -> Observed:
        """Everything of the owner's, by files, locks and the probes' last answers."""

        def look() -> View:
            view = View()
            for mark, root in self._records.of(owner):
                self._sight.folder(mark, root, view)
            self._sight.places(wanted, self._bodies, str(owner), view)
            return view

        try:
            view = await self._in_thread(look)
        except Unavailable as error:
            return Observed(blind=dict.fromkeys(self.kinds, str(error)))
        return Observed(seen=view.seen, foreign=view.foreign)

    async def apply(self, owner: Owner, action: Action) -> Applied:
        """Carry out one action. Raises Unavailable, Refused, Conflict."""
        match action:
            case Create():
                applied = await self._put(owner, action, uid="")
            case Update() | Replace():
                applied = await self._put(owner, action, uid=action.uid)
            case Stop():
                applied = await self._locked(action.ref, lambda: self._hands.stop(owner, action.ref, action.uid))
            case Delete():
                applied = await self._locked(action.ref, lambda: self._hands.delete(owner, action.ref, action.uid))
        self._news.set()
        return applied

    async def owners(self) -> frozenset[Owner]:
        """Every owner that has a folder here. Raises Unavailable."""

        def look() -> frozenset[Owner]:
            return frozenset(Owner.parse(mark.owner) for mark, _ in self._records.folders())

        return await self._in_thread(look)

    async def watch(self) -> AsyncIterator[Owner]:
        """Owners whose state changed. Ends when the driver is closed. Raises Unavailable when nobody looks."""
        if self._poller is None or self._poller.done():
            raise Unavailable("the local driver does not look at this machine now; open it")
        watcher = _Watcher()
        self._watchers.add(watcher)
        try:
            while (owner := await watcher.next()) is not None:
                yield owner
        finally:
            self._watchers.discard(watcher)

    def log_paths(self, release: str) -> dict[UnitName, Path]:
        """The newest log of each unit of a release that has one, and those of its replicas, as `worker-1`."""
        logs = self._records.root(release).glob("run/*/output.log")
        paths = sorted(logs, key=lambda one: one.stat().st_mtime)
        newest = {path.parent.name.rpartition("-")[0]: path for path in paths}
        return {**newest, **{path.parent.name: path for path in paths}}

    def usage(self, release: str) -> dict[UnitName, Usage]:
        """What each unit of a release uses that runs."""
        return usage(self._records.root(release))

    # Writing.

    async def _put(self, owner: Owner, action: Create | Update | Replace, *, uid: str) -> Applied:
        wanted = action.object
        release = wanted.ref.name.partition(".")[0]
        encoded = await encode(
            _texts(wanted.body), self._records.root(release), self._places(release), self._reveal
        )
        job = Put(owner=owner, object=wanted, encoded=encoded, again=self._is_again(action), uid=uid)
        return await self._locked(wanted.ref, lambda: self._hands.put(job))

    def _is_again(self, action: Create | Update | Replace) -> bool:
        """Whether what runs must be started anew though nothing of it changed."""
        return isinstance(action, Replace) or self._sight.is_hung(action.ref)

    def _places(self, release: str) -> dict[UnitName, str]:
        """Where each unit of a release keeps its files, written yet or not."""
        return {
            ref.name.partition(".")[2]: body.folder
            for ref, body in self._bodies.items()
            if isinstance(body, FilesBody | VolumeBody) and ref.name.startswith(f"{release}.")
        }

    def _forget(self, ref: Ref) -> None:
        self._bodies.pop(ref, None)

    async def _locked(self, ref: Ref, write: Callable[[], Applied]) -> Applied:
        """Write in a thread. A cancelled pass's thread still ends before the next write to that folder."""
        lock = self._busy[ref.name.partition(".")[0]]

        def hold() -> Applied:
            with lock:
                return write()

        return await self._in_thread(hold)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        """Run file work in a thread. Raises Unavailable for what the machine could not do, and why."""
        try:
            return await asyncio.to_thread(work)
        except SuperviseError as error:
            raise Unavailable(str(error)) from error
        except OSError as error:
            if error.errno in _DISK_FULL:
                raise Unavailable(f"the disk of {self._records.home} is full; free some space") from error
            raise Unavailable(f"{error.filename or self._records.home}: {error.strerror or error}") from error

    # Looking again and again.

    def _poll_ended(self, poller: asyncio.Task[None]) -> None:
        """Nobody looks any more: watchers must not wait for news for ever."""
        for watcher in self._watchers:
            watcher.close()
        if not poller.cancelled() and poller.exception() is not None:
            log.error("local poll ended", exc_info=poller.exception())

    async def _poll_for_ever(self) -> None:
        while True:
            self._news.clear()
            try:
                await self._poll()
            except Unavailable as error:
                log.warning("local poll failed", why=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(
                    max(self._pace.poll_seconds, self._rounds.cost_seconds / self._pace.poll_share)
                ):
                    await self._news.wait()

    async def _poll(self) -> None:
        """Look at every folder; probe what runs there; tell who changed."""
        changed = await self._in_thread(self._rounds.go)
        self._probes.want(self._rounds.targets())
        for watcher in self._watchers:
            watcher.tell(changed)

    def _tidy(self, mark: Mark, root: Path) -> None:
        """Tidy a folder unless somebody writes there now."""
        lock = self._busy[mark.release]
        if lock.acquire(blocking=False):
            try:
                self._hands.tidy(mark, root)
            finally:
                lock.release()


class _Watcher:
    """Owners that one watcher has not been told of yet: a set, so that it cannot grow without bound."""

    def __init__(self) -> None:
        self._waiting: dict[Owner, None] = {}
        self._news = asyncio.Event()
        self._is_closed = False

    def tell(self, owners: Iterable[Owner]) -> None:
        self._waiting |= dict.fromkeys(owners)
        if self._waiting:
            self._news.set()

    def close(self) -> None:
        self._is_closed = True
        self._news.set()

    async def next(self) -> Owner | None:
        while not self._waiting:
            if self._is_closed:
                return None
            self._news.clear()
            await self._news.wait()
        owner = next(iter(self._waiting))
        del self._waiting[owner]
        return owner


def _texts(body: Body) -> Mapping[str, Text]:
    match body:
        case FilesBody(files=texts):
            return texts
        case ProcessBody(run=run) | TaskBody(run=run):
            return run.env
        case _:
            return {}
