"""Watches: every change after a version of what a label selector selects, bookmarks, and how they break off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator

from aiohttp import web

from tests.apiserver.errors import Refusal
from tests.apiserver.faults import Faults, WatchFault
from tests.apiserver.store import Change, Manifest, Store, labels_of

_BOOKMARK_SECONDS = 0.5
_LOOK_SECONDS = 0.005

Selects = Callable[[Manifest], bool]


def selector(said: str) -> Selects:
    """A label selector of equalities, `a=b,c=d`; nothing selects everything."""
    wanted = dict(one.split("=", 1) for one in said.split(",") if one)
    return lambda found: wanted.items() <= labels_of(found).items()


def events(change: Change, selects: Selects) -> Iterator[tuple[str, Manifest]]:
    """What a watch tells of a change: who leaves what is selected is told as deleted."""
    before = change.before if change.before is not None and selects(change.before) else None
    after = change.after if change.after is not None and selects(change.after) else None
    if after is not None:
        yield "MODIFIED" if before is not None else "ADDED", after
    elif before is not None:
        version = {"resourceVersion": str(change.version)}
        yield "DELETED", {**before, "metadata": {**before["metadata"], **version}}


class Broken(Exception):
    """The watch ends here. `is_reset`: by a reset."""

    def __init__(self, *, is_reset: bool) -> None:
        super().__init__()
        self.is_reset = is_reset


class Watching:
    """One watch, until its time is over or it breaks off."""

    def __init__(
        self, store: Store, faults: Faults, stream: web.StreamResponse, kind: str, selects: Selects
    ) -> None:
        self._store = store
        self._faults = faults
        self._stream = stream
        self._kind = kind
        self._selects = selects
        self._last: bytes = b""

    async def follow(self, version: int, seconds: float) -> None:
        """Tell everything after a version. Raises Broken."""
        loop = asyncio.get_running_loop()
        ends, told = loop.time() + seconds, loop.time()
        while loop.time() < ends:
            try:
                changes = self._store.since(version)
            except Refusal as refusal:
                await self._say("ERROR", refusal.status)
                return
            if version > self._store.version:  # it went back behind this watch
                await self._say("ERROR", Refusal(410, "Expired", "the future is gone").status)
                return
            for change in changes:
                version = change.version
                if change.key.kind == self._kind:
                    await self._tell(change)
            if not changes and loop.time() - told > _BOOKMARK_SECONDS:
                told = loop.time()
                await self._say("BOOKMARK", {"kind": self._kind, "metadata": {"resourceVersion": str(version)}})
            await asyncio.sleep(_LOOK_SECONDS)

    async def _tell(self, change: Change) -> None:
        for event, found in events(change, self._selects):
            match self._faults.of_event():
                case WatchFault.ENDED:
                    raise Broken(is_reset=False)
                case WatchFault.RESET:
                    raise Broken(is_reset=True)
                case WatchFault.HALF_A_LINE:
                    await self._stream.write(_line(event, found)[:40])
                    raise Broken(is_reset=False)
                case WatchFault.EXPIRED:
                    await self._say("ERROR", Refusal(410, "Expired", "too old resource version").status)
                    raise Broken(is_reset=False)
                case WatchFault.TWICE:
                    await self._say(event, found)
                case WatchFault.OLD if self._last:
                    await self._stream.write(self._last)
            self._last = _line(event, found)
            await self._say(event, found)

    async def _say(self, event: str, found: Manifest) -> None:
        await self._stream.write(_line(event, found))


def _line(event: str, found: Manifest) -> bytes:
    return json.dumps({"type": event, "object": found}).encode() + b"\n"
