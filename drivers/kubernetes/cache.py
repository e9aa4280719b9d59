"""What watches know of one cluster: a shelf of each kind that we make, and of pods; and who has news.

Where a watch does not stand (at the start, without the right to it, while the cluster is away) its kind is not
current, and whoever looks asks the API server itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from random import Random
from typing import Any

from drivers.kubernetes.client import Client, Listing
from drivers.kubernetes.kinds import RESOURCES
from drivers.kubernetes.names import Place, selector_of
from drivers.kubernetes.shelf import Shelf
from drivers.kubernetes.slim import POD
from drivers.kubernetes.translate import KINDS
from drivers.kubernetes.watch import Patience, Watch
from model.names import Owner

LOOKED_AT = (*KINDS, POD)
_FILLED_SECONDS = 5.0


class Cache:
    """The watches of one cluster."""

    def __init__(self, client: Client, installation: str, patience: Patience | None = None) -> None:
        self._shelves = {kind: Shelf(kind, installation) for kind in LOOKED_AT}
        self._client = client
        self._labels = selector_of(installation)
        self._patience = patience or Patience()
        self._watches: Mapping[str, Watch] = {}
        self._running: list[asyncio.Task[None]] = []
        self._news: dict[Owner, None] = {}  # a set that keeps its order
        self._heard = asyncio.Event()
        self._is_closed = False

    async def open(self) -> None:
        """Begin to watch, and give the first lists a moment: until then each look asks the server itself."""
        await _ended(self._running)
        self._is_closed = False
        self._watches = {kind: self._watch(kind) for kind in LOOKED_AT}
        self._running = [asyncio.create_task(one.run()) for one in self._watches.values()]
        first = [asyncio.ensure_future(one.tried.wait()) for one in self._watches.values()]
        try:
            await asyncio.wait(first, timeout=_FILLED_SECONDS)
        finally:
            await _ended(first)

    async def close(self) -> None:
        """Watch no more."""
        running, self._running, self._watches = self._running, [], {}
        await _ended(running)
        self._is_closed = True
        self._heard.set()

    def is_current(self, kind: str) -> bool:
        """Whether what is known of a kind is as good as the watch can tell."""
        watch = self._watches.get(kind)
        return watch is not None and watch.is_current

    def of(self, kind: str, owner: Owner) -> tuple[dict[str, Any], ...]:
        """The slim objects of a kind and an owner."""
        return self._shelves[kind].of(owner)

    def as_of(self, kind: str, owner: Owner) -> int:
        """The version of the world that `of` shows."""
        return self._shelves[kind].as_of(owner)

    def merge(self, kind: str, owner: Owner, listing: Listing) -> None:
        """What the server itself said of a kind and an owner."""
        if self.is_current(kind):
            self._shelves[kind].merge(owner, listing.items, int(listing.version))

    def lost(self, owner: Owner) -> frozenset[Place]:
        """Places that nothing with our labels is in any more, and that nobody looked into since."""
        return frozenset(place for shelf in self._shelves.values() for place in shelf.lost(owner))

    def found_gone(self, owner: Owner, place: Place) -> None:
        """Somebody looked: it is gone, or not ours."""
        self._shelves[place.kind].found_gone(owner, place)

    def owners(self) -> frozenset[Owner] | None:
        """Everybody of whom anything is there; None while that is not known of every kind."""
        if not all(self.is_current(kind) for kind in KINDS):
            return None
        return frozenset(owner for kind in KINDS for owner in self._shelves[kind].owners())

    def size(self) -> tuple[int, int]:
        """How many objects are kept, and in how many bytes."""
        return sum(map(len, self._shelves.values())), sum(one.bytes() for one in self._shelves.values())

    async def news(self) -> AsyncIterator[Owner]:
        """Owners of whom something changed, each once until it is taken. Ends when closed."""
        while True:
            await self._heard.wait()
            if self._is_closed:
                return
            self._heard.clear()
            while self._news:
                owner = next(iter(self._news))
                del self._news[owner]
                yield owner

    def _tell(self, owners: Iterable[Owner]) -> None:
        news = sorted(owners)
        if news:
            self._news.update(dict.fromkeys(news))
            self._heard.set()

    def _watch(self, kind: str) -> Watch:
        return Watch(
            client=self._client,
            resource=RESOURCES[kind],
            labels=self._labels,
            shelf=self._shelves[kind],
            news=self._tell,
            patience=self._patience,
            random=Random(),  # noqa: S311 - jitter
        )


async def _ended(tasks: Iterable[asyncio.Future[Any]]) -> None:
    for one in tasks:
        one.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
